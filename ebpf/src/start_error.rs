//! Why the counters do not run, and what to do about it.

use std::io;

use crate::{
    ConfigError,
    capability::{Capability, KERNEL_MIN},
};

/// Why the counters could not be started. The machine's network is as it was.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A value that is not allowed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The process lacks rights.
    #[error("this process has no {}", names(.missing))]
    MissingCapability {
        /// Those that are missing.
        missing: Vec<&'static str>,
    },
    /// The kernel is too old.
    #[error("the kernel is {found}; counting packets in it needs {}.{} or later", KERNEL_MIN.0, KERNEL_MIN.1)]
    KernelTooOld {
        /// What it says it is.
        found: String,
    },
    /// The kernel was built without it.
    #[error("the kernel has no bpf system call")]
    NoBpf,
    /// The rights are there, and the kernel refuses all the same: a container, a seccomp filter or lockdown.
    #[error("the kernel refuses the bpf system call to this process although it has the capabilities")]
    Refused {
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// No memory for the maps.
    #[error("the kernel has no memory for the counters ({map})")]
    NoMemory {
        /// The map that was to be made.
        map: String,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The kernel's verifier does not take a program.
    #[error("the kernel does not take the program {program}: {reason}")]
    Program {
        /// Which.
        program: &'static str,
        /// The last lines of what the verifier said.
        reason: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The embedded object is damaged, or of another build than the node.
    #[error("the embedded programs are not those of this node")]
    Object(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Something else.
    #[error("cannot {attempt}")]
    Other {
        /// What was attempted.
        attempt: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn names(missing: &[&str]) -> String {
    missing.join(" and no ")
}

impl StartError {
    pub(crate) fn missing(missing: &[Capability]) -> Self {
        Self::MissingCapability { missing: missing.iter().map(|capability| capability.name()).collect() }
    }

    /// A word for it, for labels of metrics and for scripts.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Config(_) => "configuration",
            Self::MissingCapability { .. } => "missing-capability",
            Self::KernelTooOld { .. } => "kernel-too-old",
            Self::NoBpf => "no-bpf",
            Self::Refused { .. } => "refused",
            Self::NoMemory { .. } => "no-memory",
            Self::Program { .. } => "program-refused",
            Self::Object(_) => "object",
            Self::Other { .. } => "other",
        }
    }

    /// What a person can do.
    pub fn remedy(&self) -> String {
        match self {
            Self::Config(_) => "correct the configuration".to_owned(),
            Self::MissingCapability { missing } => format!(
                "give the service {} (systemd: `AmbientCapabilities={}`, container: {})",
                missing.join(" and "),
                missing.join(" "),
                missing.iter().map(|name| format!("`--cap-add={name}`")).collect::<Vec<_>>().join(" ")
            ),
            Self::KernelTooOld { .. } => "use a newer kernel, or leave the counters off".to_owned(),
            Self::NoBpf => "use a kernel with CONFIG_BPF_SYSCALL=y, or leave the counters off".to_owned(),
            Self::Refused { .. } => {
                "look for what forbids it: a container's seccomp profile or user namespace, `SystemCallFilter=` of the \
                 service (it has to contain `bpf`), or kernel lockdown (`cat /sys/kernel/security/lockdown`)"
                    .to_owned()
            }
            Self::NoMemory { .. } => {
                "make `flows_max` smaller, or raise the memory limit of the service (before kernel 5.11: \
                 `LimitMEMLOCK=infinity`)"
                    .to_owned()
            }
            Self::Program { .. } => {
                "give the service CAP_PERFMON too, without which older kernels are stricter; if that does not help, \
                 report it with the version of the kernel and leave the counters off meanwhile"
                    .to_owned()
            }
            Self::Object(_) => {
                "install the node again; where it is built from source, build it with the object that is committed \
                 beside it (without `SELVEDGE_EBPF_OBJECT`)"
                    .to_owned()
            }
            Self::Other { .. } => "see the cause; leave the counters off if it stays".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_capability_is_named_in_the_error_and_in_the_remedy() {
        let error = StartError::missing(&[Capability::Bpf, Capability::NetAdmin]);
        assert_eq!(error.to_string(), "this process has no CAP_BPF and no CAP_NET_ADMIN");
        assert!(error.remedy().contains("AmbientCapabilities=CAP_BPF CAP_NET_ADMIN"), "{}", error.remedy());
        assert!(error.remedy().contains("`--cap-add=CAP_BPF` `--cap-add=CAP_NET_ADMIN`"), "{}", error.remedy());
    }

    #[test]
    fn an_old_kernel_is_told_which_one_would_do() {
        let error = StartError::KernelTooOld { found: "4.19.0".to_owned() };
        assert_eq!(error.to_string(), "the kernel is 4.19.0; counting packets in it needs 5.8 or later");
        assert_eq!(error.kind(), "kernel-too-old");
    }
}

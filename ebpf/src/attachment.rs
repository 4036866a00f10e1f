//! Attaching the programs to an interface, and what they are attached by.
//!
//! A tcx link or an XDP link ends with this process, whatever ends it, and does not disturb another one's. A filter in
//! clsact does not: one that an earlier process left behind is removed first. The queueing discipline itself stays,
//! since others may use it.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

use aya::{
    Ebpf,
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType, Xdp,
        tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcError},
        xdp::{XdpLink, XdpMode},
    },
};
use selvedge_ebpf_abi::map;
use serde::Serialize;

use crate::{
    AttachMode, GuardAttach, InterfaceName,
    interface::{Interface, Nature},
};

/// What the counting programs hang on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// A tcx link.
    Tcx,
    /// A filter in the clsact queueing discipline.
    Clsact,
}

/// Where the guard judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuardHook {
    /// Nowhere on this interface.
    Off,
    /// Before the kernel makes a buffer of the packet, in the driver.
    Xdp,
    /// At the tc hook, together with the counting.
    Tc,
}

/// Programs on one interface. Dropping it detaches them.
#[derive(Debug)]
pub struct Attachment {
    /// What counts hangs on.
    pub hook: Hook,
    _in: SchedClassifierLink,
    _out: SchedClassifierLink,
    _sole: Option<Sole>,
}

/// The right of one process to the filters of one interface; ends with the process.
///
/// A socket with a name that only this network namespace sees. Without it a second node would take the filters of the
/// first for ones that were left behind, and the first would count nothing from then on.
#[derive(Debug)]
struct Sole {
    _socket: UnixDatagram,
}

/// The guard on one interface. Dropping it detaches it.
#[derive(Debug)]
pub struct XdpAttachment {
    _link: XdpLink,
}

/// Why a program could not be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The kernel refused.
    #[error("cannot attach {program} to {interface} by {hook}")]
    Kernel {
        /// Which program.
        program: &'static str,
        /// Where.
        interface: InterfaceName,
        /// How.
        hook: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Two processes cannot count the same interface by clsact.
    #[error("another process counts {0} already")]
    NotSole(InterfaceName),
    /// The object has no such program: never, with the embedded one.
    #[error("the embedded programs have no {0}")]
    NotInObject(&'static str),
}

impl AttachError {
    /// What a person can do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Kernel { hook: "tcx", source, .. } if number_in(source.as_ref()) == Some(libc::EINVAL) => {
                "tcx needs kernel 6.6 or later; write `attach = \"auto\"`"
            }
            Self::NotSole(_) => "end it, or let both attach by tcx (kernel 6.6 or later, `attach = \"tcx\"`)",
            Self::Kernel { .. } | Self::NotInObject(_) => {
                "see the cause; counting it is tried again with every reading of the counters"
            }
        }
    }
}

fn number_in(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<i32> {
    os_error(error.downcast_ref::<ProgramError>()?)
}

/// Attaches the counting programs.
///
/// # Errors
/// The kernel refuses; nothing is attached then.
pub fn attach(kernel: &mut Ebpf, interface: &Interface, mode: AttachMode) -> Result<Attachment, AttachError> {
    match mode {
        AttachMode::Tcx => attach_by(kernel, interface, Hook::Tcx).map_err(|(error, _)| error),
        AttachMode::Clsact => attach_by(kernel, interface, Hook::Clsact).map_err(|(error, _)| error),
        AttachMode::Auto => attach_by(kernel, interface, Hook::Tcx).or_else(|(error, number)| match number {
            // What a kernel without tcx says.
            Some(libc::EINVAL) => attach_by(kernel, interface, Hook::Clsact).map_err(|(error, _)| error),
            _ => Err(error),
        }),
    }
}

type Refused = (AttachError, Option<i32>);

fn attach_by(kernel: &mut Ebpf, interface: &Interface, hook: Hook) -> Result<Attachment, Refused> {
    let Interface { name: interface, index, .. } = interface;
    let hook_name = match hook {
        Hook::Tcx => "tcx",
        Hook::Clsact => "clsact",
    };
    let refused = |program: &'static str, error: ProgramError| {
        let number = os_error(&error);
        let interface = InterfaceName::new(interface);
        (AttachError::Kernel { program, interface, hook: hook_name, source: error.into() }, number)
    };
    let sole = match hook {
        Hook::Tcx => None,
        Hook::Clsact => {
            let sole = Sole::of(*index).map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => (AttachError::NotSole(InterfaceName::new(interface)), None),
                _ => refused(map::PROGRAM_IN, error.into()),
            })?;
            prepare_clsact(interface).map_err(|error| refused(map::PROGRAM_IN, error.into()))?;
            Some(sole)
        }
    };
    let mut one = |name: &'static str, direction: TcAttachType| {
        let absent = || (AttachError::NotInObject(name), None);
        let program = kernel.program_mut(name).ok_or_else(absent)?;
        let program: &mut SchedClassifier = program.try_into().map_err(|_| absent())?;
        let options = match hook {
            Hook::Tcx => TcAttachOptions::TcxOrder(LinkOrder::default()),
            Hook::Clsact => TcAttachOptions::Netlink(NlOptions::default()),
        };
        let id = program.attach_with_options(interface, direction, options).map_err(|error| refused(name, error))?;
        program.take_link(id).map_err(|error| refused(name, error))
    };
    let incoming = one(map::PROGRAM_IN, TcAttachType::Ingress)?;
    let outgoing = one(map::PROGRAM_OUT, TcAttachType::Egress)?;
    Ok(Attachment { hook, _in: incoming, _out: outgoing, _sole: sole })
}

impl Sole {
    fn of(index: u32) -> io::Result<Self> {
        let name = SocketAddr::from_abstract_name(format!("selvedge/counters/{index}"))?;
        Ok(Self { _socket: UnixDatagram::bind_addr(&name)? })
    }
}

/// Adds the queueing discipline where it is not there yet, and removes what an earlier process left in it.
fn prepare_clsact(interface: &str) -> Result<(), TcError> {
    match tc::qdisc_add_clsact(interface) {
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {}
        Err(TcError::AlreadyAttached) => {}
        result => result?,
    }
    for (name, direction) in [(map::PROGRAM_IN, TcAttachType::Ingress), (map::PROGRAM_OUT, TcAttachType::Egress)] {
        match tc::qdisc_detach_program(interface, direction, name) {
            Err(TcError::IoError(error)) if error.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
    }
    Ok(())
}

/// Attaches the guard in the driver.
///
/// # Errors
/// The driver cannot do that, or has another program there.
pub fn attach_xdp(kernel: &mut Ebpf, interface: &str) -> Result<XdpAttachment, AttachError> {
    let name = map::PROGRAM_XDP;
    let refused = |error: ProgramError| AttachError::Kernel {
        program: name,
        interface: InterfaceName::new(interface),
        hook: "xdp",
        source: error.into(),
    };
    let program = kernel.program_mut(name).ok_or(AttachError::NotInObject(name))?;
    let program: &mut Xdp = program.try_into().map_err(|_| AttachError::NotInObject(name))?;
    let id = program.attach(interface, XdpMode::Driver).map_err(refused)?;
    let link = program.take_link(id).map_err(refused)?;
    Ok(XdpAttachment { _link: link })
}

/// Whether the guard should be tried in the driver of this interface.
///
/// Virtual interfaces have native XDP too, but it switches off what they save by passing large buffers on; so only
/// where it is asked for.
pub fn wants_xdp(attach: GuardAttach, interface: &Interface) -> bool {
    match attach {
        GuardAttach::Tc => false,
        GuardAttach::Auto => interface.nature == Nature::Card,
        GuardAttach::Xdp => interface.nature != Nature::Loopback,
    }
}

fn os_error(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        ProgramError::TcError(TcError::NetlinkError(error)) => error.raw_os_error(),
        ProgramError::TcError(TcError::IoError(error)) | ProgramError::IOError(error) => error.raw_os_error(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::Link;

    #[test]
    fn the_guard_goes_into_the_driver_of_cards_and_elsewhere_only_when_asked_to() {
        let interface = |nature| Interface { index: 2, name: "x".to_owned(), link: Link::Ethernet, nature };
        for (attach, nature, expected) in [
            (GuardAttach::Auto, Nature::Card, true),
            (GuardAttach::Auto, Nature::Virtual, false),
            (GuardAttach::Auto, Nature::Loopback, false),
            (GuardAttach::Xdp, Nature::Virtual, true),
            (GuardAttach::Xdp, Nature::Loopback, false),
            (GuardAttach::Tc, Nature::Card, false),
        ] {
            assert_eq!(wants_xdp(attach, &interface(nature)), expected, "{attach:?} {nature:?}");
        }
    }
}

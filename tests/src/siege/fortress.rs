//! A node made ready for a siege: every transport, users where they are needed, limits as asked.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::bystanders::Bystanders;
use super::footprint;
use super::metrics::Metrics;
use super::wire::{Target, wait_until};
use crate::installed;
use crate::node::{Node, Place};

const USER: &str = "device";
const PASSWORD: &str = "correct horse battery staple";
/// Users may do everything but what is forbidden; clients without a name may be there.
const RULES: &str = "\
[[rule]]
who = \"everyone\"
publish = [\"#\"]
subscribe = [\"#\"]
deny_publish = [\"forbidden/#\"]
deny_subscribe = [\"forbidden/#\"]
";
/// What a node may hold more than before an attack, once it is over: pools of the allocator, buffers that are kept.
const RESIDUE_KIB: u64 = 8 * 1024;

/// What a siege needs of a node.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// Listeners for TLS.
    pub tls: bool,
    /// A user, who is the [`Target`]'s.
    pub users: bool,
    /// The functions that attack.
    pub functions: bool,
    /// Lines of `[limits]`.
    pub limits: String,
}

/// A running node and how to reach it.
#[derive(Debug)]
pub struct Fortress {
    /// The process.
    pub node: Node,
    /// The way there, as its users go.
    pub target: Target,
}

impl Fortress {
    /// Starts one.
    ///
    /// # Errors
    /// The binary is missing, or does not become ready.
    pub fn start(needs: &Needs) -> anyhow::Result<Self> {
        let mut configuration = format!("[limits]\n{}\n", needs.limits);
        if needs.tls {
            let any = "listen = \"127.0.0.1:0\"\n";
            configuration.push_str(&format!("[mqtts]\n{any}[secure_websocket]\n{any}"));
        }
        let place = Place::with_configuration(&configuration)?;
        let trust = if needs.tls { Some(make_certificate(&place)?) } else { None };
        if needs.users {
            make_user(&place)?;
        }
        let node = place.start()?;
        if needs.functions {
            deploy_functions(&node)?;
        }
        let login = needs.users.then(|| (USER.to_owned(), PASSWORD.to_owned()));
        let target = Target { trust, login, ..Target::of(&node) };
        Ok(Self { node, target })
    }

    /// Proportional set size of the node, KiB.
    ///
    /// # Errors
    /// It has ended.
    pub fn pss_kib(&self) -> anyhow::Result<u64> {
        footprint::pss_kib(self.node.id()).with_context(|| self.node.said())
    }

    /// What it counts.
    ///
    /// # Errors
    /// It does not answer.
    pub fn metrics(&self) -> anyhow::Result<Metrics> {
        Metrics::read(self.node.http())
    }

    /// Memory that the node has allocated, KiB.
    ///
    /// # Errors
    /// It has ended.
    pub fn allocated_kib(&self) -> anyhow::Result<u64> {
        footprint::anonymous_kib(self.node.id()).with_context(|| self.node.said())
    }

    /// Memory of the node at work for a few well-behaved clients, KiB: what it is to come back to.
    ///
    /// # Errors
    /// It does not serve them.
    pub fn floor_kib(&self) -> anyhow::Result<u64> {
        let bystanders = Bystanders::start(&self.target)?;
        std::thread::sleep(Duration::from_millis(500));
        bystanders.finish()?.nothing_lost()?;
        self.allocated_kib()
    }

    /// Waits until the node's memory is near `floor_kib` again; gives what it is then.
    ///
    /// # Errors
    /// It stays above.
    pub fn memory_returns(&self, floor_kib: u64) -> anyhow::Result<u64> {
        let mut last = 0;
        let outcome = wait_until(
            "the node's memory near what it was before",
            || {
                last = self.allocated_kib()?;
                Ok(last <= floor_kib + RESIDUE_KIB)
            },
            || format!("{floor_kib} KiB before"),
        );
        outcome.with_context(|| format!("{last} KiB are held"))?;
        Ok(last)
    }

    /// Asks the node to stop; fails unless it does so properly.
    ///
    /// # Errors
    /// It has died before, or does not stop.
    pub fn stop(self) -> anyhow::Result<()> {
        let said = self.node.said();
        let status = self.node.stop()?;
        ensure!(status.success(), "the node ended with {status}\n{said}");
        Ok(())
    }
}

/// One that does as it is told, and one that throws back what that says.
fn deploy_functions(node: &Node) -> anyhow::Result<()> {
    for (name, trigger) in [("hostile", "hostile/in/#"), ("storm", "hostile/reply")] {
        let folder = tempfile::tempdir().context("make a folder for a function")?;
        let component = installed::repository_file("functions/tests/guests/hostile/hostile.wasm");
        std::fs::copy(&component, folder.path().join("hostile.wasm"))
            .with_context(|| format!("copy {}", component.display()))?;
        let manifest = format!(
            "name = \"{name}\"\ncomponent = \"hostile.wasm\"\n[[trigger]]\nmqtt = \"{trigger}\"\n\
             [limits]\nmemory_bytes = \"8MiB\"\ntimeout_ms = 50\n[retry]\nattempts = 1\n[grants]\npublish = [\"#\"]\n"
        );
        std::fs::write(folder.path().join("function.toml"), manifest).context("write a manifest")?;
        node.cli_succeeds(&["fn", "deploy", &folder.path().to_string_lossy()])?;
    }
    Ok(())
}

fn make_certificate(place: &Place) -> anyhow::Result<Arc<ClientConfig>> {
    run(place, &["cert", "create"])?;
    let path = place.data().join("tls/ca.pem");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&path).with_context(|| format!("read {}", path.display()))? {
        roots.add(certificate?).with_context(|| format!("trust {}", path.display()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

fn make_user(place: &Place) -> anyhow::Result<()> {
    let password = place.folder().join("password");
    std::fs::write(&password, PASSWORD).context("write a password")?;
    run(place, &["user", "add", USER, "--password-file", &password.to_string_lossy()])?;
    let rules = place.data().join("access/rules.toml");
    std::fs::write(&rules, RULES).with_context(|| format!("write {}", rules.display()))
}

fn run(place: &Place, arguments: &[&str]) -> anyhow::Result<()> {
    let output = place.command(arguments)?.output().with_context(|| format!("run selvedge {arguments:?}"))?;
    ensure!(output.status.success(), "selvedge {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

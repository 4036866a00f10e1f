//! The node as updates see it: where functions and files go, and how a new program is looked at before it is tried.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use selvedge_functions::Runtime;
use selvedge_ota::metadata::Content;
use selvedge_ota::slots::ReadAt;
use selvedge_ota::{Host, Thing};

use super::Files;
use super::files;
use crate::wiring::function_lines::FunctionLines;

/// For a new program to show that it runs, and to compile the functions of this node.
const PREFLIGHT_MAX: Duration = Duration::from_secs(600);

/// The node.
pub struct NodeHost {
    /// The data directory.
    pub data: PathBuf,
    /// The configuration file that the node was started with.
    pub config_file: Option<PathBuf>,
    /// Functions.
    pub runtime: Arc<Runtime>,
    /// Their sessions.
    pub lines: Arc<FunctionLines>,
    /// Held while a function and its session change together.
    pub deploying: Arc<Mutex<()>>,
    /// Files that may be replaced.
    pub files: Files,
}

impl NodeHost {
    fn deploy(&self, name: &str, manifest: &str, file: &Path) -> Result<(), String> {
        let component = std::fs::read(file).map_err(|error| format!("read {}: {error}", file.display()))?;
        let _deploying = self.deploying.lock();
        let parsed = selvedge_functions::Manifest::parse(manifest, &selvedge_functions::Config::default())
            .map_err(|error| format!("its manifest: {error}"))?;
        if parsed.name != name {
            return Err(format!("its manifest is of {:?}, and the repository calls it {name:?}", parsed.name));
        }
        let deployed =
            self.runtime.deploy(manifest, component).map_err(|error| format!("{:#}", anyhow::Error::from(error)))?;
        self.lines.subscribe(&deployed.name, deployed.triggers);
        self.lines.wait_durable().map_err(|error| format!("what starts it is not kept: {error}"))
    }
}

impl Host for NodeHost {
    fn put_in_place(&self, thing: &Thing, _version: &str, file: &Path) -> Result<(), String> {
        match thing {
            Thing::Function { name, manifest } => self.deploy(name, manifest, file),
            Thing::File { name } => match self.files.get(name) {
                Some(place) => files::replace(place, file),
                None => Err(format!("there is no [ota.files.{name}] in the configuration")),
            },
            Thing::Daemon { .. } => Err("a program is put into a slot".to_owned()),
        }
    }

    fn open_base(&self, thing: &Thing, content: Content) -> Option<Box<dyn ReadAt>> {
        let path = match thing {
            Thing::Function { .. } => {
                let digest: String = content.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
                self.data.join("functions/components").join(format!("{digest}.wasm"))
            }
            Thing::File { name } => PathBuf::from(&self.files.get(name)?.path),
            Thing::Daemon { .. } => return None,
        };
        File::open(path).ok().map(|file| Box::new(file) as _)
    }

    fn open_running(&self) -> Option<Box<dyn ReadAt>> {
        File::open("/proc/self/exe").ok().map(|file| Box::new(file) as _)
    }

    fn preflight(&self, program: &Path) -> Result<(), String> {
        preflight(program, &self.data, self.config_file.as_deref())
    }
}

/// Starts a new program with the command that only looks: it reads the configuration and compiles the node's functions.
///
/// # Errors
/// It is not fit to be tried; its words.
pub fn preflight(program: &Path, data: &Path, config_file: Option<&Path>) -> Result<(), String> {
    let mut command = Command::new(program);
    command.arg("internal-preflight").arg("--data").arg(data);
    if let Some(config) = config_file {
        command.arg("--config").arg(config);
    }
    files::run_within(&mut command, PREFLIGHT_MAX)
}

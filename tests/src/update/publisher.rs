//! The publisher's folder, through the command line only.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::installed;

/// A repository and its keys, in a folder that goes with the value.
#[derive(Debug)]
pub struct Publisher {
    folder: tempfile::TempDir,
    architecture: &'static str,
}

impl Publisher {
    /// `selvedge ota init`.
    ///
    /// # Errors
    /// The command fails.
    pub fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("selvedge-publisher-").tempdir().context("make a folder")?;
        let publisher = Self { folder, architecture: installed::architecture()? };
        publisher.ota(&[&"init", &publisher.repository(), &"--keys", &publisher.keys()])?;
        Ok(publisher)
    }

    /// Its programs are for another processor than that of the binary that publishes.
    #[must_use]
    pub fn of_architecture(self, architecture: &'static str) -> Self {
        Self { architecture, ..self }
    }

    /// A folder for files of the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What a web server would serve.
    pub fn repository(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    /// The first root, which nodes are given.
    pub fn root(&self) -> PathBuf {
        self.repository().join("metadata/1.root.json")
    }

    /// `selvedge ota add … --daemon`; more options of it in `more`.
    ///
    /// # Errors
    /// The command fails.
    pub fn add_program(&self, program: &Path, version: &str, more: &[&str]) -> anyhow::Result<()> {
        let repository = self.repository();
        let mut words: Vec<&dyn AsRef<OsStr>> = vec![&"add", &repository, &program, &"--daemon", &self.architecture];
        words.extend([&"--version" as &dyn AsRef<OsStr>, &version]);
        words.extend(more.iter().map(|word| word as &dyn AsRef<OsStr>));
        self.ota(&words).map(drop)
    }

    /// `selvedge ota add … --function`.
    ///
    /// # Errors
    /// The command fails.
    pub fn add_function(&self, folder: &Path) -> anyhow::Result<()> {
        self.ota(&[&"add", &self.repository(), &folder, &"--function"]).map(drop)
    }

    /// `selvedge ota add … --file`, of a file with this text.
    ///
    /// # Errors
    /// The command fails.
    pub fn add_file(&self, name: &str, version: &str, text: &str) -> anyhow::Result<()> {
        let file = self.folder.path().join(format!("{name}-{version}"));
        std::fs::write(&file, text)?;
        self.ota(&[&"add", &self.repository(), &file, &"--file", &name, &"--version", &version]).map(drop)
    }

    /// `selvedge ota stage`, of the program.
    ///
    /// # Errors
    /// The command fails.
    pub fn stage_program(&self, how: &[&str]) -> anyhow::Result<()> {
        let (repository, path) = (self.repository(), format!("daemon/{}/selvedge", self.architecture));
        let mut words: Vec<&dyn AsRef<OsStr>> = vec![&"stage", &repository, &path];
        words.extend(how.iter().map(|word| word as &dyn AsRef<OsStr>));
        self.ota(&words).map(drop)
    }

    /// `selvedge ota publish`: quickly compressed and without patches.
    ///
    /// # Errors
    /// The command fails.
    pub fn publish(&self) -> anyhow::Result<String> {
        self.publish_with(&["--patches-from", "0", "--level", "1"])
    }

    /// `selvedge ota publish` with these options.
    ///
    /// # Errors
    /// The command fails.
    pub fn publish_with(&self, options: &[&str]) -> anyhow::Result<String> {
        let (repository, keys) = (self.repository(), self.keys());
        let mut words: Vec<&dyn AsRef<OsStr>> = vec![&"publish", &repository, &"--keys", &keys];
        words.extend(options.iter().map(|word| word as &dyn AsRef<OsStr>));
        self.ota(&words)
    }

    /// `selvedge ota bundle`; gives the file.
    ///
    /// # Errors
    /// The command fails.
    pub fn bundle(&self, name: &str, options: &[&str]) -> anyhow::Result<PathBuf> {
        let (repository, output) = (self.repository(), self.folder.path().join(name));
        let mut words: Vec<&dyn AsRef<OsStr>> = vec![&"bundle", &repository, &output];
        words.extend(options.iter().map(|word| word as &dyn AsRef<OsStr>));
        self.ota(&words)?;
        Ok(output)
    }

    /// One program in a repository of its own: added, published and bundled.
    ///
    /// # Errors
    /// A command fails.
    pub fn of_program(program: &Path, version: &str) -> anyhow::Result<(Self, PathBuf)> {
        let publisher = Self::new()?;
        publisher.add_program(program, version, &[])?;
        publisher.publish()?;
        let bundle = publisher.bundle("update.selvedge", &[])?;
        Ok((publisher, bundle))
    }

    fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    fn ota(&self, words: &[&dyn AsRef<OsStr>]) -> anyhow::Result<String> {
        let mut command = Command::new(installed::selvedge()?);
        command.arg("ota").args(words.iter().map(|word| word.as_ref())).current_dir(self.folder.path());
        let output = command.output().context("run selvedge ota")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ensure!(output.status.success(), "{command:?} ended with {}\n{}", output.status, text(&output.stderr));
        Ok(text(&output.stdout))
    }
}

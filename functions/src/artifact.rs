//! Keeps components and the native code made from them, by content, and loads native code only when its keyed MAC verifies.
//!
//! Files: `components/<sha256>.wasm`; `native/<name>.cwasm` with `<name>.mac`, where the name is a hash over the component's
//! digest, the engine's version and everything that native code depends on; `mac.key`, 32 random bytes, mode 0600.
//! Not a defence against who can read the key: that is the node's own user.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;
use wasmtime::component::Component;

use crate::compile::{CompileError, Compiler};
use crate::durable_file;
use crate::engine::RunningEngine;
use crate::engine::settings::{Profile, SETTINGS_VERSION, WASMTIME_VERSION};
use crate::hex::hex;

const KEY_BYTES: usize = blake3::KEY_LEN;

/// Why native code was not loaded.
#[derive(Debug, Error)]
pub(crate) enum LoadError {
    /// There is none for this component, engine and settings.
    #[error("no native code for component {digest}")]
    Missing { digest: String },
    /// Someone else made or changed it.
    #[error("native code {} does not carry this node's MAC and is not loaded", .path.display())]
    Untrusted { path: PathBuf },
    /// The engine refuses it, for example after a move to another processor.
    #[error("native code {} is refused by the engine: {reason}", .path.display())]
    Refused { path: PathBuf, reason: String },
    /// Reading failed.
    #[error("reading native code {}", .path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// The three directories and the key.
pub(crate) struct ArtifactStore {
    components: PathBuf,
    native: PathBuf,
    key: [u8; KEY_BYTES],
}

impl ArtifactStore {
    /// Opens or makes the store in `directory`; `random` fills a new key.
    pub(crate) fn open(directory: &Path, random: impl FnOnce(&mut [u8]) -> io::Result<()>) -> io::Result<Self> {
        let store = Self {
            components: directory.join("components"),
            native: directory.join("native"),
            key: load_or_make_key(directory, random)?,
        };
        durable_file::make_directory(&store.components)?;
        durable_file::make_directory(&store.native)?;
        Ok(store)
    }

    /// Stores a component under its digest, which is returned.
    pub(crate) fn put_component(&self, component: &[u8]) -> io::Result<String> {
        let digest = hex(&Sha256::digest(component));
        let path = self.component_path(&digest);
        if !path.exists() {
            durable_file::write(&path, component, 0o600)?;
        }
        Ok(digest)
    }

    /// Compiles a stored component and gives the native code its MAC.
    pub(crate) fn compile(&self, compiler: &Compiler, profile: Profile, digest: &str) -> Result<(), MakeError> {
        let name = native_name(digest, profile);
        let output = self.native.join(format!(".tmp-{name}"));
        if output.exists() {
            fs::remove_file(&output)?;
        }
        let outcome = compiler.compile(profile, &self.component_path(digest), &output);
        if let Err(error) = outcome {
            // Nothing or half of it was written; what is left is removed before the next try.
            let _ = fs::remove_file(&output);
            return Err(error.into());
        }
        let mac = self.mac(&name, &output)?;
        durable_file::move_into_place(&output, &self.native_path(&name))?;
        durable_file::write(&self.mac_path(&name), mac.as_bytes(), 0o600)?;
        Ok(())
    }

    /// Maps native code into memory, if it is this node's own.
    pub(crate) fn load(&self, engine: &RunningEngine, digest: &str) -> Result<Component, LoadError> {
        let name = native_name(digest, engine.profile);
        let path = self.native_path(&name);
        let io_error = |source| LoadError::Io { path: path.clone(), source };
        let expected = match fs::read(self.mac_path(&name)) {
            Ok(mac) => mac,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(LoadError::Missing { digest: digest.into() });
            }
            Err(error) => return Err(io_error(error)),
        };
        let mac = match self.mac(&name, &path) {
            Ok(mac) => mac,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(LoadError::Missing { digest: digest.into() });
            }
            Err(error) => return Err(io_error(error)),
        };
        // Compared in constant time.
        if blake3::Hash::from_slice(&expected).ok() != Some(mac) {
            return Err(LoadError::Untrusted { path });
        }
        // SAFETY: the MAC shows that these bytes were written by this node's compiler child, and the directory is writable
        // for the node's own user only.
        let component = unsafe { Component::deserialize_file(&engine.engine, &path) };
        component.map_err(|error| LoadError::Refused { path, reason: format!("{error:#}") })
    }

    /// Removes components and native code that none of `digests` needs. Returns how many files went.
    pub(crate) fn remove_unused(&self, digests: &[String]) -> io::Result<usize> {
        let names = digests.iter().flat_map(|digest| Profile::ALL.map(|profile| native_name(digest, profile)));
        let names: Vec<String> = names.chain(digests.iter().cloned()).collect();
        let mut removed = 0;
        for directory in [&self.components, &self.native] {
            for entry in fs::read_dir(directory)? {
                let path = entry?.path();
                let is_used = path.file_stem().is_some_and(|stem| names.iter().any(|name| stem == name.as_str()));
                if !is_used {
                    fs::remove_file(&path)?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    /// Keyed BLAKE3 (section 2.3 of the specification) of the name, which is always as long, and the file. Not HMAC with SHA-256: half
    /// of a cold start was that, with instructions for it, which many ARM64 processors do not have.
    fn mac(&self, name: &str, path: &Path) -> io::Result<blake3::Hash> {
        let mut mac = blake3::Hasher::new_keyed(&self.key);
        mac.update(name.as_bytes());
        let mut file = File::open(path)?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(mac.finalize()),
                read => mac.update(&buffer[..read]),
            };
        }
    }

    fn component_path(&self, digest: &str) -> PathBuf {
        self.components.join(format!("{digest}.wasm"))
    }

    fn native_path(&self, name: &str) -> PathBuf {
        self.native.join(format!("{name}.cwasm"))
    }

    fn mac_path(&self, name: &str) -> PathBuf {
        self.native.join(format!("{name}.mac"))
    }
}

/// Why native code was not made.
#[derive(Debug, Error)]
pub(crate) enum MakeError {
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error("storing native code")]
    Io(#[from] io::Error),
}

/// Everything that decides what native code looks like and how it is authenticated, hashed.
fn native_name(digest: &str, profile: Profile) -> String {
    let (arch, profile) = (std::env::consts::ARCH, profile.as_str());
    let what = format!("{SETTINGS_VERSION} {WASMTIME_VERSION} {arch} {profile} blake3 {digest}");
    hex(&Sha256::digest(what.as_bytes()))
}

fn load_or_make_key(directory: &Path, random: impl FnOnce(&mut [u8]) -> io::Result<()>) -> io::Result<[u8; KEY_BYTES]> {
    durable_file::make_directory(directory)?;
    let path = directory.join("mac.key");
    match fs::read(&path) {
        Ok(bytes) => {
            if fs::metadata(&path)?.permissions().mode() & 0o077 != 0 {
                let problem = format!("{} can be read by others; remove it to get a new key", path.display());
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
            }
            if let Ok(key) = bytes.try_into() {
                return Ok(key);
            }
            // All that hangs on it is native code, which is then made again.
            tracing::warn!(path = %path.display(), "the key of native code is damaged; a new one is made");
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut key = [0; KEY_BYTES];
    random(&mut key)?;
    durable_file::write(&path, &key, 0o600)?;
    Ok(key)
}

//! `twin`: read and patch device twins, as granted, through the invocation's buffer.

use crate::bindings::selvedge::function::twin::{Doc, Error, Host, Section};
use crate::host::TwinSection;
use crate::invocation::InvocationState;
use crate::twin_buffer::TwinError;

impl From<TwinError> for Error {
    fn from(error: TwinError) -> Self {
        match error {
            TwinError::Quota(reason) => Self::Quota(reason),
            TwinError::Invalid(reason) => Self::Invalid(reason),
            TwinError::Conflict(revision) => Self::Conflict(revision),
            TwinError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

impl Host for InvocationState {
    fn get(&mut self, device: String, section: Section, path: String) -> Result<Option<Doc>, Error> {
        let section = section.into();
        self.deployment.manifest.grants.check_twin_read(&device, section).map_err(Error::Denied)?;
        let Self { twin, host, .. } = self;
        let doc = twin.get(&device, section, &path, &|device: &str, section: TwinSection, path: &str| {
            host.twin_get(device, section, path)
        })?;
        Ok(doc.map(|doc| Doc { json: doc.json, revision: doc.revision }))
    }

    fn patch(&mut self, device: String, section: Section, merge: String, expected: Option<u64>) -> Result<u64, Error> {
        let section = section.into();
        self.deployment.manifest.grants.check_twin_write(&device, section).map_err(Error::Denied)?;
        let Self { twin, host, .. } = self;
        let stored = |device: &str, section: TwinSection, path: &str| host.twin_get(device, section, path);
        Ok(twin.patch(&device, section, &merge, expected, &stored)?)
    }
}

//! `kv`: the function's own key-values, through the invocation's buffer.

use crate::bindings::selvedge::function::kv::{Entry, Error, Host};
use crate::host::{HostError, KvEntry};
use crate::invocation::InvocationState;
use crate::kv_buffer::{KEY_BYTES_MAX, KvBuffer, KvError};

impl From<KvError> for Error {
    fn from(error: KvError) -> Self {
        match error {
            KvError::Quota(reason) => Self::Quota(reason),
            KvError::Invalid(reason) => Self::Invalid(reason),
            KvError::Conflict(revision) => Self::Conflict(revision),
            KvError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

impl InvocationState {
    /// Runs one operation on the buffer with a way to read what is stored.
    fn with_kv<T>(
        &mut self,
        key: &str,
        operation: impl FnOnce(&mut KvBuffer, &dyn Fn(&str) -> Result<Option<KvEntry>, HostError>) -> Result<T, KvError>,
    ) -> Result<T, Error> {
        let Self { kv, host, deployment, .. } = self;
        deployment.manifest.grants.check_key(key).map_err(Error::Denied)?;
        let stored = |key: &str| host.kv_get(&deployment.manifest.name, key);
        Ok(operation(kv, &stored)?)
    }
}

impl Host for InvocationState {
    fn get(&mut self, key: String) -> Result<Option<Entry>, Error> {
        let entry = self.with_kv(&key, |kv, stored| kv.get(&key, stored))?;
        Ok(entry.map(|entry| Entry { value: entry.value, revision: entry.revision }))
    }

    fn set(&mut self, key: String, value: Vec<u8>, ttl_s: Option<u32>) -> Result<u64, Error> {
        self.with_kv(&key, |kv, stored| kv.set(&key, value, ttl_s, stored))
    }

    fn cas(&mut self, key: String, expected: Option<u64>, value: Vec<u8>) -> Result<u64, Error> {
        self.with_kv(&key, |kv, stored| kv.cas(&key, expected, value, stored))
    }

    fn delete(&mut self, key: String) -> Result<(), Error> {
        self.with_kv(&key, |kv, stored| kv.delete(&key, stored))
    }

    fn increment(&mut self, key: String, delta: i64) -> Result<i64, Error> {
        self.with_kv(&key, |kv, stored| kv.increment(&key, delta, stored))
    }

    fn list(&mut self, prefix: String, after: Option<String>, limit: u32) -> Result<Vec<String>, Error> {
        if [Some(&prefix), after.as_ref()].into_iter().flatten().any(|text| text.len() > KEY_BYTES_MAX) {
            return Err(Error::Invalid(format!("prefix and after have at most {KEY_BYTES_MAX} bytes")));
        }
        let Self { kv, host, deployment, .. } = self;
        deployment.manifest.grants.check_key_prefix(&prefix).map_err(Error::Denied)?;
        let stored = |after: Option<&str>, limit: usize| host.kv_list(&deployment.manifest.name, &prefix, after, limit);
        Ok(kv.list(&prefix, after.as_deref(), limit, &stored)?)
    }
}

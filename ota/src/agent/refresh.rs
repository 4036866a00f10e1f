//! Bringing what is trusted up to date, file by file, as the metadata library asks for them.

use selvedge_ota_metadata::{Clock, Trust, Want};

use super::{Agent, UpdateError};
use crate::host::Event;
use crate::source::{Source, fetch_small};

impl Agent {
    /// Fetches new metadata. A new root counts at once, the rest when all of it is there and good.
    pub(super) fn refresh(
        &self,
        source: &mut dyn Source,
        clock: Clock,
        events: &mut dyn FnMut(Event),
    ) -> Result<(Trust, Vec<String>), UpdateError> {
        let before = self.trust()?.ok_or(UpdateError::NoTrust)?;
        let mut refresh = before.begin(clock, self.limits.metadata);
        let mut root = before.root().version;
        while let Want::File { path, bytes_max, .. } = refresh.wants() {
            events(Event::Metadata { file: path.clone() });
            let refused = |source_name: String, error| UpdateError::Refused {
                source_name,
                file: path.clone(),
                source: Box::new(error),
            };
            match fetch_small(source, &format!("metadata/{path}"), bytes_max)? {
                Some(bytes) => refresh.give(&bytes),
                None => refresh.absent(),
            }
            .map_err(|error| refused(source.name(), error))?;
            let so_far = refresh.trust_so_far();
            if so_far.root().version > root {
                root = so_far.root().version;
                self.store_trust(so_far)?;
            }
        }
        let refreshed = refresh.finish().map_err(|error| UpdateError::Incomplete(error.to_string()))?;
        if refreshed.trust.to_bytes() != before.to_bytes() {
            self.store_trust(&refreshed.trust)?;
        }
        let problems = refreshed.problems.iter().map(ToString::to_string).collect();
        Ok((refreshed.trust, problems))
    }
}

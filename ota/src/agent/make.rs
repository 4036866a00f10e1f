//! Making a content of a payload that is here and good: copied, inflated or patched, and hashed on the way.

use std::io::{self, Read, Write};
use std::path::Path;

use selvedge_ota_metadata::Content;
use selvedge_ota_patch::{BaseImage, CheckedBase, Expected, Kind as PayloadKind, Progress, apply};
use selvedge_ota_slots::ReadAt;
use sha2::{Digest as _, Sha256};

use super::{Agent, InstallError};
use crate::content;
use crate::download::{DownloadError, at};
use crate::host::Event;
use crate::plan::{Form, Item, Offer};

/// Bytes copied at once.
const CHUNK_BYTES: usize = 64 << 10;

/// What a patch is applied to, as the patch library reads it.
pub(super) struct Base(pub(super) Box<dyn ReadAt>);

impl BaseImage for Base {
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }
}

/// Whether what is here is what the offer needs, before anything is fetched.
pub(super) fn check_base<'b>(base: Option<&'b Base>, offer: &Offer) -> Result<Option<CheckedBase<'b>>, InstallError> {
    let Form::Patch(from) = offer.form else { return Ok(None) };
    let path = offer.path.to_string();
    let Some(base) = base else { return Err(InstallError::NoBase { path }) };
    CheckedBase::check(base, &content::patch(from), &mut |_| {})
        .map(Some)
        .map_err(|source| InstallError::Base { path, source })
}

impl Agent {
    /// Writes the content of `item` to `output`. What was written counts only after this said that it is good.
    pub(super) fn make(
        &self,
        item: &Item,
        offer: &Offer,
        base: Option<&CheckedBase<'_>>,
        payload: &Path,
        output: &mut dyn Write,
        events: &mut dyn FnMut(Event),
    ) -> Result<(), InstallError> {
        let file = self.disk.open(payload).map_err(at("read", payload))?;
        let mut reader = Sequential { file: &*file, offset: 0 };
        let (kind, base_of_patch) = match offer.form {
            Form::Plain => return copy(item, payload, &mut reader, output),
            Form::Compressed => (PayloadKind::Full, None),
            Form::Patch(from) => (PayloadKind::Patch, Some(content::patch(from))),
        };
        let expected = Expected { kind, base: base_of_patch, result: content::patch(item.content) };
        let path = offer.path.to_string();
        let mut report = |progress: Progress| {
            events(Event::Make { path: path.clone(), done: progress.done, total: progress.total });
        };
        apply(&mut reader, base, output, &expected, &mut report)
            .map_err(|source| InstallError::Apply { path: offer.path.to_string(), source: Box::new(source) })
    }
}

fn copy(item: &Item, payload: &Path, reader: &mut dyn Read, output: &mut dyn Write) -> Result<(), InstallError> {
    let mut hash = Sha256::new();
    let mut length = 0_u64;
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let read = reader.read(&mut buffer).map_err(at("read", payload))?;
        if read == 0 {
            break;
        }
        let bytes = buffer.get(..read).unwrap_or_default();
        output.write_all(bytes).map_err(at("write what is made of", payload))?;
        hash.update(bytes);
        length += read as u64;
    }
    let made = Content { length, sha256: hash.finalize().into() };
    if made == item.content {
        return Ok(());
    }
    let cause = "it changed after it was checked".to_owned();
    Err(DownloadError::NotSigned { source_name: payload.display().to_string(), path: item.path.to_string(), cause }
        .into())
}

/// A file from its beginning to its end.
struct Sequential<'f> {
    file: &'f dyn ReadAt,
    offset: u64,
}

impl Read for Sequential<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

//! What a content is, in the words of metadata, patches and slots. The three do not know each other; here they meet.

use selvedge_ota_metadata::Content;

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A content by its length and 64 hexadecimal digits.
pub(crate) fn from_hex(length: u64, sha256: &str) -> Option<Content> {
    selvedge_ota_slots::Digest::from_hex(length, sha256).map(of_slot)
}

pub(crate) fn of_slot(digest: selvedge_ota_slots::Digest) -> Content {
    Content { length: digest.length, sha256: digest.sha256 }
}

pub(crate) fn slot(content: Content) -> selvedge_ota_slots::Digest {
    selvedge_ota_slots::Digest { length: content.length, sha256: content.sha256 }
}

pub(crate) fn patch(content: Content) -> selvedge_ota_patch::Digest {
    selvedge_ota_patch::Digest { length: content.length, sha256: content.sha256 }
}

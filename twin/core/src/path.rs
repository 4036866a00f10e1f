//! Where a field is: a JSON pointer (RFC 6901), kept as its text. The root has no cell of its own, so every path has
//! at least one segment.
//!
//! Invariant: paths order parents directly before their descendants (`/a`, `/a/b`, `/a-b`), which plain text order
//! does not (`-` comes before `/`).

use std::cmp::Ordering;
use std::fmt;

/// Longest path that is taken from outside, in bytes.
pub const PATH_BYTES_MAX: usize = 1_024;

/// The path of a field in a document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path(String);

impl Path {
    /// The path of the member `key` of the root.
    #[must_use]
    pub fn root_member(key: &str) -> Self {
        let mut text = String::with_capacity(key.len() + 1);
        push_segment(&mut text, key);
        Self(text)
    }

    /// The path of the member `key` of the object at this path.
    #[must_use]
    pub fn child(&self, key: &str) -> Self {
        let mut text = String::with_capacity(self.0.len() + key.len() + 1);
        text.push_str(&self.0);
        push_segment(&mut text, key);
        Self(text)
    }

    /// Reads a pointer; `None` if it is not one or is the root.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let segments = text.strip_prefix('/')?;
        let well_escaped = segments.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        well_escaped.then(|| Self(text.to_owned()))
    }

    /// The pointer's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The member names from the root to the field.
    pub fn segments(&self) -> impl Iterator<Item = String> + '_ {
        self.0.split('/').skip(1).map(unescape)
    }

    /// Whether `self` lies strictly within the field at `ancestor`.
    #[must_use]
    pub fn is_within(&self, ancestor: &Path) -> bool {
        self.0.strip_prefix(&ancestor.0).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The paths of the objects that this field lies in, innermost first, without the root.
    pub fn ancestors(&self) -> impl Iterator<Item = Path> + '_ {
        let mut rest = self.0.as_str();
        std::iter::from_fn(move || {
            rest = &rest[..rest.rfind('/')?];
            (!rest.is_empty()).then(|| Path(rest.to_owned()))
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Ord for Path {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |byte: u8| if byte == b'/' { 0 } else { u16::from(byte) + 1 };
        self.0.bytes().map(rank).cmp(other.0.bytes().map(rank))
    }
}

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The member name that a segment of a pointer stands for.
pub fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

fn push_segment(text: &mut String, key: &str) {
    text.push('/');
    for c in key.chars() {
        match c {
            '~' => text.push_str("~0"),
            '/' => text.push_str("~1"),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(segments: &[String]) -> Path {
        let (first, rest) = segments.split_first().unwrap();
        rest.iter().fold(Path::root_member(first), |path, segment| path.child(segment))
    }

    #[test]
    fn separators_in_member_names_are_escaped() {
        let path = Path::root_member("a/b").child("m~n").child("");
        assert_eq!(path.as_str(), "/a~1b/m~0n/");
        assert_eq!(path.segments().collect::<Vec<_>>(), ["a/b", "m~n", ""]);
        assert_eq!(Path::root_member("~1").segments().collect::<Vec<_>>(), ["~1"]);
    }

    #[test]
    fn what_is_no_pointer_to_a_member_is_not_parsed() {
        for bad in ["", "a", "a/b", "/~", "/~2", "/a~/b"] {
            assert_eq!(Path::parse(bad), None, "{bad:?}");
        }
        assert_eq!(Path::parse("/a~0~1/"), Some(Path("/a~0~1/".to_owned())));
    }

    #[test]
    fn descendants_come_directly_after_their_parent() {
        let mut paths = ["/a-b", "/a/b", "/a", "/a/b/c", "/a/b-", "/A"].map(|text| Path::parse(text).unwrap());
        paths.sort();
        assert_eq!(paths.each_ref().map(Path::as_str), ["/A", "/a", "/a/b", "/a/b/c", "/a/b-", "/a-b"]);
        assert!(paths[3].is_within(&paths[1]) && !paths[5].is_within(&paths[1]) && !paths[1].is_within(&paths[1]));
        assert_eq!(paths[3].ancestors().collect::<Vec<_>>(), [paths[2].clone(), paths[1].clone()]);
    }

    proptest! {
        #[test]
        fn segments_come_back_as_they_were(segments in proptest::collection::vec("[a~/\\PC]{0,6}", 1..5)) {
            let path = path(&segments);
            prop_assert_eq!(path.segments().collect::<Vec<_>>(), segments);
            prop_assert_eq!(Path::parse(path.as_str()), Some(path));
        }
    }
}

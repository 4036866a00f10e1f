//! `/orders/{id}`: which paths a route is for, and which of two that match is meant. Pure.
//!
//! A path is compared by its segments, each decoded once. Where two patterns match a path, the first segment in which they differ
//! decides: what is literal goes before a parameter, and that before the rest of a path. So there is always one winner, unless two
//! patterns have the same shape.

use std::cmp::Ordering;
use std::fmt;

use serde::{Serialize, Serializer};

/// Longest pattern, bytes, and its segments.
const PATTERN_BYTES_MAX: usize = 512;
const SEGMENTS_MAX: usize = 16;
/// Longest name of a parameter.
const NAME_BYTES_MAX: usize = 32;

/// The paths of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutePattern {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Parameter(String),
    /// One segment or more, to the end.
    Rest(String),
}

impl RoutePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence about what is wrong and what is allowed.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!("is {} bytes long, allowed are {PATTERN_BYTES_MAX}", text.len()));
        }
        let Some(path) = text.strip_prefix('/') else {
            return Err("must begin with '/': it is the part of the path after /fn/NAME".to_owned());
        };
        let segments: Vec<Segment> = match path {
            "" => Vec::new(),
            path => path.split('/').map(segment).collect::<Result<_, _>>()?,
        };
        if segments.len() > SEGMENTS_MAX {
            return Err(format!("has {} segments, allowed are {SEGMENTS_MAX}", segments.len()));
        }
        let before_last = segments.split_last().map_or(&[][..], |(_, before)| before);
        if before_last.iter().any(|segment| matches!(segment, Segment::Rest(_))) {
            return Err("has {*…} before its last segment".to_owned());
        }
        let mut names: Vec<&str> = segments.iter().filter_map(Segment::name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("has two parameters of one name".to_owned());
        }
        Ok(Self { text: text.to_owned(), segments })
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The parameters of a path with these decoded segments, if it matches.
    pub(crate) fn matches(&self, path: &[String]) -> Option<Vec<(String, String)>> {
        let mut parameters = Vec::new();
        let mut rest = path;
        for segment in &self.segments {
            let (first, after) = rest.split_first()?;
            match segment {
                Segment::Literal(text) if text == first => {}
                Segment::Literal(_) => return None,
                Segment::Parameter(_) if first.is_empty() => return None,
                Segment::Parameter(name) => parameters.push((name.clone(), first.clone())),
                Segment::Rest(name) => {
                    parameters.push((name.clone(), rest.join("/")));
                    return Some(parameters);
                }
            }
            rest = after;
        }
        rest.is_empty().then_some(parameters)
    }

    /// `Less`: this one is meant where both match. `Equal`: they match the same paths.
    pub(crate) fn precedence(&self, other: &Self) -> Ordering {
        self.segments.iter().map(Segment::kind).cmp(other.segments.iter().map(Segment::kind))
    }

    /// Do both match the same paths?
    pub(crate) fn has_shape_of(&self, other: &Self) -> bool {
        self.precedence(other) == Ordering::Equal
    }
}

impl Segment {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Parameter(name) | Self::Rest(name) => Some(name),
        }
    }

    /// Ordered by how much it says.
    fn kind(&self) -> (u8, &str) {
        match self {
            Self::Literal(text) => (0, text),
            Self::Parameter(_) => (1, ""),
            Self::Rest(_) => (2, ""),
        }
    }
}

fn segment(text: &str) -> Result<Segment, String> {
    let Some(inner) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*,;=:@".contains(&byte);
        if text.is_empty() || matches!(text, "." | "..") || !text.bytes().all(is_plain) {
            return Err(format!(
                "has the segment {text:?}: allowed are letters, digits and -._~!$&'()*,;=:@, or a parameter {{name}}"
            ));
        }
        return Ok(Segment::Literal(text.to_owned()));
    };
    let (name, is_rest) = inner.strip_prefix('*').map_or((inner, false), |name| (name, true));
    let is_name = name.len() <= NAME_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !is_name {
        return Err(format!(
            "has the parameter {text:?}: its name has 1 to {NAME_BYTES_MAX} lower-case letters, digits and '-', beginning with a letter"
        ));
    }
    Ok(if is_rest { Segment::Rest(name.to_owned()) } else { Segment::Parameter(name.to_owned()) })
}

/// The decoded segments of the path after `/fn/NAME`; `None`: it is no path, or not text.
pub(crate) fn segments(path: &str) -> Option<Vec<String>> {
    match path.strip_prefix('/') {
        None if path.is_empty() => Some(Vec::new()),
        None => None,
        Some("") => Some(Vec::new()),
        Some(path) => path.split('/').map(decoded).collect(),
    }
}

/// RFC 3986, 2.1. A NUL cannot stand in a property of a message.
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

impl fmt::Display for RoutePattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Serialize for RoutePattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> RoutePattern {
        RoutePattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn parameters(text: &str, path: &str) -> Option<String> {
        let found = pattern(text).matches(&segments(path)?)?;
        Some(found.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn paths_match_by_segments_and_are_decoded_once() {
        for (text, path, expected) in [
            ("/", "", Some("")),
            ("/", "/", Some("")),
            ("/", "/a", None),
            ("/orders/{id}", "/orders/7", Some("id=7")),
            ("/orders/{id}", "/orders/a%2Fb%2525", Some("id=a/b%25")),
            ("/orders/{id}", "/orders", None),
            ("/orders/{id}", "/orders/", None),
            ("/orders/{id}", "/orders/7/lines", None),
            ("/a/{x}/{y}", "/a/1/2", Some("x=1 y=2")),
            ("/files/{*rest}", "/files/a/b.txt", Some("rest=a/b.txt")),
            ("/files/{*rest}", "/files", None),
            ("/a", "/%61", Some("")),
            ("/{x}", "/%00", None),
            ("/{x}", "/%ff", None),
            ("/{x}", "/%4", None),
        ] {
            assert_eq!(parameters(text, path).as_deref(), expected, "{text} for {path}");
        }
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for text in
            ["", "a", "//", "/a/", "/a b", "/%41", "/{}", "/{A}", "/{a", "/{*rest}/b", "/{a}/{a}", "/..", "/a+", "/a#"]
        {
            assert!(RoutePattern::parse(text).is_err(), "{text:?}");
        }
        let long = format!("/{}", "a".repeat(PATTERN_BYTES_MAX - 1));
        assert!(RoutePattern::parse(&long).is_ok() && RoutePattern::parse(&format!("{long}a")).is_err());
        assert!(RoutePattern::parse(&"/a".repeat(SEGMENTS_MAX)).is_ok());
        assert!(RoutePattern::parse(&"/a".repeat(SEGMENTS_MAX + 1)).is_err());
    }

    #[test]
    fn the_first_difference_decides_which_is_meant() {
        for (first, second) in
            [("/a/{x}", "/{y}/b"), ("/a/b", "/a/{x}"), ("/a/{x}", "/a/{*rest}"), ("/{x}/b", "/{x}/{y}")]
        {
            assert_eq!(pattern(first).precedence(&pattern(second)), Ordering::Less, "{first} before {second}");
            assert_eq!(pattern(second).precedence(&pattern(first)), Ordering::Greater);
        }
        assert!(pattern("/a/{x}").has_shape_of(&pattern("/a/{y}")));
        assert!(!pattern("/a/{x}").has_shape_of(&pattern("/b/{x}")));
    }

    proptest! {
        #[test]
        fn of_two_that_match_one_is_meant_unless_they_have_one_shape(
            left in "(/([ab]|\\{x\\})){1,3}", right in "(/([ab]|\\{y\\})){1,3}", path in "(/[ab]){1,3}",
        ) {
            // A name twice is no pattern.
            let (Ok(left), Ok(right)) = (RoutePattern::parse(&left), RoutePattern::parse(&right)) else { return Ok(()) };
            let path = segments(&path).unwrap();
            if left.matches(&path).is_some() && right.matches(&path).is_some() {
                prop_assert_eq!(left.precedence(&right) == Ordering::Equal, left.has_shape_of(&right));
                prop_assert_eq!(left.precedence(&right), right.precedence(&left).reverse());
            }
        }

        #[test]
        fn no_path_panics(path in "\\PC*") {
            if let Some(path) = segments(&path) {
                let _ = pattern("/{x}/{*rest}").matches(&path);
            }
        }
    }
}

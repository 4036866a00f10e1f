//! Topic filters of rules and tokens, with `%u` and `%c` in them: what they match, cover and overlap (MQTT 5, 4.7).
//!
//! A filter is kept as a template; the names of user and client are compared in place and never pasted into a text, so that a
//! check allocates nothing. A name that would change the shape of the filter (`/`, `+`, `#`, control characters, a leading `$`)
//! makes it match nothing where it allows, and everything from that level on where it denies: both ways the client gets less.

use thiserror::Error;

use crate::name::fits_a_level;

/// Longest filter, in bytes as written.
pub const FILTER_BYTES_MAX: usize = 1024;

/// Deepest filter, in levels.
pub const FILTER_LEVELS_MAX: usize = 64;

/// Why a filter is not one.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FilterProblem {
    /// It has no characters.
    #[error("the filter is empty")]
    Empty,
    /// More than [`FILTER_BYTES_MAX`] bytes.
    #[error("the filter is longer than {FILTER_BYTES_MAX} bytes")]
    TooLong,
    /// More than [`FILTER_LEVELS_MAX`] levels.
    #[error("the filter has more than {FILTER_LEVELS_MAX} levels")]
    TooDeep,
    /// `#` somewhere else than as the whole last level.
    #[error("'#' must be the whole last level")]
    MisplacedHash,
    /// `+` beside other characters in a level.
    #[error("'+' must be the whole level")]
    MisplacedPlus,
    /// A `%` that is none of `%u`, `%c`, `%%`.
    #[error("'%' must be followed by u (user), c (client) or % (a percent sign)")]
    UnknownPlaceholder,
    /// A control character.
    #[error("the filter holds a control character")]
    ControlCharacter,
    /// `$share/…`.
    #[error("write the filter without $share/ and group: a rule for it holds for shared subscriptions too")]
    Shared,
}

/// Who asks, as far as it can stand in a filter.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Authenticated user, if any.
    pub user: Option<&'a str>,
    /// Client identifier.
    pub client_id: &'a str,
}

/// What a filter is for; decides what a name that fits no level does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Allow,
    Deny,
}

/// A filter with places for names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    levels: Box<[Level]>,
    /// It ends with `#`, which is not among the levels.
    open: bool,
    /// `%u` is in it: it means nothing to who has no user.
    names_user: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    Literal(Box<str>),
    /// `+`.
    Any,
    Named(Box<[Piece]>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    User,
    Client,
}

/// What a level of a filter says to the text of a level.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    Yes,
    No,
    /// A denied filter whose name fits no level: everything from here on is denied.
    Everything,
}

impl Filter {
    pub fn parse(text: &str) -> Result<Self, FilterProblem> {
        if text.is_empty() {
            return Err(FilterProblem::Empty);
        }
        if text.len() > FILTER_BYTES_MAX {
            return Err(FilterProblem::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(FilterProblem::ControlCharacter);
        }
        if text == "$share" || text.starts_with("$share/") {
            return Err(FilterProblem::Shared);
        }
        let (text, open) = match text.strip_suffix('#') {
            Some("") => return Ok(Self { levels: Box::default(), open: true, names_user: false }),
            Some(before) => (before.strip_suffix('/').ok_or(FilterProblem::MisplacedHash)?, true),
            None => (text, false),
        };
        let levels = text.split('/').map(Level::parse).collect::<Result<Box<[Level]>, _>>()?;
        if levels.len() > FILTER_LEVELS_MAX {
            return Err(FilterProblem::TooDeep);
        }
        let names_user =
            levels.iter().any(|level| matches!(level, Level::Named(pieces) if pieces.contains(&Piece::User)));
        Ok(Self { levels, open, names_user })
    }

    /// The first level, where it is the same for everybody and no wildcard.
    pub fn first_literal(&self) -> Option<&str> {
        match self.levels.first() {
            Some(Level::Literal(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether it matches `topic`, a topic name without wildcards.
    pub fn matches(&self, subject: Subject<'_>, side: Side, topic: &str) -> bool {
        if self.names_user && subject.user.is_none() {
            return false;
        }
        let mut rest = Some(topic);
        for (depth, level) in self.levels.iter().enumerate() {
            let Some(text) = rest else { return false };
            if let Level::Literal(literal) = level {
                // Most levels are: compared without looking for the end of the level first.
                rest = match text.strip_prefix(&**literal) {
                    Some("") => None,
                    Some(tail) if tail.starts_with('/') => tail.get(1..),
                    _ => return false,
                };
                continue;
            }
            let end = text.bytes().position(|byte| byte == b'/');
            let (head, tail) = end.map_or((text, None), |end| (&text[..end], Some(&text[end + 1..])));
            match level.fits(subject, side, head, depth) {
                Fit::Yes => rest = tail,
                Fit::No => return false,
                Fit::Everything => return true,
            }
        }
        match rest {
            None => true, // [MQTT 5, 4.7.1.2] "sport/#" also matches the parent, "sport"
            Some(_) => self.open && !(self.levels.is_empty() && topic.starts_with('$')), // [MQTT-4.7.2-1]
        }
    }

    /// Whether every topic that the filter `requested` matches is matched by this one. False for what is no filter.
    pub fn covers(&self, subject: Subject<'_>, requested: &str) -> bool {
        if !is_filter(requested) {
            return false;
        }
        let mut requested_levels = requested.split('/');
        for (depth, level) in self.levels.iter().enumerate() {
            let covered = match requested_levels.next() {
                None => false,
                // Every topic has a first level, so "+/#" is as wide as "#".
                Some("#") => return depth == 0 && self.open && matches!(*self.levels, [Level::Any]),
                Some("+") => *level == Level::Any,
                Some(text) => level.fits(subject, Side::Allow, text, depth) == Fit::Yes,
            };
            if !covered {
                return false;
            }
        }
        if self.open {
            !(self.levels.is_empty() && requested.starts_with('$'))
        } else {
            requested_levels.next().is_none()
        }
    }

    /// Whether some topic is matched by both this denied filter and the filter `requested`. True for what is no filter.
    pub fn overlaps(&self, subject: Subject<'_>, requested: &str) -> bool {
        if !is_filter(requested) {
            return true;
        }
        if self.names_user && subject.user.is_none() {
            return false;
        }
        let mut requested_levels = requested.split('/');
        for (depth, level) in self.levels.iter().enumerate() {
            let fit = match requested_levels.next() {
                None => Fit::No,
                Some(wildcard @ ("#" | "+")) => match level.meets_wildcard(subject, depth) {
                    Fit::Yes if wildcard == "#" => return true,
                    fit => fit,
                },
                Some(text) => level.fits(subject, Side::Deny, text, depth),
            };
            match fit {
                Fit::Yes => {}
                Fit::No => return false,
                Fit::Everything => return true,
            }
        }
        if self.open {
            !(self.levels.is_empty() && requested.starts_with('$'))
        } else {
            matches!(requested_levels.next(), None | Some("#"))
        }
    }
}

impl Level {
    fn parse(text: &str) -> Result<Self, FilterProblem> {
        if text == "+" {
            return Ok(Self::Any);
        }
        if text.contains('#') {
            return Err(FilterProblem::MisplacedHash);
        }
        if text.contains('+') {
            return Err(FilterProblem::MisplacedPlus);
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            literal.push_str(before);
            let piece = match after.chars().next() {
                Some('%') => None,
                Some('u') => Some(Piece::User),
                Some('c') => Some(Piece::Client),
                _ => return Err(FilterProblem::UnknownPlaceholder),
            };
            match piece {
                None => literal.push('%'),
                Some(piece) => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut literal).into()));
                    }
                    pieces.push(piece);
                }
            }
            rest = after.get(1..).unwrap_or_default();
        }
        literal.push_str(rest);
        if pieces.is_empty() {
            return Ok(Self::Literal(literal.into()));
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal.into()));
        }
        Ok(Self::Named(pieces.into()))
    }

    /// Whether this level matches a level of a topic that reads `text`.
    fn fits(&self, subject: Subject<'_>, side: Side, text: &str, depth: usize) -> Fit {
        let fits = match self {
            Self::Literal(literal) => **literal == *text,
            Self::Any => !(depth == 0 && text.starts_with('$')), // [MQTT-4.7.2-1]
            Self::Named(pieces) => {
                let mut rest = Some(text);
                for piece in pieces {
                    let name = match piece.name(subject, side, depth) {
                        Ok(name) => name,
                        Err(fit) => return fit,
                    };
                    rest = rest.and_then(|rest| rest.strip_prefix(name));
                }
                rest == Some("")
            }
        };
        if fits { Fit::Yes } else { Fit::No }
    }

    /// Whether this level of a denied filter has a text in common with `+`.
    fn meets_wildcard(&self, subject: Subject<'_>, depth: usize) -> Fit {
        let mut is_of_the_node = false;
        match self {
            Self::Any => {}
            Self::Literal(text) => is_of_the_node = text.starts_with('$'),
            Self::Named(pieces) => {
                for (index, piece) in pieces.iter().enumerate() {
                    match piece.name(subject, Side::Deny, depth) {
                        Ok(name) => is_of_the_node |= index == 0 && name.starts_with('$'),
                        Err(fit) => return fit,
                    }
                }
            }
        }
        if depth == 0 && is_of_the_node { Fit::No } else { Fit::Yes }
    }
}

impl Piece {
    /// Its text for this subject, or what follows of there being none.
    fn name<'a>(&'a self, subject: Subject<'a>, side: Side, depth: usize) -> Result<&'a str, Fit> {
        let name = match self {
            Self::Text(text) => return Ok(text),
            Self::User => subject.user.ok_or(Fit::No)?, // nobody's topics are neither allowed nor denied
            Self::Client => subject.client_id,
        };
        // A client called "$SYS" must not get the node's topics by a rule for "%c/#".
        let usable = fits_a_level(name) && !(side == Side::Allow && depth == 0 && name.starts_with('$'));
        match (usable, side) {
            (true, _) => Ok(name),
            (false, Side::Allow) => Err(Fit::No),
            (false, Side::Deny) => Err(Fit::Everything),
        }
    }
}

/// Whether `text` is a well-formed topic filter, as far as covering and overlapping depend on it.
fn is_filter(text: &str) -> bool {
    let mut levels = text.split('/').peekable();
    while let Some(level) = levels.next() {
        let well_formed = match level {
            "+" => true,
            "#" => levels.peek().is_none(),
            _ => !level.bytes().any(|byte| matches!(byte, b'+' | b'#')),
        };
        if !well_formed {
            return false;
        }
    }
    !text.is_empty()
}

#[cfg(test)]
mod tests;

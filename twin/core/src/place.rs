//! Where a cell is: thing, section, path, and which part of the field.

use std::fmt;

use crate::dot::Origin;
use crate::path::Path;

/// One of a twin's two documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// What someone wants the thing to be.
    Desired,
    /// What the thing says it is.
    Reported,
}

impl Section {
    /// Both, in the order in which they are shown.
    pub const ALL: [Section; 2] = [Section::Desired, Section::Reported];

    /// The member name in requests and replies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Section::Desired => "desired",
            Section::Reported => "reported",
        }
    }
}

/// A part of a field that is merged on its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The field as one value.
    Register,
    /// An element of a set in which the latest addition or removal of an element decides. The element is JSON text.
    Latest(Box<str>),
    /// An element of a set in which an addition survives a removal that had not seen it. The element is JSON text.
    AddWins(Box<str>),
    /// What one origin has counted. Only that origin counts here; anybody may remove what was counted.
    Share(Origin),
}

impl Part {
    /// Whether a removal here hides more than what it had seen, so that it is kept until nothing can come that it would
    /// hide: in [`Part::Latest`] additions with lesser stamps, in [`Part::Share`] what was counted before.
    #[must_use]
    pub fn removal_hides(&self) -> bool {
        matches!(self, Part::Latest(_) | Part::Share(_))
    }
}

/// Which cell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The thing's name.
    pub thing: Box<str>,
    /// Which document.
    pub section: Section,
    /// Which field.
    pub path: Path,
    /// Which part of it.
    pub part: Part,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.thing, self.section.name(), self.path)?;
        match &self.part {
            Part::Register => Ok(()),
            Part::Latest(element) | Part::AddWins(element) => write!(f, " element {element}"),
            Part::Share(origin) => write!(f, " share of {origin}"),
        }
    }
}

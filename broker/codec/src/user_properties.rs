//! User properties (section 3.1.2.11.8): name-value pairs in an order that is kept ([MQTT-3.3.2-18]), names may repeat.

use std::fmt;

use crate::{
    EncodeError, PacketType,
    property::{Properties, Property},
};

/// The user properties of one packet, borrowed either from a decoded packet or from a slice of pairs.
#[derive(Clone, Copy)]
pub struct UserProperties<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    /// A property section that decoding has checked; other properties in it are skipped.
    Section(&'a [u8]),
    Pairs(&'a [(&'a str, &'a str)]),
}

impl<'a> UserProperties<'a> {
    /// No user properties.
    pub const EMPTY: Self = Self(Source::Pairs(&[]));

    /// From pairs of name and value.
    #[must_use]
    pub const fn from_pairs(pairs: &'a [(&'a str, &'a str)]) -> Self {
        Self(Source::Pairs(pairs))
    }

    /// From a property section whose every property has been decoded once.
    #[inline]
    pub(crate) const fn from_section(section: &'a [u8]) -> Self {
        Self(Source::Section(section))
    }

    /// Name and value of each, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let (section, pairs) = match self.0 {
            Source::Section(section) => (section, &[][..]),
            Source::Pairs(pairs) => (&[][..], pairs),
        };
        let mut properties = Properties::new(section);
        let decoded = std::iter::from_fn(move || properties.next().ok().flatten());
        let decoded = decoded.filter_map(|property| match property {
            Property::User(name, value) => Some((name, value)),
            _ => None,
        });
        decoded.chain(pairs.iter().copied())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    pub(crate) fn put(&self, packet: PacketType, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.iter().try_for_each(|(name, value)| Property::User(name, value).put(packet, out))
    }
}

impl Default for UserProperties<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl PartialEq for UserProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for UserProperties<'_> {}

impl fmt::Debug for UserProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_repeated_names_are_kept_among_other_properties() {
        let mut section = Vec::new();
        for property in
            [Property::User("b", "1"), Property::ReasonString("r"), Property::User("a", "2"), Property::User("b", "1")]
        {
            property.put(PacketType::PubAck, &mut section).expect("valid");
        }
        let decoded = UserProperties::from_section(&section);
        let pairs = [("b", "1"), ("a", "2"), ("b", "1")];
        assert_eq!(decoded, UserProperties::from_pairs(&pairs));
        assert_ne!(decoded, UserProperties::from_pairs(&pairs[..2]));
        assert!(!decoded.is_empty() && UserProperties::EMPTY.is_empty());
    }
}

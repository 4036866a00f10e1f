//! What every contender can do: one replica of a document that is a flat map from names to integers.

/// A write of an integer.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    pub name: &'a str,
    pub value: i64,
}

/// A replica.
pub trait Contender: Sized {
    const NAME: &'static str;

    /// An empty replica; `number` is from 0 to 3.
    fn new(number: u8) -> Self;

    /// Writes in one transaction, told to nobody.
    fn write(&mut self, writes: &[Write<'_>]);

    /// Writes in one transaction and gives the messages that others have to be sent.
    fn write_and_tell(&mut self, writes: &[Write<'_>]) -> Vec<Vec<u8>>;

    /// Takes in a message of another replica.
    fn merge(&mut self, message: &[u8]);

    /// All that a new replica or a restarted program needs.
    fn save(&mut self) -> Vec<u8>;

    /// What a reader sees, by name.
    fn read(&self) -> std::collections::BTreeMap<String, i64>;
}

//! The fields of a packet's body, one after the other (MQTT 5, 1.5); each breach of their rules is an error.

use anyhow::{Context as _, ensure};

/// What is left of a body.
#[derive(Debug)]
pub struct Fields<'a> {
    left: &'a [u8],
}

impl<'a> Fields<'a> {
    /// All of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// There are not so many.
    pub fn take(&mut self, count: usize, what: &str) -> anyhow::Result<&'a [u8]> {
        let (taken, left) =
            self.left.split_at_checked(count).with_context(|| format!("the packet ends inside the {what}"))?;
        self.left = left;
        Ok(taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// There is none.
    pub fn byte(&mut self, what: &str) -> anyhow::Result<u8> {
        Ok(self.take(1, what)?[0])
    }

    /// Two bytes, the higher one first.
    ///
    /// # Errors
    /// There are not so many.
    pub fn two_bytes(&mut self, what: &str) -> anyhow::Result<u16> {
        let bytes = self.take(2, what)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Four bytes, the highest one first.
    ///
    /// # Errors
    /// There are not so many.
    pub fn four_bytes(&mut self, what: &str) -> anyhow::Result<u32> {
        let bytes = self.take(4, what)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A packet identifier, which is never 0 (2.2.1).
    ///
    /// # Errors
    /// It is, or there is none.
    pub fn packet_id(&mut self) -> anyhow::Result<u16> {
        let id = self.two_bytes("packet identifier")?;
        ensure!(id != 0, "packet identifier 0");
        Ok(id)
    }

    /// A variable byte integer with no more bytes than it needs [MQTT-1.5.5-1].
    ///
    /// # Errors
    /// It has more, or more than four.
    pub fn variable(&mut self, what: &str) -> anyhow::Result<u32> {
        let mut value = 0;
        for index in 0..4 {
            let byte = self.byte(what)?;
            value |= u32::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                ensure!(index == 0 || byte != 0, "the {what} has more bytes than it needs");
                return Ok(value);
            }
        }
        anyhow::bail!("the {what} has more than 4 bytes")
    }

    /// Binary data with its length before it.
    ///
    /// # Errors
    /// There are fewer bytes than that.
    pub fn binary(&mut self, what: &str) -> anyhow::Result<&'a [u8]> {
        let length = self.two_bytes(what)?;
        self.take(usize::from(length), what)
    }

    /// A UTF-8 encoded string [MQTT-1.5.4-1], [MQTT-1.5.4-2].
    ///
    /// # Errors
    /// It is not well-formed, or contains U+0000.
    pub fn text(&mut self, what: &str) -> anyhow::Result<String> {
        let text = std::str::from_utf8(self.binary(what)?).with_context(|| format!("the {what} is no UTF-8"))?;
        ensure!(!text.contains('\0'), "the {what} contains the null character: {text:?}");
        Ok(text.to_owned())
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.left)
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// Something is.
    pub fn end(self) -> anyhow::Result<()> {
        ensure!(self.left.is_empty(), "bytes after the last field: {:02x?}", self.left);
        Ok(())
    }
}

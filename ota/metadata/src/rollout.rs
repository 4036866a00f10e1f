//! Staged roll-out: which nodes take an update while it is offered to a part of them.

use serde::{Deserialize, Serialize};

use crate::key::sha256;

/// A part of all nodes. A larger percentage of the same salt is never without a node that a smaller one has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Rollout {
    percent: u8,
    salt: String,
}

#[derive(Deserialize)]
struct Fields {
    percent: u8,
    salt: String,
}

impl Rollout {
    /// A percentage, 0 to 100, of nodes chosen by a salt: another salt, other nodes. None beyond 100.
    pub fn new(percent: u8, salt: impl Into<String>) -> Option<Self> {
        (percent <= 100).then(|| Self { percent, salt: salt.into() })
    }

    /// Whether a node belongs to the part. The same answer on every call and every machine.
    pub fn includes(&self, node_id: &str) -> bool {
        place(node_id, &self.salt) < self.percent
    }

    /// The percentage.
    pub fn percent(&self) -> u8 {
        self.percent
    }
}

impl TryFrom<Fields> for Rollout {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let percent = fields.percent;
        Self::new(percent, fields.salt).ok_or_else(|| format!("a rollout of {percent} percent; 0 to 100 are possible"))
    }
}

/// Where a node stands among all, 0 to 99.
fn place(node_id: &str, salt: &str) -> u8 {
    // The length keeps salt and node apart.
    let text = format!("{}:{salt}{node_id}", salt.len());
    let [a, b, c, d, ..] = sha256(text.as_bytes());
    let hundredth = (u64::from(u32::from_be_bytes([a, b, c, d])) * 100) >> 32;
    u8::try_from(hundredth).unwrap_or(99)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rollout(percent: u8, salt: &str) -> Rollout {
        Rollout::new(percent, salt).unwrap()
    }

    #[test]
    fn the_part_is_as_large_as_it_says() {
        for percent in [0, 1, 10, 50, 99, 100] {
            let part = rollout(percent, "selvedge 1.2.3");
            let count = (0..20_000).filter(|node| part.includes(&format!("gateway-{node}"))).count();
            let expected = 200 * usize::from(percent);
            // Five standard deviations of a fair draw are 354 at most.
            assert!(count.abs_diff(expected) < 354, "{percent} percent: {count} of 20000");
            assert!(percent != 0 || count == 0);
            assert!(percent != 100 || count == 20_000);
        }
    }

    #[test]
    fn another_salt_chooses_other_nodes() {
        let (first, second) = (rollout(50, "a"), rollout(50, "b"));
        let both = (0..10_000).filter(|node| first.includes(&node.to_string()) && second.includes(&node.to_string()));
        assert!(both.count().abs_diff(2_500) < 250);
        assert_ne!(place("bc", "a"), place("c", "ab"));
    }

    #[test]
    fn a_node_keeps_its_place_for_ever() {
        // sha256("1:sgateway-1") and so on, the first four bytes of 2^32 parts in hundredths, by another program.
        assert_eq!([place("gateway-1", "s"), place("gateway-2", "s"), place("", "")], [62, 35, 72]);
    }

    #[test]
    fn more_than_everybody_is_refused() {
        assert!(Rollout::new(101, "").is_none());
        let problem = serde_json::from_str::<Rollout>(r#"{"percent":101,"salt":"s"}"#).unwrap_err().to_string();
        assert!(problem.contains("a rollout of 101 percent; 0 to 100 are possible"), "{problem}");
    }

    proptest! {
        #[test]
        fn who_is_in_stays_in(node in ".{0,12}", salt in ".{0,12}", percent in 0_u8..100) {
            prop_assert!(!rollout(percent, &salt).includes(&node) || rollout(percent + 1, &salt).includes(&node));
        }
    }
}

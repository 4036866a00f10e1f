//! What the runs of one pipeline did so far: seen by the later ones, and put together for one commit.
//!
//! Invariants: of each key and section the revision that was seen first is the one that is checked; of each key there is one write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use crate::host::{
    BucketEffects, CommitDone, CommitFailure, Effects, Host, HostError, KvChange, KvEntry, KvRead, KvWrite, TwinDoc,
    TwinPatch, TwinRead, TwinSection,
};
use crate::message::InvocationMessage;
use crate::outgoing::{HttpReply, HttpRequest};
use crate::twin_buffer;

/// The runs' effects, laid over a host.
pub(crate) struct Together {
    below: Arc<dyn Host>,
    sum: Mutex<Sum>,
}

#[derive(Default)]
struct Sum {
    /// By function.
    buckets: BTreeMap<String, Bucket>,
    twin_reads: Vec<TwinRead>,
    twin_patches: Vec<TwinPatch>,
    publish: Vec<InvocationMessage>,
    replies: Vec<InvocationMessage>,
    depth: u32,
}

#[derive(Default)]
struct Bucket {
    reads: BTreeMap<String, Option<u64>>,
    writes: BTreeMap<String, KvWrite>,
}

impl Bucket {
    fn add_write(&mut self, write: KvWrite) {
        match self.writes.get_mut(&write.key) {
            Some(before) => before.change = write.change,
            None => {
                let expected = self.reads.remove(&write.key).unwrap_or(write.expected);
                self.writes.insert(write.key.clone(), KvWrite { expected, ..write });
            }
        }
    }

    fn into_effects(self) -> (Vec<KvRead>, Vec<KvWrite>) {
        let reads = self.reads.into_iter().map(|(key, revision)| KvRead { key, revision });
        (reads.collect(), self.writes.into_values().collect())
    }
}

impl Together {
    pub(crate) fn new(below: Arc<dyn Host>) -> Arc<Self> {
        Arc::new(Self { below, sum: Mutex::default() })
    }

    /// Adds what one more run did; gives what it hands on.
    pub(crate) fn add(&self, effects: Effects) -> Vec<InvocationMessage> {
        let mut sum = self.sum.lock();
        sum.depth = sum.depth.max(effects.depth);
        let bucket = sum.buckets.entry(effects.function).or_default();
        for read in effects.kv_reads {
            if !bucket.writes.contains_key(&read.key) {
                bucket.reads.entry(read.key).or_insert(read.revision);
            }
        }
        effects.kv_writes.into_iter().for_each(|write| bucket.add_write(write));
        for read in effects.twin_reads {
            sum.add_twin_read(read);
        }
        for mut patch in effects.twin_patches {
            let is_first = !sum.twin_patches.iter().any(|before| before.is_of(&patch.device, patch.section));
            // Behind an earlier patch the section has another revision; what was asked for is the stored one.
            if !is_first && let Some(revision) = patch.expected.take() {
                let (device, section) = (patch.device.clone(), patch.section);
                sum.add_twin_read(TwinRead { device, section, revision: Some(revision) });
            }
            sum.twin_patches.push(patch);
        }
        sum.publish.extend(effects.publish);
        sum.replies.extend(effects.replies);
        effects.handed
    }

    /// All of it as effects of the function that the pipeline began with.
    pub(crate) fn finish(&self, function: String, invocation_id: String, delivery: Option<u64>) -> Effects {
        let sum = std::mem::take(&mut *self.sum.lock());
        let mut buckets = sum.buckets;
        let (kv_reads, kv_writes) = buckets.remove(&function).unwrap_or_default().into_effects();
        let others = buckets.into_iter().filter_map(|(function, bucket)| {
            let (kv_reads, kv_writes) = bucket.into_effects();
            let is_empty = kv_reads.is_empty() && kv_writes.is_empty();
            (!is_empty).then_some(BucketEffects { function, kv_reads, kv_writes })
        });
        Effects {
            others: others.collect(),
            function,
            invocation_id,
            delivery,
            depth: sum.depth,
            kv_reads,
            kv_writes,
            twin_reads: sum.twin_reads,
            twin_patches: sum.twin_patches,
            publish: sum.publish,
            replies: sum.replies,
            handed: Vec::new(),
        }
    }
}

impl Sum {
    fn add_twin_read(&mut self, read: TwinRead) {
        let is_new =
            !self.twin_reads.iter().any(|before| before.device == read.device && before.section == read.section);
        if is_new {
            self.twin_reads.push(read);
        }
    }
}

impl Host for Together {
    fn now_ms(&self) -> u64 {
        self.below.now_ms()
    }

    fn random(&self, buffer: &mut [u8]) {
        self.below.random(buffer);
    }

    fn elapsed(&self, measured: Duration) -> Duration {
        self.below.elapsed(measured)
    }

    fn remaining(&self, measured: Duration) -> Duration {
        self.below.remaining(measured)
    }

    fn kv_get(&self, function: &str, key: &str) -> Result<Option<KvEntry>, HostError> {
        let sum = self.sum.lock();
        match sum.buckets.get(function).and_then(|bucket| bucket.writes.get(key)).map(|write| &write.change) {
            Some(KvChange::Set { value, revision, .. }) => {
                Ok(Some(KvEntry { value: value.clone(), revision: *revision }))
            }
            Some(KvChange::Delete) => Ok(None),
            None => {
                drop(sum);
                self.below.kv_get(function, key)
            }
        }
    }

    fn kv_list(
        &self,
        function: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, HostError> {
        let sum = self.sum.lock();
        let Some(bucket) = sum.buckets.get(function).filter(|bucket| !bucket.writes.is_empty()) else {
            drop(sum);
            return self.below.kv_list(function, prefix, after, limit);
        };
        let mut keys = self.below.kv_list(function, prefix, after, limit.saturating_add(bucket.writes.len()))?;
        keys.retain(|key| !bucket.writes.contains_key(key));
        let own = bucket.writes.values().filter(|write| {
            let is_there = matches!(write.change, KvChange::Set { .. });
            is_there && write.key.starts_with(prefix) && after.is_none_or(|after| write.key.as_str() > after)
        });
        keys.extend(own.map(|write| write.key.clone()));
        keys.sort_unstable();
        keys.truncate(limit);
        Ok(keys)
    }

    fn twin_get(&self, device: &str, section: TwinSection, path: &str) -> Result<Option<TwinDoc>, HostError> {
        let sum = self.sum.lock();
        let patches: Vec<Value> = sum
            .twin_patches
            .iter()
            .filter(|patch| patch.is_of(device, section))
            .filter_map(|patch| serde_json::from_str(&patch.merge).ok())
            .collect();
        drop(sum);
        if patches.is_empty() {
            return self.below.twin_get(device, section, path);
        }
        let stored = self.below.twin_get(device, section, "")?;
        let (mut document, revision) = match stored {
            None => (Value::Object(serde_json::Map::new()), 0),
            Some(stored) => {
                let document = serde_json::from_str(&stored.json);
                (document.map_err(|error| HostError::Unavailable(format!("stored twin: {error}")))?, stored.revision)
            }
        };
        patches.iter().for_each(|patch| twin_buffer::merge(&mut document, patch));
        Ok(document.pointer(path).map(|part| TwinDoc { json: part.to_string(), revision }))
    }

    fn event(&self, function: &str, event: &str, detail: Value) {
        self.below.event(function, event, detail);
    }

    fn memory_available(&self) -> Option<u64> {
        self.below.memory_available()
    }

    fn http(&self, request: &HttpRequest) -> Result<HttpReply, HostError> {
        self.below.http(request)
    }

    /// A run commits nothing by itself.
    fn commit(&self, _effects: Effects, done: CommitDone) {
        done.end(Err(CommitFailure::Refused("a part of a pipeline has no commit of its own".to_owned())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::{OfflineHost, OfflineState};

    fn together() -> Arc<Together> {
        let reported = [(TwinSection::Reported, serde_json::json!({ "a": 1, "b": { "c": 2 } }))];
        let kv = [("k1", "one"), ("k2", "two")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let twins = BTreeMap::from([("pump".to_owned(), BTreeMap::from(reported))]);
        Together::new(Arc::new(OfflineHost::new(OfflineState { kv: BTreeMap::from(kv), twins })))
    }

    fn set(key: &str, expected: Option<u64>, value: &str, revision: u64) -> KvWrite {
        let change = KvChange::Set { value: value.into(), revision, ttl_s: None };
        KvWrite { key: key.to_owned(), expected, change }
    }

    fn patch(merge: &str, expected: Option<u64>) -> TwinPatch {
        TwinPatch { device: "pump".to_owned(), section: TwinSection::Reported, merge: merge.to_owned(), expected }
    }

    #[test]
    fn keys_are_as_the_last_run_left_them_and_checked_as_the_first_one_saw_them() {
        let together = together();
        let read = KvRead { key: "k1".to_owned(), revision: Some(1) };
        together.add(Effects { function: "f".to_owned(), kv_reads: vec![read], ..Effects::default() });
        let writes = vec![set("k1", Some(1), "uno", 5), set("k3", None, "three", 5)];
        together.add(Effects { function: "f".to_owned(), kv_writes: writes, ..Effects::default() });
        let gone = KvWrite { key: "k2".to_owned(), expected: Some(1), change: KvChange::Delete };
        let writes = vec![set("k1", Some(5), "eins", 6), gone];
        together.add(Effects { function: "f".to_owned(), kv_writes: writes, ..Effects::default() });

        assert_eq!(together.kv_get("f", "k1").unwrap().unwrap().value, b"eins");
        assert_eq!(together.kv_get("f", "k2").unwrap(), None);
        assert_eq!(together.kv_list("f", "k", None, 10).unwrap(), ["k1", "k3"]);
        assert_eq!(together.kv_list("f", "k", Some("k1"), 10).unwrap(), ["k3"]);
        assert_eq!(together.kv_list("f", "k", None, 1).unwrap(), ["k1"]);
        assert_eq!(together.kv_get("g", "k2").unwrap().unwrap().value, b"two", "another function's bucket");

        let all = together.finish("f".to_owned(), "f-1".to_owned(), Some(3));
        assert_eq!((all.kv_reads.len(), all.delivery, all.others.len()), (0, Some(3), 0));
        let expected: Vec<_> = all.kv_writes.iter().map(|write| (write.key.as_str(), write.expected)).collect();
        assert_eq!(expected, [("k1", Some(1)), ("k2", Some(1)), ("k3", None)]);
        assert!(matches!(&all.kv_writes[0].change, KvChange::Set { revision: 6, .. }));
    }

    #[test]
    fn twins_are_as_patched_and_a_revision_behind_a_patch_is_that_which_is_stored() {
        let together = together();
        together.add(Effects { twin_patches: vec![patch("{\"b\":{\"c\":null,\"d\":3}}", None)], ..Effects::default() });
        let part = together.twin_get("pump", TwinSection::Reported, "/b").unwrap().unwrap();
        assert_eq!((part.json.as_str(), part.revision), ("{\"d\":3}", 1));
        assert_eq!(together.twin_get("pump", TwinSection::Reported, "/b/c").unwrap(), None);
        assert_eq!(together.twin_get("other", TwinSection::Reported, "").unwrap(), None);
        together.add(Effects { twin_patches: vec![patch("{\"a\":2}", Some(1))], ..Effects::default() });
        let all = together.finish("f".to_owned(), "f-1".to_owned(), None);
        let expected: Vec<_> = all.twin_patches.iter().map(|patch| patch.expected).collect();
        assert_eq!(expected, [None, None]);
        assert_eq!(all.twin_reads.iter().map(|read| read.revision).collect::<Vec<_>>(), [Some(1)]);
    }
}

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
        for read in
            effects.kv_reads.into_iter().filter(|read| !bucket.writes.contains_key(&read.key)).collect::<Vec<_>>()
        {
            bucket.reads.entry(read.key).or_insert(read.revision);
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
        done(Err(CommitFailure::Refused("a part of a pipeline has no commit of its own".to_owned())));
    }
}

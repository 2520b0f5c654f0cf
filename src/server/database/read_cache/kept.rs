//! The kept answers, bounded by their bytes. `quick_cache` drops the ones that were not used for longest.

use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

use super::{CacheKey, KeptAnswer};
use crate::server::metrics::Metrics;

/// The memory of one kept answer besides its texts, in bytes: its places in the tables, its cursor and its locks.
const BYTES_OF_AN_ANSWER: usize = 512;
/// How many answers the tables of the cache have room for at first. They grow.
const ANSWERS: usize = 1_024;

/// The kept answers by their keys.
pub(super) struct KeptAnswers {
    answers: Cache<Arc<CacheKey>, WeighedAnswer, AnswerWeight, DefaultHashBuilder, NoteDropped>,
    /// Held while an answer is put into the cache, so that a compressed answer never replaces a newer one.
    putting: Mutex<()>,
    metrics: Arc<Metrics>,
}

/// An answer with its weight, which must not change while the cache holds it.
#[derive(Clone)]
struct WeighedAnswer {
    kept: Arc<KeptAnswer>,
    weight: u64,
}

#[derive(Clone)]
struct AnswerWeight;

/// Notes the keys of the answers that leave the cache while an answer is put into it.
#[derive(Clone)]
struct NoteDropped;

impl KeptAnswers {
    pub(super) fn new(bytes: u64, metrics: Arc<Metrics>) -> Self {
        let options = OptionsBuilder::new()
            // One table has one bound. With several, an answer would have to fit into its part of the bound.
            .shards(1)
            .estimated_items_capacity(ANSWERS)
            .weight_capacity(bytes)
            .build()
            .expect("both capacities are set");
        let answers = Cache::with_options(options, AnswerWeight, DefaultHashBuilder::default(), NoteDropped);
        Self { answers, putting: Mutex::default(), metrics }
    }

    /// Sets the memory of all answers together, in bytes.
    pub(super) fn set_capacity(&self, bytes: u64) {
        self.answers.set_capacity(bytes);
        self.show_bytes();
    }

    pub(super) fn get(&self, key: &Arc<CacheKey>) -> Option<Arc<KeptAnswer>> {
        Some(self.answers.get(key)?.kept)
    }

    pub(super) fn clear(&self) {
        self.answers.clear();
        self.show_bytes();
    }

    /// Puts an answer into the cache, which may have no room for it.
    pub(super) fn put(&self, key: &Arc<CacheKey>, kept: &Arc<KeptAnswer>) {
        let _putting = self.putting.lock().unwrap_or_else(PoisonError::into_inner);
        self.weigh_and_put(key, kept);
    }

    /// Weighs an answer again that was compressed, if the cache still holds it.
    pub(super) fn weigh_again(&self, key: &Arc<CacheKey>, kept: &Arc<KeptAnswer>) {
        let _putting = self.putting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.answers.peek(key).is_some_and(|held| Arc::ptr_eq(&held.kept, kept)) {
            self.weigh_and_put(key, kept);
        }
    }

    fn weigh_and_put(&self, key: &Arc<CacheKey>, kept: &Arc<KeptAnswer>) {
        let texts = key.read.bytes() + key.scope.project().map_or(0, str::len) + kept.encoded.bytes();
        let answer = WeighedAnswer { kept: kept.clone(), weight: (texts + BYTES_OF_AN_ANSWER) as u64 };
        let mut dropped = Vec::new();
        self.answers.insert_with_lifecycle(key.clone(), answer, &mut dropped);
        // The answer that the new one replaces leaves too, and not for room.
        let for_room = dropped.iter().filter(|dropped| *dropped != key).count();
        self.metrics.cache_evictions.inc_by(for_room as u64);
        self.show_bytes();
    }

    fn show_bytes(&self) {
        self.metrics.cache_bytes.set(self.answers.weight().cast_signed());
    }
}

impl Weighter<Arc<CacheKey>, WeighedAnswer> for AnswerWeight {
    fn weight(&self, _: &Arc<CacheKey>, answer: &WeighedAnswer) -> u64 {
        answer.weight
    }
}

impl Lifecycle<Arc<CacheKey>, WeighedAnswer> for NoteDropped {
    type RequestState = Vec<Arc<CacheKey>>;

    fn on_evict(&self, dropped: &mut Vec<Arc<CacheKey>>, key: Arc<CacheKey>, _: WeighedAnswer) {
        dropped.push(key);
    }
}

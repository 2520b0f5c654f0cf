//! The answers to reads.

use std::sync::Arc;

use bytes::Bytes;

use super::read_cache::{CacheKey, KeptAnswer, ReadCache};
use crate::protocol::Cursor;
use crate::server::metrics::{AnswerSource, Answered, Metrics};

/// The answer to a read: its JSON, encoded once, or that the row does not exist.
pub struct Answer {
    pub(super) kept: Arc<KeptAnswer>,
    pub(super) cursor: Cursor,
    pub(super) source: AnswerSource,
    pub(super) metrics: Arc<Metrics>,
    /// The place in the cache, if the answer has one.
    pub(super) place: Option<(Arc<ReadCache>, Arc<CacheKey>)>,
}

impl Answer {
    /// The JSON. None: the row that the read names does not exist.
    pub fn json(&self) -> Option<&Bytes> {
        self.kept.encoded.json()
    }

    /// The JSON in the coding `gzip`. None: the answer is too short to be compressed.
    pub async fn gzip(&self) -> Option<Bytes> {
        let (gzip, made) = self.kept.encoded.gzip().await?;
        if made {
            self.metrics.answers_compressed.inc();
            if let Some((cache, key)) = &self.place {
                cache.weigh_again(key, &self.kept);
            }
        }
        Some(gzip.clone())
    }

    /// The entity tag of the JSON, which is the same in every coding.
    pub fn etag(&self) -> &str {
        self.kept.encoded.etag()
    }

    /// The changes that the answer contains.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Counts the read by its source. `not_modified`: the caller has the answer already.
    pub fn count(&self, not_modified: bool) {
        let by = match self.source {
            AnswerSource::Memory if not_modified => AnswerSource::NotModified,
            source => source,
        };
        self.metrics.reads.get_or_create(&Answered { by }).inc();
    }
}

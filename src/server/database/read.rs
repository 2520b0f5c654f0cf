//! The only way to read for an answer: look into the cache, or take a snapshot, run the queries in it, encode the answer
//! once.
//!
//! The cache of answers, one query for concurrent reads of equal keys and the heed of `Requery-At-Least` are in
//! [`Database::read`]. No other place may do them. The transaction carries the scope of the caller: lists are limited to
//! it, and a row is found by its id with [`in_scope`](super::in_scope).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sea_orm::{DbErr, TransactionTrait};
use serde::Serialize;

use super::answer::Answer;
use super::encoded::EncodedAnswer;
use super::read_cache::{Base, CacheKey, FoundAnswer, KeptAnswer, Waited};
use super::read_key::ReadKey;
use super::transaction::{ReadTransaction, Statements};
use super::{Database, DatabaseError, Position};
use crate::protocol::limits;
use crate::protocol::{Cursor, Notice};
use crate::server::access::scope::Scope;
use crate::server::metrics::{AnswerSource, Operation};

impl Database {
    /// The answer of `queries`, which run in one snapshot and return none if the row that they look for does not exist.
    ///
    /// The answer contains every change that the server had shown in any way when the request came: every write that it
    /// had acknowledged, every change of an earlier answer, and every change that it had sent on a stream. It contains
    /// `at_least` too, if that is a cursor of this run. An answer that is known to contain them comes from memory.
    ///
    /// Few reads run at once, and the others wait here: a write never waits behind more of them for a core.
    pub async fn read<T: Serialize, E: From<DatabaseError>>(
        &self,
        scope: Scope,
        at_least: Option<&Cursor>,
        key: ReadKey,
        queries: impl AsyncFnOnce(&ReadTransaction) -> Result<Option<T>, E>,
    ) -> Result<Answer, E> {
        tracing::debug!(%key, %scope, "read");
        let place = self.place(&key, &scope)?;
        let demand = place.as_ref().map(|(_, shown)| self.0.read_cache.demand(shown.clone(), at_least));
        let place = place.map(|(place, _)| place).zip(demand);
        self.read_at(place, None, scope, &key, async |tx, _| queries(tx).await).await
    }

    /// The changes since `since` of the answer that [`Database::read`] gives for `key`, as `queries` make them from a
    /// cursor that is not later. The answer itself, if it is in memory and the caller has it: `has` tells so from its
    /// tag. None: the caller needs the whole answer, or it costs no more.
    ///
    /// All callers that hold the answer before the last change get the same changes, from one query.
    pub async fn read_changes<T: Serialize, E: From<DatabaseError>>(
        &self,
        scope: Scope,
        at_least: Option<&Cursor>,
        key: &ReadKey,
        since: &Cursor,
        has: impl FnOnce(&str) -> bool,
        queries: impl AsyncFnOnce(&ReadTransaction, &Cursor) -> Result<Option<T>, E>,
    ) -> Result<Option<Answer>, E> {
        tracing::debug!(%key, %scope, %since, "read changes");
        let cache = &self.0.read_cache;
        let Some((whole, shown)) = self.place(key, &scope)? else { return Ok(None) };
        let demand = cache.demand(shown, at_least);
        if let Some(kept) = cache.peek(&whole) {
            if kept.encoded.json().is_some_and(|_| has(kept.encoded.etag()))
                && let Some(found) = cache.find(&whole, None, &demand)
            {
                return Ok(Some(self.found(found, whole)));
            }
            if kept.encoded.json().is_none_or(|json| json.len() <= self.0.short_answer.load(Ordering::Relaxed)) {
                return Ok(None);
            }
        }
        let Some(base) = cache.base(&whole, since) else { return Ok(None) };
        if Position::of(&base.cursor).changes_until(&Position::of(&demand)) > limits::SINCE_CHANGES {
            return Ok(None);
        }
        let key = key.of_changes(base.is_current);
        let place = CacheKey::of(&key, &scope).map(|place| (place, demand));
        let queries = async |tx: &ReadTransaction, base: Option<&Cursor>| queries(tx, base.unwrap_or(since)).await;
        let answer = self.read_at(place, Some(base), scope, &key, queries).await?;
        Ok(answer.json().is_some().then_some(answer))
    }

    /// The answer at a place of the cache that covers a demand. Without a place it is read from the database.
    async fn read_at<T: Serialize, E: From<DatabaseError>>(
        &self,
        place: Option<(Arc<CacheKey>, Cursor)>,
        base: Option<Base>,
        scope: Scope,
        key: &ReadKey,
        queries: impl AsyncFnOnce(&ReadTransaction, Option<&Cursor>) -> Result<Option<T>, E>,
    ) -> Result<Answer, E> {
        let (cache, metrics) = (&self.0.read_cache, self.metrics());
        let for_all = match place {
            None => None,
            Some((place, demand)) => match cache.wait(place.clone(), base, &demand).await? {
                Waited::Found(found) => {
                    metrics.answer_time.note(Duration::ZERO);
                    return Ok(self.found(found, place));
                }
                Waited::Read(for_all) => Some((for_all, place)),
            },
        };
        // Without the cache the answer contains all of this too: the snapshot begins after the request came.
        let _turn = self.0.read_turns.take().await?;
        let began = Instant::now();
        let read = self.snapshot(scope).await?;
        self.count_query(key);
        let base = for_all.as_ref().and_then(|(for_all, _)| for_all.base.as_ref());
        let encoded = match queries(&read, base).await? {
            Some(value) => self.encode(&value)?,
            None => EncodedAnswer::absent(),
        };
        metrics.answer_time.note(began.elapsed());
        let cursor = read.cursor.clone();
        let (kept, place) = match for_all {
            Some((for_all, place)) => (for_all.keep(encoded, cursor.clone()), Some((cache.clone(), place))),
            None => (Arc::new(KeptAnswer::new(encoded, cursor.clone(), None)), None),
        };
        Ok(Answer { kept, cursor, source: AnswerSource::Database, metrics, place })
    }

    fn found(&self, found: FoundAnswer, place: Arc<CacheKey>) -> Answer {
        let place = Some((self.0.read_cache.clone(), place));
        Answer { kept: found.kept, cursor: found.cursor, source: AnswerSource::Memory, metrics: self.metrics(), place }
    }

    /// Makes the answer of a read model that can be behind the rows, such as the search index, and that waits a moment for
    /// every change. `queries` takes its own snapshot of the scope, and returns the value with the cursor of the changes
    /// that the value shows. Such an answer is not kept.
    pub async fn read_with_cursor<T: Serialize, E: From<DatabaseError>>(
        &self,
        scope: Scope,
        key: ReadKey,
        queries: impl AsyncFnOnce(Scope) -> Result<(T, Cursor), E>,
    ) -> Result<Answer, E> {
        tracing::debug!(%key, %scope, "read");
        self.count_query(&key);
        let (value, cursor) = queries(scope).await?;
        let kept = Arc::new(KeptAnswer::new(self.encode(&value)?, cursor.clone(), None));
        Ok(Answer { kept, cursor, source: AnswerSource::Database, metrics: self.metrics(), place: None })
    }

    /// The place of an answer in the cache, and the changes that the server has shown. None: the answer is not kept, or
    /// no tail tells the cache of changes.
    fn place(&self, key: &ReadKey, scope: &Scope) -> Result<Option<(Arc<CacheKey>, Cursor)>, DatabaseError> {
        // Fails while the database is away.
        let shown = self.shown()?;
        if !self.0.read_cache.follows(shown.epoch()) {
            return Ok(None);
        }
        Ok(CacheKey::of(key, scope).map(|place| (place, shown)))
    }

    fn encode(&self, value: &impl Serialize) -> Result<EncodedAnswer, DatabaseError> {
        self.0.metrics.answers_encoded.inc();
        EncodedAnswer::of(value)
    }

    fn count_query(&self, key: &ReadKey) {
        self.0.metrics.queries.get_or_create(&Operation { operation: key.operation() }).inc();
    }

    /// Sets the memory for answers, in bytes.
    pub fn keep_answers(&self, bytes: u64) {
        self.0.read_cache.set_capacity(bytes);
    }

    /// Sets the length up to which an answer is sent whole in place of its changes, in bytes. 0: none is.
    pub fn send_whole(&self, bytes: usize) {
        self.0.short_answer.store(bytes, Ordering::Relaxed);
    }

    /// Tells the cache of answers that the tail follows the log from `cursor` on.
    pub(in crate::server) fn begin_notes(&self, cursor: &Cursor) {
        self.0.read_cache.begin(cursor);
    }

    /// Tells the cache of answers of changes, each with a position that contains it.
    pub(in crate::server) fn note_changes<'n>(&self, changes: impl Iterator<Item = (&'n Notice, Position)>) {
        self.0.read_cache.note(changes);
    }

    /// Tells the cache of answers that it was told of every change in `cursor`.
    pub(in crate::server) fn complete_notes(&self, cursor: &Cursor) {
        self.0.read_cache.complete(cursor);
    }

    /// Tells the cache of answers that the log cannot name the changes any more.
    pub(in crate::server) fn end_notes(&self) {
        self.0.read_cache.forget();
    }

    /// Runs `queries` in one snapshot, in turn with the reads of answers, for a question of an open stream.
    pub async fn look_up<T>(
        &self,
        scope: Scope,
        queries: impl AsyncFnOnce(&ReadTransaction) -> Result<T, DbErr>,
    ) -> Result<T, DatabaseError> {
        let _turn = self.0.read_turns.take().await?;
        Ok(queries(&self.snapshot(scope).await?).await?)
    }

    /// One snapshot of the projects in `scope`, for followers of the log and for streams. Answers go through
    /// [`Database::read`] and [`Database::read_with_cursor`].
    pub async fn snapshot(&self, scope: Scope) -> Result<ReadTransaction, DatabaseError> {
        let connections = self.connections()?;
        let transaction = connections.readers.begin().await.map_err(DatabaseError::from)?;
        // The cursor is read first and in the same snapshot, so that an answer never claims more than it contains.
        let cursor = connections.cursor(&transaction).await?;
        if connections.note_minted(&cursor) {
            // A commit that no reader has seen yet, maybe of another process: the tail should read it as soon as a
            // reader does.
            self.ring();
        }
        let statements = Statements::of(transaction, self.0.metrics.rows_read.clone());
        Ok(ReadTransaction { database: self.clone(), cursor, scope, statements })
    }
}

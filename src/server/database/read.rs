//! The only way to read for an answer: look into the cache, or take a snapshot, run the queries in it, encode the
//! answer once.
//!
//! The cache of answers, one query for concurrent reads of equal keys and the heed of `Requery-At-Least` are in
//! [`Database::read`]. No other place may do them. The transaction carries the scope of the caller: lists are limited
//! to it, and a row is found by its id with [`in_scope`](super::in_scope).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sea_orm::{DbBackend, DbErr, TransactionTrait};
use serde::Serialize;
use tokio::sync::SemaphorePermit;

use super::answer::Answer;
use super::encoded::EncodedAnswer;
use super::read_cache::{Base, CacheKey, FoundAnswer, KeptAnswer, Waited};
use super::read_key::ReadKey;
use super::transaction::{ReadTransaction, Statements};
use super::{ChangePlace, Database, DatabaseError, Open, Position};
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
        let place = self.place(&key, &scope, at_least)?;
        let demand = place.as_ref().map(|(_, shown)| self.0.read_cache.demand(shown.clone(), at_least));
        let place = place.map(|(place, _)| place).zip(demand);
        self.read_at(place, scope, &key, queries).await
    }

    /// The answer for a caller that holds the answer for `key` at the cursor `since`: its changes, as `changes` make
    /// them from a cursor that is not later, or the whole one, as `queries` make it. It is the whole one if the caller
    /// has it, which `has` tells from its tag, if it is short, and where `changes` return none.
    ///
    /// All callers that hold the answer before the last change get the same changes, from one query.
    pub async fn read_since<T: Serialize, C: Serialize, E: From<DatabaseError>>(
        &self,
        scope: Scope,
        at_least: Option<&Cursor>,
        key: ReadKey,
        (since, has): (&Cursor, impl FnOnce(&str) -> bool),
        changes: impl AsyncFnOnce(&ReadTransaction, &Cursor) -> Result<Option<C>, E>,
        queries: impl AsyncFnOnce(&ReadTransaction) -> Result<Option<T>, E>,
    ) -> Result<Answer, E> {
        let cache = &self.0.read_cache;
        let Some((whole, shown)) = self.place(&key, &scope, at_least)? else {
            return self.read(scope, at_least, key, queries).await;
        };
        let demand = cache.demand(shown, at_least);
        let Some(base) = self.base_of_changes(&whole, since, &demand, has) else {
            return self.read_at(Some((whole, demand)), scope, &key, queries).await;
        };
        tracing::debug!(%key, %scope, base = %base.cursor, "read changes");
        let of_changes = key.of_changes(base.is_current);
        let Some(place) = CacheKey::of(&of_changes, &scope) else {
            return self.read(scope, at_least, key, queries).await;
        };
        let for_all = match cache.wait(place.clone(), Some(base), &demand).await? {
            Waited::Found(found) if found.kept.encoded.json().is_some() => return Ok(self.found(found, place)),
            Waited::Found(_) => return self.read_at(Some((whole, demand)), scope, &key, queries).await,
            Waited::Read(for_all) => for_all,
        };
        let read = self.begin_read(scope).await?;
        self.count_query(&of_changes);
        if let Some(value) = changes(&read.tx, for_all.base.as_ref().unwrap_or(since)).await? {
            let kept = for_all.keep(self.encode(&value)?, read.tx.cursor.clone());
            return Ok(read.end(kept, Some(place)));
        }
        // In the same snapshot, so that an answer without changes costs little more than one that was asked for whole.
        self.count_query(&key);
        let encoded = self.encoded(queries(&read.tx).await?)?;
        let kept = cache.put(&whole, encoded, read.tx.cursor.clone());
        for_all.keep(EncodedAnswer::absent(), read.tx.cursor.clone());
        Ok(read.end(kept, Some(whole)))
    }

    /// Where the changes begin for a caller that holds the answer `whole` at `since`. None: it gets the whole answer.
    fn base_of_changes(
        &self,
        whole: &Arc<CacheKey>,
        since: &Cursor,
        demand: &Cursor,
        has: impl FnOnce(&str) -> bool,
    ) -> Option<Base> {
        let cache = &self.0.read_cache;
        if let Some(kept) = cache.peek(whole) {
            let json = kept.encoded.json()?;
            let is_short = json.len() <= self.0.short_answer.load(Ordering::Relaxed);
            if is_short || has(kept.encoded.etag()) && cache.find(whole, None, demand).is_some() {
                return None;
            }
        }
        let base = cache.base(whole, since)?;
        // On Postgres the number is that of the transactions of all databases, and the statement has a bound of its own.
        let part = Position::of(&base.cursor).changes_until(&Position::of(demand));
        (self.backend() == DbBackend::Postgres || part <= limits::SINCE_CHANGES).then_some(base)
    }

    /// The whole answer at a place of the cache that covers a demand. Without a place it is read from the database.
    async fn read_at<T: Serialize, E: From<DatabaseError>>(
        &self,
        place: Option<(Arc<CacheKey>, Cursor)>,
        scope: Scope,
        key: &ReadKey,
        queries: impl AsyncFnOnce(&ReadTransaction) -> Result<Option<T>, E>,
    ) -> Result<Answer, E> {
        let for_all = match place {
            None => None,
            Some((place, demand)) => match self.0.read_cache.wait(place.clone(), None, &demand).await? {
                Waited::Found(found) => return Ok(self.found(found, place)),
                Waited::Read(for_all) => Some((for_all, place)),
            },
        };
        // Without the cache the answer contains all of this too: the snapshot begins after the request came.
        let read = self.begin_read(scope).await?;
        self.count_query(key);
        let encoded = self.encoded(queries(&read.tx).await?)?;
        let cursor = read.tx.cursor.clone();
        let (kept, place) = match for_all {
            Some((for_all, place)) => (for_all.keep(encoded, cursor), Some(place)),
            None => (Arc::new(KeptAnswer::new(encoded, cursor, None)), None),
        };
        Ok(read.end(kept, place))
    }

    /// Begins a read from the database, in turn with the others.
    async fn begin_read(&self, scope: Scope) -> Result<RunningRead<'_>, DatabaseError> {
        let turn = self.0.read_turns.take().await?;
        let began = Instant::now();
        Ok(RunningRead { database: self, tx: self.snapshot(scope).await?, began, _turn: turn })
    }

    fn found(&self, found: FoundAnswer, place: Arc<CacheKey>) -> Answer {
        self.metrics().answer_time.note(Duration::ZERO);
        let place = Some((self.0.read_cache.clone(), place));
        Answer { kept: found.kept, cursor: found.cursor, source: AnswerSource::Memory, metrics: self.metrics(), place }
    }

    /// Makes the answer of a read model that can be behind the rows, such as the search index, and that waits a moment
    /// for every change. `queries` takes its own snapshot of the scope, and returns the value with the cursor of the
    /// changes that the value shows. Such an answer is not kept.
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
    fn place(
        &self,
        key: &ReadKey,
        scope: &Scope,
        at_least: Option<&Cursor>,
    ) -> Result<Option<(Arc<CacheKey>, Cursor)>, DatabaseError> {
        // Fails while the database is away.
        let shown = self.shown()?;
        // A cursor that does not say what it contains: a snapshot of now contains it, since it was committed before.
        if at_least.is_some_and(Cursor::is_of_crowd) {
            return Ok(None);
        }
        if !self.0.read_cache.follows(shown.epoch()) {
            return Ok(None);
        }
        Ok(CacheKey::of(key, scope).map(|place| (place, shown)))
    }

    fn encoded(&self, value: Option<impl Serialize>) -> Result<EncodedAnswer, DatabaseError> {
        value.map_or_else(|| Ok(EncodedAnswer::absent()), |value| self.encode(&value))
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

    /// Tells the cache of answers of changes, each with its place in the log.
    pub(in crate::server) fn note_changes<'n>(&self, changes: impl Iterator<Item = (&'n Notice, ChangePlace)>) {
        self.0.read_cache.note(changes);
    }

    /// Tells the cache of answers that it was told of every change in `cursor`.
    pub(in crate::server) fn complete_notes(&self, cursor: &Cursor) {
        self.0.read_cache.complete(cursor);
    }

    /// Tells the cache of answers that the log has no change between `known`, up to which the cache was told, and `cursor`.
    /// So the cache need not wait for the tail.
    pub(super) fn note_nothing_between(&self, known: Option<&Cursor>, cursor: &Cursor) {
        if known.is_some_and(|known| known.epoch() == cursor.epoch()) {
            self.complete_notes(cursor);
        }
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
        // The cursor is read first and in the same snapshot, so that an answer never claims more than it contains.
        let (transaction, cursor, is_new, patience) = match self.opened()? {
            Open::File(open) => {
                let transaction = open.readers.begin().await.map_err(DatabaseError::from)?;
                let cursor = open.cursor(&transaction).await?;
                let is_new = open.note_minted(&cursor);
                (transaction, cursor, is_new, None)
            }
            Open::Server(open) => {
                let known = self.0.read_cache.reached();
                let (transaction, cursor, has_grown) = open.begin_read(known.as_ref()).await?;
                if !has_grown {
                    self.note_nothing_between(known.as_ref(), &cursor);
                }
                let is_new = open.note_minted(&cursor) && has_grown;
                (transaction, cursor, is_new, Some(open.patience))
            }
        };
        if is_new {
            // A commit that no reader has seen yet, maybe of another process: the tail should read it as soon as a
            // reader does.
            self.ring();
        }
        let statements = Statements::of(transaction, self.0.metrics.rows_read.clone());
        let statements = match patience {
            Some(patience) => statements.with_patience(patience),
            None => statements,
        };
        Ok(ReadTransaction { database: self.clone(), cursor, scope, statements })
    }
}

/// A read from the database that runs.
struct RunningRead<'d> {
    database: &'d Database,
    tx: ReadTransaction,
    began: Instant,
    _turn: SemaphorePermit<'d>,
}

impl RunningRead<'_> {
    /// The answer that was read, at its place in the cache.
    fn end(self, kept: Arc<KeptAnswer>, place: Option<Arc<CacheKey>>) -> Answer {
        let metrics = self.database.metrics();
        metrics.answer_time.note(self.began.elapsed());
        let place = place.map(|place| (self.database.0.read_cache.clone(), place));
        Answer { kept, cursor: self.tx.cursor, source: AnswerSource::Database, metrics, place }
    }
}

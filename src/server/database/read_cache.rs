//! The read cache: encoded answers in memory, each with the cursor up to which it is known to be right.
//!
//! The tail of the log tells the cache of each change before it tells the hub, so the cache never takes an answer for
//! current whose notice a stream has sent. An answer is given only to a request whose demand its cursor covers: cursors
//! decide, and no time does. Several servers on one database can each have a cache.
//!
//! The requests for one answer that is not in memory wait for one of them, which reads the database for all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::encoded::EncodedAnswer;
use super::read_key::ReadKey;
use super::{ChangePlace, DatabaseError};
use crate::protocol::limits;
use crate::protocol::{Cursor, Notice};
use crate::server::access::scope::Scope;
use crate::server::metrics::Metrics;

mod flight;
use flight::{Flights, Leader, Passenger};

mod kept;
use kept::KeptAnswers;

mod noted;
pub(super) use noted::Base;
use noted::{Dependency, NotedChanges};

/// The memory for answers by default, in bytes.
pub const READ_CACHE: u64 = 64 * 1024 * 1024;

/// The read cache of one database.
pub(super) struct ReadCache {
    answers: KeptAnswers,
    /// None while no tail follows the log: then no answer is known to be current.
    noted: Mutex<Option<NotedChanges>>,
    /// Rung when the noted changes reach a newer cursor.
    reached: Notify,
    flights: Flights<Arc<CacheKey>, Arc<KeptAnswer>>,
    /// The beginning of the times of the flights.
    began: Instant,
}

/// The key of an answer: the read, and the scope of its caller.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct CacheKey {
    read: ReadKey,
    scope: Scope,
    dependency: Dependency,
}

/// An answer in memory.
#[derive(Debug)]
pub(super) struct KeptAnswer {
    pub(super) encoded: EncodedAnswer,
    /// The answer has the changes since this cursor alone. None: the answer is a whole one.
    base: Option<Cursor>,
    /// The answer is known to be right at this cursor. It moves on when the answer is found to be current.
    cursor: Mutex<Cursor>,
}

/// An answer that covers the demand of a request.
pub(super) struct FoundAnswer {
    pub(super) kept: Arc<KeptAnswer>,
    pub(super) cursor: Cursor,
}

/// The outcome of the wait for an answer.
pub(super) enum Waited<'c> {
    /// The answer is in memory.
    Found(FoundAnswer),
    /// The caller reads the database, for itself and for the requests that wait with it.
    Read(ReadForAll<'c>),
}

/// The right and the duty to read the database for all requests that wait for one answer. Dropping it passes it on.
pub(super) struct ReadForAll<'c> {
    /// The read is of the changes since this cursor.
    pub(super) base: Option<Cursor>,
    // Dropped in this order: the next leader is one of the requests that still wait.
    leader: Leader<Arc<KeptAnswer>>,
    waiting: Passenger<'c, Arc<CacheKey>, Arc<KeptAnswer>>,
    cache: &'c ReadCache,
    key: Arc<CacheKey>,
}

impl CacheKey {
    /// None: the answer is not kept.
    pub(super) fn of(read: &ReadKey, scope: &Scope) -> Option<Arc<Self>> {
        let dependency = Dependency::of(read.read_model()?, scope);
        Some(Arc::new(Self { read: read.clone(), scope: scope.clone(), dependency }))
    }
}

impl KeptAnswer {
    pub(super) fn new(encoded: EncodedAnswer, cursor: Cursor, base: Option<Cursor>) -> Self {
        Self { encoded, base, cursor: Mutex::new(cursor) }
    }

    /// Whether a request for the changes since `base` can be answered with this. Changes since an earlier cursor
    /// contain the changes since a later one: they lead from each answer in between to the one of now. That an earlier
    /// cursor has none to tell says nothing about a later one, so such an answer is for the callers that wait for it
    /// now.
    fn is_for(&self, base: Option<&Base>, waited: bool) -> bool {
        match (&self.base, base.map(|base| &base.cursor)) {
            (None, None) => true,
            (Some(ours), Some(base)) => {
                base.covers(ours) && (waited || self.encoded.json().is_some() || ours.covers(base))
            }
            _ => false,
        }
    }
}

impl ReadCache {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            answers: KeptAnswers::new(READ_CACHE, metrics),
            noted: Mutex::default(),
            reached: Notify::new(),
            flights: Flights::default(),
            began: Instant::now(),
        }
    }

    /// Sets the memory of all answers together, in bytes.
    pub(super) fn set_capacity(&self, bytes: u64) {
        self.answers.set_capacity(bytes);
    }

    /// The tail follows the log from `cursor` on.
    pub(super) fn begin(&self, cursor: &Cursor) {
        self.forget();
        *lock(&self.noted) = Some(NotedChanges::from(cursor.clone()));
    }

    /// No tail follows the log any more.
    pub(super) fn forget(&self) {
        *lock(&self.noted) = None;
        self.answers.clear();
    }

    /// Notes changes, each with its place in the log.
    pub(super) fn note<'n>(&self, changes: impl Iterator<Item = (&'n Notice, ChangePlace)>) {
        if let Some(noted) = &mut *lock(&self.noted) {
            changes.for_each(|(notice, place)| noted.note(notice, &place));
        }
    }

    /// The cursor up to which every change is noted. None: no tail tells the cache of changes.
    pub(super) fn reached(&self) -> Option<Cursor> {
        lock(&self.noted).as_ref().map(|noted| noted.reached().clone())
    }

    /// Notes that every change in `cursor` was noted.
    pub(super) fn complete(&self, cursor: &Cursor) {
        let is_ours = lock(&self.noted).as_mut().is_some_and(|noted| noted.complete(cursor));
        if is_ours {
            self.reached.notify_waiters();
        } else {
            self.begin(cursor);
        }
    }

    /// Whether a tail follows the log of the run `epoch`.
    pub(super) fn follows(&self, epoch: &str) -> bool {
        lock(&self.noted).as_ref().is_some_and(|noted| noted.reached().epoch() == epoch)
    }

    /// The changes that the answer to a request that comes now has to contain: those that the server has shown in any
    /// way, and those that the caller demands. A cursor of another run demands no change.
    pub(super) fn demand(&self, shown: Cursor, at_least: Option<&Cursor>) -> Cursor {
        let noted = lock(&self.noted).as_ref().map(|noted| noted.reached().clone());
        let more = [noted.as_ref(), at_least].into_iter().flatten();
        more.fold(
            shown,
            |demand, more| if demand.covers(more) { demand } else { demand.joined(more).unwrap_or(demand) },
        )
    }

    /// Where the changes of the answer `key` begin for a caller that holds it at `since`. None: no tail follows the
    /// log, or the caller is known to need the whole answer.
    pub(super) fn base(&self, key: &CacheKey, since: &Cursor) -> Option<Base> {
        let noted = lock(&self.noted);
        let noted = noted.as_ref().filter(|noted| !noted.need_whole(&key.read, &key.scope, since))?;
        Some(noted.base(key.dependency, since))
    }

    /// The answer in memory, whether it is current or not.
    pub(super) fn peek(&self, key: &Arc<CacheKey>) -> Option<Arc<KeptAnswer>> {
        self.answers.get(key)
    }

    /// Waits until the answer is in memory, or until this request is the one that reads the database. `base`: the
    /// caller asks for the changes since that cursor.
    pub(super) async fn wait(
        &self,
        key: Arc<CacheKey>,
        base: Option<Base>,
        demand: &Cursor,
    ) -> Result<Waited<'_>, DatabaseError> {
        if let Some(found) = self.find(&key, base.as_ref(), demand) {
            return Ok(Waited::Found(found));
        }
        let waiting = self.flights.join(&key, base.as_ref().map(|base| &base.cursor), self.began.elapsed());
        let waited = timeout(limits::CONNECTION_WAIT, self.wait_in_flight(&key, base.as_ref(), demand, &waiting)).await;
        Ok(match waited.map_err(|_| DatabaseError::Busy)? {
            Ok(found) => Waited::Found(found),
            Err((leader, oldest)) => {
                let base = match (base, oldest) {
                    (Some(base), Some(oldest)) if base.cursor.covers(&oldest) => Some(oldest),
                    (base, _) => base.map(|base| base.cursor),
                };
                Waited::Read(ReadForAll { base, leader, waiting, cache: self, key })
            }
        })
    }

    /// Waits for the answer. Returns the leader as an error if this request has to read, with the oldest base of the
    /// requests that wait.
    async fn wait_in_flight(
        &self,
        key: &Arc<CacheKey>,
        base: Option<&Base>,
        demand: &Cursor,
        waiting: &Passenger<'_, Arc<CacheKey>, Arc<KeptAnswer>>,
    ) -> Result<FoundAnswer, (Leader<Arc<KeptAnswer>>, Option<Cursor>)> {
        let find = || {
            let landed = waiting.answer().filter(|kept| kept.is_for(base, true));
            landed.and_then(|kept| self.if_covers(key, kept, demand)).or_else(|| self.find(key, base, demand))
        };
        let mut leader = loop {
            let landed = waiting.landed().notified();
            let mut landed = std::pin::pin!(landed);
            landed.as_mut().enable();
            if let Some(found) = find() {
                return Ok(found);
            }
            match waiting.lead() {
                Some(leader) => break leader,
                None => landed.await,
            }
        };
        loop {
            let reached = self.reached.notified();
            let mut reached = std::pin::pin!(reached);
            reached.as_mut().enable();
            if let Some(found) = find() {
                return Ok(found);
            }
            match leader.begin_read(self.began.elapsed()) {
                Ok(oldest) => return Err((leader, oldest)),
                // The tail may reach the demand meanwhile, and the answer may be found to be current.
                Err(begin) => tokio::select! {
                    () = sleep_until(self.began + begin) => {}
                    () = reached => {}
                },
            }
        }
    }

    /// The answer in memory, if it covers the demand.
    pub(super) fn find(&self, key: &Arc<CacheKey>, base: Option<&Base>, demand: &Cursor) -> Option<FoundAnswer> {
        let kept = self.answers.get(key).filter(|kept| kept.is_for(base, false))?;
        if base.is_some_and(|base| base.is_current) && !self.lacks_nothing(key, &kept) {
            return None;
        }
        self.if_covers(key, kept, demand)
    }

    /// Whether the answer has the changes since a cursor at which a caller still lacks nothing. A caller that lacks
    /// nothing is not sent what the callers before lacked. Only a caller that waited for the answer is: a change that
    /// was noted during its wait is no reason for a query of its own.
    fn lacks_nothing(&self, key: &CacheKey, kept: &KeptAnswer) -> bool {
        let noted = lock(&self.noted);
        let ours = noted.as_ref().zip(kept.base.as_ref());
        ours.is_some_and(|(noted, base)| noted.is_current(key.dependency, base))
    }

    /// The answer with the newest cursor at which it is known to be right, if that covers the demand.
    fn if_covers(&self, key: &CacheKey, kept: Arc<KeptAnswer>, demand: &Cursor) -> Option<FoundAnswer> {
        let cursor = {
            let noted = lock(&self.noted);
            let noted = noted.as_ref()?;
            let mut cursor = lock(&kept.cursor);
            if noted.is_current(key.dependency, &cursor) && !cursor.covers(noted.reached()) {
                *cursor = cursor.joined(noted.reached())?;
            }
            cursor.clone()
        };
        cursor.covers(demand).then_some(FoundAnswer { kept, cursor })
    }

    /// Keeps a whole answer that was read at `cursor`.
    pub(super) fn put(&self, key: &Arc<CacheKey>, encoded: EncodedAnswer, cursor: Cursor) -> Arc<KeptAnswer> {
        let kept = Arc::new(KeptAnswer::new(encoded, cursor, None));
        self.answers.put(key, &kept);
        kept
    }

    /// Weighs an answer again that was compressed, if the cache still holds it.
    pub(super) fn weigh_again(&self, key: &Arc<CacheKey>, kept: &Arc<KeptAnswer>) {
        self.answers.weigh_again(key, kept);
    }
}

impl ReadForAll<'_> {
    /// Keeps the answer, which was read at `cursor`, and hands it to the requests that wait.
    pub(super) fn keep(self, encoded: EncodedAnswer, cursor: Cursor) -> Arc<KeptAnswer> {
        let kept = Arc::new(KeptAnswer::new(encoded, cursor, self.base));
        self.cache.answers.put(&self.key, &kept);
        self.leader.land(self.waiting.has_company().then(|| kept.clone()));
        kept
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Requests that wait for one of them: it can end, fail or leave, and the others get their answer all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use requery::protocol::{Cursor, ReadModel};
use requery::server::access::scope::Scope;
use requery::server::database::{Database, DatabaseError, ReadKey, ReadTransaction};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Cached;
use crate::app::PATIENCE;

/// A read whose query waits for a permit.
#[derive(Clone, Default)]
struct Held {
    begun: Arc<AtomicUsize>,
    permits: Arc<Semaphore2>,
}

struct Semaphore2(Semaphore);

impl Default for Semaphore2 {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Held {
    /// The query answers with its number. The queries up to `failures` fail.
    async fn read(&self, database: &Database, failures: usize) -> Result<u64, DatabaseError> {
        let queries = async |_: &ReadTransaction| {
            let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            self.permits.0.acquire().await.unwrap().forget();
            if number > failures { Ok(Some(number)) } else { Err(DatabaseError::Busy) }
        };
        let key = ReadKey::new("held", ReadModel::Overview);
        let answer = database.read(Scope::All, None, key, queries).await?;
        Ok(serde_json::from_slice(answer.json().unwrap()).unwrap())
    }

    /// The changes since `since`, whose query answers with its number. `whole` is the answer that the caller never
    /// needs.
    async fn read_since(&self, database: &Database, since: &Cursor) -> u64 {
        let changes = async |_: &ReadTransaction, _: &Cursor| -> Result<Option<u64>, DatabaseError> {
            let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            self.permits.0.acquire().await.unwrap().forget();
            Ok(Some(number as u64))
        };
        let whole = async |_: &ReadTransaction| -> Result<Option<u64>, DatabaseError> { panic!("a whole answer") };
        let key = ReadKey::new("held", ReadModel::Overview);
        let answer =
            database.read_since(Scope::All, None, key, (since, |_: &str| false), changes, whole).await.unwrap();
        serde_json::from_slice(answer.json().unwrap()).unwrap()
    }

    async fn until_begun(&self, queries: usize) {
        let begun = async {
            while self.begun.load(Ordering::SeqCst) < queries {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, begun).await.expect("the query begins in time");
    }

    fn let_end(&self, queries: usize) {
        self.permits.0.add_permits(queries);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_leaves_hands_the_query_to_the_next_one() {
    let cached = Cached::start().await;
    let held = Held::default();
    let read = || {
        let (held, database) = (held.clone(), cached.database.clone());
        tokio::spawn(async move { held.read(&database, 0).await.unwrap() })
    };
    for left in 1..=5 {
        let leader = read();
        held.until_begun(left).await;
        let others: Vec<_> = (0..20).map(|_| read()).collect();
        leader.abort();
        assert!(leader.await.unwrap_err().is_cancelled());
        held.until_begun(left + 1).await;
        if left == 5 {
            held.let_end(1);
            for answer in timeout(PATIENCE, join_all(others)).await.expect("answers in time") {
                assert_eq!(answer.unwrap(), 6);
            }
        } else {
            // All leave. The key is free for the next request.
            others.iter().for_each(|other| other.abort());
            join_all(others).await;
            held.begun.store(left, Ordering::SeqCst);
        }
    }
    assert_eq!(timeout(PATIENCE, read()).await.unwrap().unwrap(), 6, "the answer is kept");
    cached.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_fails_fails_one_request_alone() {
    let cached = Cached::start().await;
    let held = Held::default();
    let read = || {
        let (held, database) = (held.clone(), cached.database.clone());
        tokio::spawn(async move { held.read(&database, 3).await })
    };
    let all: Vec<_> = (0..20).map(|_| read()).collect();
    held.let_end(4);
    let answers = timeout(PATIENCE, join_all(all)).await.expect("answers in time");
    let (good, failed): (Vec<_>, Vec<_>) = answers.into_iter().map(|answer| answer.unwrap()).partition(Result::is_ok);
    assert_eq!((good.len(), failed.len()), (17, 3));
    assert!(good.into_iter().all(|answer| answer.unwrap() == 4));
    cached.stop().await;
}

/// A change is noted while callers that lack nothing wait. They take the answer that they waited for, with that change,
/// and do not read one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_lack_nothing_share_an_answer_also_if_a_change_is_noted_while_they_wait() {
    const CALLERS: usize = 20;
    let cached = Cached::start().await;
    let mut ws = cached.ws().await;
    let held = Held::default();
    let since = cached.get("/api/v1/overview", &[]).await.cursor();
    let all: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (held, database, since) = (held.clone(), cached.database.clone(), since.clone());
            tokio::spawn(async move { held.read_since(&database, &since).await })
        })
        .collect();
    held.until_begun(1).await;
    cached.task("new", "p").await;
    cached.until_told(&mut ws).await;
    held.let_end(CALLERS);
    let answers = timeout(PATIENCE, join_all(all)).await.expect("answers in time");
    assert!(answers.into_iter().all(|answer| answer.unwrap() <= 2));
    assert!(held.begun.load(Ordering::SeqCst) <= 2, "{} queries", held.begun.load(Ordering::SeqCst));
    cached.stop().await;
}

/// Without the tail no one tells the cache of changes: each request reads the database.
#[tokio::test]
async fn a_database_without_a_server_keeps_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(crate::store::Store::of(folder.path()).location()).await.unwrap();
    let held = Held::default();
    held.let_end(9);
    for number in 1..=3 {
        assert_eq!(held.read(&database, 0).await.unwrap(), number);
    }
}

//! Many requests for one answer: the work follows the changes, and not the number of the requests.

use futures_util::future::join_all;

use super::{Cached, Got, OVERVIEW, Work};

const CLIENTS: u64 = 1_000;

async fn all_get(cached: &Cached, path: &str, headers: &[(&str, &str)]) -> Vec<Got> {
    join_all((0..CLIENTS).map(|_| cached.get(path, headers))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reads_after_a_change_cost_one_query_and_one_encoding_and_one_compression() {
    let cached = Cached::start().await;
    for number in 0..5 {
        cached.task(&format!("task {number}"), "p").await;
    }
    for path in [OVERVIEW, "/api/v1/tasks", "/api/v1/projects"] {
        let changed = cached.write("POST", "/api/v1/tasks", serde_json::json!({"title": "more"})).await.0;
        let before = cached.work();
        let answers = all_get(&cached, path, &[("accept-encoding", "gzip")]).await;
        assert!(answers.iter().all(|got| got.status == 200 && got.cursor().covers(&changed)));
        assert!(answers.iter().all(|got| got.body == answers[0].body));
        let work = cached.work().since(before);
        let expected =
            Work { queries: 1, encoded: 1, compressed: 1, not_modified: 0, memory: CLIENTS - 1, database: 1 };
        let zipped = answers[0].header("content-encoding") == "gzip";
        assert_eq!(work, Work { compressed: u64::from(zipped), ..expected }, "{path}");

        // The clients ask again, with the tag that each of them has.
        let before = cached.work();
        let answers = all_get(&cached, path, &[("if-none-match", answers[0].header("etag"))]).await;
        assert!(answers.iter().all(|got| got.status == 304 && got.body.is_empty() && got.cursor().covers(&changed)));
        let work = cached.work().since(before);
        assert_eq!(work, Work { not_modified: CLIENTS, ..Work::default() }, "{path}");
    }
    assert!(cached.work().compressed > 0);
    cached.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_another_task_costs_no_query() {
    let cached = Cached::start().await;
    let (open, other) = (cached.task("open", "p").await, cached.task("other", "p").await);
    let path = format!("/api/v1/tasks/{open}");
    let mut ws = cached.ws().await;
    let first = cached.get(&path, &[]).await;
    for number in 0..20 {
        let changed = cached.rename(&other, &format!("other {number}")).await;
        cached.until_told(&mut ws).await;
        let before = cached.work();
        let again = cached.get(&path, &[]).await;
        assert!(again.cursor().covers(&changed) && again.body == first.body);
        assert_eq!(cached.work().since(before), Work { memory: 1, ..Work::default() });
    }
    cached.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reads_of_a_deleted_task_cost_one_query() {
    let cached = Cached::start().await;
    let task = cached.task("gone", "p").await;
    let path = format!("/api/v1/tasks/{task}");
    assert_eq!(cached.get(&path, &[]).await.status, 200);
    let deleted = cached.write("DELETE", &path, serde_json::Value::Null).await.0;
    let before = cached.work();
    let answers = all_get(&cached, &path, &[]).await;
    for got in &answers {
        assert!(got.status == 404 && got.cursor().covers(&deleted), "{}", got.status);
    }
    let work = cached.work().since(before);
    assert_eq!((work.queries, work.encoded, work.memory), (1, 0, CLIENTS - 1));

    // The task is there again as soon as it begins again.
    let again = serde_json::json!({"task_id": task, "title": "again"});
    cached.write("POST", "/api/v1/tasks", again).await;
    assert_eq!(cached.get(&path, &[]).await.json()["task"]["title"], "again");
    cached.stop().await;
}

/// Each client requests the overview again as soon as it has an answer, and a writer makes 50 changes a second. A key that
/// is crowded is read at most once in 40 ms, plus once for the first read of each second window.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_reads_an_answer_that_changes_all_the_time_at_most_25_times_a_second() {
    let cached = Cached::start().await;
    let task = cached.task("changes", "p").await;
    let before = cached.work();
    let began = tokio::time::Instant::now();
    let writer = async {
        for number in 0..100 {
            cached.rename(&task, &format!("title {number}")).await;
            tokio::time::sleep_until(began + std::time::Duration::from_millis(20 * (number + 1))).await;
        }
    };
    let writing = std::sync::atomic::AtomicBool::new(true);
    let reading = join_all((0..100).map(|_| async {
        let mut answers = 0_u64;
        while writing.load(std::sync::atomic::Ordering::SeqCst) {
            assert_eq!(cached.get(OVERVIEW, &[]).await.status, 200);
            answers += 1;
        }
        answers
    }));
    let writing = async {
        writer.await;
        writing.store(false, std::sync::atomic::Ordering::SeqCst);
    };
    let ((), answers) = tokio::join!(writing, reading);
    let (answers, work) = (answers.iter().sum::<u64>(), cached.work().since(before));
    let windows = u64::try_from(began.elapsed().as_millis() / 40).unwrap() + 1;
    assert!(work.queries <= windows, "{work:?} in {windows} windows");
    assert!(answers > 4 * work.queries, "{answers} answers, {work:?}");
    cached.stop().await;
}

/// A program that writes and reads in turn never waits for a window.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_is_alone_gets_a_query_for_each_of_its_changes() {
    let cached = Cached::start().await;
    let task = cached.task("changes", "p").await;
    let path = format!("/api/v1/tasks/{task}");
    let before = cached.work();
    for number in 0..200 {
        let title = format!("title {number}");
        cached.rename(&task, &title).await;
        assert_eq!(cached.get(&path, &[]).await.json()["task"]["title"], title);
    }
    let work = cached.work().since(before);
    assert_eq!((work.queries, work.database), (200, 200));
    cached.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_cache_drops_answers_and_reads_them_again() {
    let cached = Cached::start_with(|config| config.read_cache = 8 * 1024).await;
    let mut tasks = Vec::new();
    for number in 0..30 {
        tasks.push(cached.task(&format!("task {number}"), "p").await);
    }
    for round in 0..3 {
        for (number, task) in tasks.iter().enumerate() {
            let got = cached.get(&format!("/api/v1/tasks/{task}"), &[]).await;
            assert_eq!(got.json()["task"]["title"], format!("task {number}"), "{round}");
        }
    }
    let metrics = cached.database.metrics();
    assert!(metrics.cache_evictions.get() > 0 && metrics.cache_bytes.get() <= 8 * 1024);
    assert!(metrics.cache_bytes.get() > 0);
    // An answer that the cache has no room for is still read once for all who wait.
    let before = cached.work();
    let answers = all_get(&cached, "/api/v1/tasks", &[]).await;
    assert!(answers.iter().all(|got| got.status == 200 && got.body.len() > 8 * 1024));
    let work = cached.work().since(before);
    assert!(work.queries < CLIENTS / 4, "{work:?}");
    cached.stop().await;
}

//! Many requests for one answer: the work follows the changes, and not the number of the requests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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
    // A newer answer replaces the one before. No answer was dropped for room.
    assert_eq!(cached.database.metrics().cache_evictions.get(), 0);
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

/// Screens that hold one task, each at a cursor of its own, because other tasks changed between their requests. The log
/// moved on by more changes than an answer with changes looks at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_at_different_cursors_get_the_changes_of_one_query() {
    let cached = Cached::start().await;
    let (open, other) = (long_task(&cached).await, cached.task("other", "p").await);
    let path = format!("/api/v1/tasks/{open}");
    let mut ws = cached.ws().await;
    let first = cached.get(&path, &[]).await;
    let (tag, mut cursors) = (first.header("etag").to_owned(), vec![first.cursor()]);
    for number in 0..12 {
        cached.sql(&many_events(&other, 50)).await;
        cached.until_told(&mut ws).await;
        // The held answer is still the one of now, and its caller learns so without a query.
        let before = cached.work();
        let since = format!("{path}?since={}", cursors[number / 2]);
        let held = cached.get(&since, &[("if-none-match", &tag)]).await;
        assert_eq!(held.status, 304);
        assert_eq!(cached.work().since(before), Work { not_modified: 1, ..Work::default() });
        cursors.push(held.cursor());
    }
    let changed = cached.log(&open).await;
    cached.until_told(&mut ws).await;
    let before = cached.work();
    let answers = join_all((0..CLIENTS as usize).map(|client| {
        let since = format!("{path}?since={}", cursors[client % cursors.len()]);
        let (cached, tag) = (&cached, &tag);
        async move { cached.get(&since, &[("accept-encoding", "gzip"), ("if-none-match", tag)]).await }
    }))
    .await;
    assert!(answers.iter().all(|got| got.status == 200 && got.cursor().covers(&changed)));
    assert!(answers.iter().all(|got| got.body == answers[0].body && got.body.len() < 1_000));
    let work = cached.work().since(before);
    assert_eq!((work.queries, work.encoded, work.compressed, work.memory), (1, 1, 1, CLIENTS - 1));
    cached.stop().await;
}

/// Callers that hold two different answers ask at once. The changes since the older one serve both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_with_different_answers_cost_one_more_query() {
    let cached = Cached::start().await;
    let task = long_task(&cached).await;
    let path = format!("/api/v1/tasks/{task}");
    let mut ws = cached.ws().await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(cached.get(&path, &[]).await.cursor());
        cached.log(&task).await;
        cached.until_told(&mut ws).await;
    }
    for order in [[0, 1], [1, 0]] {
        cached.log(&task).await;
        cached.until_told(&mut ws).await;
        let before = cached.work();
        let answers = join_all((0..CLIENTS as usize).map(|client| {
            let since = format!("{path}?since={}", held[order[client * 2 / CLIENTS as usize]]);
            let cached = &cached;
            async move { cached.get(&since, &[]).await }
        }))
        .await;
        assert!(answers.iter().all(|got| got.json()["full"] == false));
        let work = cached.work().since(before);
        assert!(work.queries <= 2 && work.encoded == work.queries, "{work:?}");
    }
    cached.stop().await;
}

/// The log does not tell the changes to the callers, and they all need the whole answer. The cache knows that for a
/// list of all bookmarks. For a list of few rows among many the log is asked first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_whose_changes_are_not_told_cost_one_query_or_two() {
    let cached = Cached::start().await;
    let (kept, gone) = (cached.task("kept", "p").await, cached.task("gone", "p").await);
    for number in 0..20 {
        let bookmark = serde_json::json!({"task_id": kept, "title": number.to_string(), "note": "long ".repeat(40)});
        cached.write("PUT", "/api/v1/bookmarks", bookmark).await;
    }
    let mut ws = cached.ws().await;
    let first = cached.get("/api/v1/bookmarks", &[]).await;
    // A deleted task takes its bookmarks along, and the log does not name them.
    cached.write("DELETE", &format!("/api/v1/tasks/{gone}"), serde_json::Value::Null).await;
    cached.until_told(&mut ws).await;
    for (filter, queries) in [(String::new(), 1), (format!("&task_id={kept}"), 2)] {
        let before = cached.work();
        let path = format!("/api/v1/bookmarks?since={}{filter}", first.cursor());
        let answers = all_get(&cached, &path, &[]).await;
        assert!(answers.iter().all(|got| got.status == 200 && got.json().get("full").is_none()));
        let work = cached.work().since(before);
        assert!(work.queries == queries && work.encoded == 1, "{path}: {work:?}");
    }
    cached.stop().await;
}

/// Most rows of a page changed, so its changes would cost as much as the page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_which_most_rows_changed_is_read_whole_by_one_query() {
    let cached = Cached::start().await;
    let mut tasks = Vec::new();
    for number in 0..10 {
        tasks.push(cached.task(&format!("{number} {}", "long ".repeat(40)), "p").await);
    }
    let mut ws = cached.ws().await;
    let path = "/api/v1/tasks?limit=8";
    for (changed, is_whole) in [(4, false), (5, true)] {
        let first = cached.get(path, &[]).await;
        for task in &tasks[..changed] {
            cached.rename(task, &format!("{changed} {}", "long ".repeat(40))).await;
        }
        cached.until_told(&mut ws).await;
        let before = cached.work();
        let again = cached.get(&format!("{path}&since={}", first.cursor()), &[]).await;
        assert_eq!((again.status, again.json().get("full").is_none()), (200, is_whole), "{changed}");
        assert_eq!(cached.work().since(before).queries, 1, "{changed}");
    }
    cached.stop().await;
}

/// An answer of a few rows costs no more than its changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_answer_comes_whole() {
    let cached = Cached::start().await;
    let task = cached.task("short", "p").await;
    let path = format!("/api/v1/tasks/{task}");
    let first = cached.get(&path, &[]).await;
    cached.rename(&task, "shorter").await;
    let before = cached.work();
    let again = cached.get(&format!("{path}?since={}", first.cursor()), &[]).await;
    assert_eq!((again.status, again.json().get("full")), (200, None));
    assert_eq!(cached.work().since(before).queries, 1);
    cached.stop().await;
}

/// A burst on one task, and a screen that watches it: however often it asks for each of its read models again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_a_thousand_events_costs_each_watched_read_model_two_queries() {
    let cached = Cached::start().await;
    let task = long_task(&cached).await;
    let paths = [
        OVERVIEW.to_owned(),
        "/api/v1/tasks".to_owned(),
        format!("/api/v1/tasks/{task}"),
        format!("/api/v1/tasks/{task}/timeline"),
    ];
    let mut ws = cached.ws().await;
    for path in &paths {
        let held = cached.get(path, &[]).await;
        let before = cached.work();
        cached.sql(&many_events(&task, 1_000)).await;
        cached.until_told(&mut ws).await;
        for _ in 0..100 {
            let answer = match path == OVERVIEW {
                true => cached.get(path, &[]).await,
                false => cached.get(&format!("{path}?since={}", held.cursor()), &[]).await,
            };
            assert_eq!(answer.status, 200);
        }
        let work = cached.work().since(before);
        assert!(work.queries <= 2, "{path}: {work:?}");
    }
    cached.stop().await;
}

/// A task whose answer is long.
async fn long_task(cached: &Cached) -> String {
    let task = cached.task("open", "p").await;
    cached.sql(&many_events(&task, 60)).await;
    task
}

fn many_events(task: &str, count: usize) -> String {
    format!(
        "with recursive n (i) as (select 1 union all select i + 1 from n where i < {count})
        insert into events (task_id, kind, title) select '{task}', 'log', 'a line of the log with the number ' || i from n"
    )
}

/// Each client requests the overview again as soon as it has an answer, and a writer changes it without a pause. The
/// time between the reads is bounded, so their number is bounded by the time that the test took.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_reads_an_answer_that_changes_all_the_time_at_most_25_times_a_second() {
    let cached = Cached::start().await;
    let task = cached.task("changes", "p").await;
    let (before, began, writing) = (cached.work(), Instant::now(), AtomicBool::new(true));
    let writer = async {
        let mut number = 0;
        while began.elapsed() < Duration::from_secs(3) {
            number += 1;
            cached.rename(&task, &format!("title {number}")).await;
        }
        writing.store(false, Ordering::SeqCst);
        number
    };
    let readers = (0..50).map(|_| async {
        let mut answers = 0;
        while writing.load(Ordering::SeqCst) {
            assert_eq!(cached.get(OVERVIEW, &[]).await.status, 200);
            answers += 1;
        }
        answers
    });
    let (changes, answers) = tokio::join!(writer, join_all(readers));
    let (answers, work) = (answers.iter().sum::<u64>(), cached.work().since(before));
    let windows = u64::try_from(began.elapsed().as_millis() / 40).unwrap() + 1;
    // The first requests are no crowd yet.
    assert!(work.queries <= windows + 3, "{work:?} in {windows} windows, {changes} changes");
    assert_eq!(work.queries + work.memory, answers, "{work:?}");
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

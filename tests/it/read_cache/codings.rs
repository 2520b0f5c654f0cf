//! The compressed answers.

use std::io::Read;

use serde_json::json;

use super::{Cached, OVERVIEW, Work};

fn unzipped(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_compressed_once_for_the_callers_that_take_it() {
    let cached = Cached::start().await;
    let task = cached.task("a task", "p").await;
    let events: Vec<_> = (0..100).map(|_| json!({"kind": "log", "body": "the same words again ".repeat(20)})).collect();
    cached.write("POST", &format!("/api/v1/tasks/{task}/events"), json!({ "events": events })).await;
    let detail = format!("/api/v1/tasks/{task}");
    // The first is compressed on the thread of the request, and the others on a thread that may block.
    for path in [OVERVIEW, &detail, &format!("{detail}/timeline?limit=200")] {
        let plain = cached.get(path, &[]).await;
        assert_eq!((plain.header("content-encoding"), plain.header("vary")), ("", "accept-encoding"), "{path}");
        let before = cached.work();
        let bytes_before = cached.database.metrics().cache_bytes.get();
        for _ in 0..3 {
            let zipped = cached.get(path, &[("accept-encoding", "br, gzip")]).await;
            assert_eq!((zipped.header("content-encoding"), zipped.header("vary")), ("gzip", "accept-encoding"));
            assert_eq!(zipped.header("content-type"), "application/json");
            assert_eq!((zipped.header("etag"), zipped.cursor()), (plain.header("etag"), plain.cursor()), "{path}");
            assert_eq!(unzipped(&zipped.body), plain.body, "{path}");
            assert!(zipped.body.len() < plain.body.len());
        }
        assert_eq!(cached.work().since(before), Work { compressed: 1, memory: 3, ..Work::default() }, "{path}");
        assert!(cached.database.metrics().cache_bytes.get() > bytes_before, "the compressed bytes are counted");
        for accepted in ["gzip;q=0", "identity", "gzip;q=0.5, identity"] {
            assert_eq!(cached.get(path, &[("accept-encoding", accepted)]).await.body, plain.body, "{accepted}");
        }
        let tag = plain.header("etag");
        let held = cached.get(path, &[("accept-encoding", "gzip"), ("if-none-match", tag)]).await;
        assert_eq!((held.status, held.header("vary"), held.header("content-encoding")), (304, "accept-encoding", ""));
    }
    cached.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_answer_is_sent_as_it_is() {
    let cached = Cached::start().await;
    let got = cached.get("/api/v1/bookmarks", &[("accept-encoding", "gzip")]).await;
    assert!(got.body.len() < 256 && got.header("content-encoding").is_empty());
    assert_eq!((got.header("vary"), cached.work().compressed), ("accept-encoding", 0));
    cached.stop().await;
}

//! The counters of `GET /metrics`, and the page that describes them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use requery::server::metrics::{Metrics, Operation};
use tokio::time::timeout;

use crate::app::{App, PATIENCE};

#[test]
fn the_page_lists_every_metric_and_each_has_a_help_text() {
    let metrics = Metrics::default();
    // The operations become known with their first query.
    drop(metrics.queries.get_or_create(&Operation { operation: "overview" }));
    let text = metrics.text();
    let mut types = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let help = text.lines().find_map(|line| line.strip_prefix(&format!("# HELP {name} ")));
            assert!(help.is_some_and(|help| help.len() > 10), "{name} has no help text");
            let suffix = if kind == "counter" { "_total" } else { "" };
            types.insert(format!("{name}{suffix}"), kind);
        }
    }
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).unwrap();
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        Some((cells.next()?.trim_end_matches('`').to_owned(), cells.next()?))
    });
    assert_eq!(types, rows.collect::<BTreeMap<_, _>>());
    assert!(types.len() >= 20 && text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn the_counters_tell_hooks_and_the_place_of_the_log() {
    let app = App::start().await;
    let http = reqwest::Client::new();
    let figure = async |name: &str| {
        let answer = http.get(app.url("/metrics")).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
        let text = answer.text().await.unwrap();
        text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))?.parse::<u64>().ok())
    };
    let hook = async |body: &str| {
        let request = http.post(app.url("/api/v1/hooks/claude-code")).header("content-type", "application/json");
        request.body(body.to_owned()).send().await.unwrap().status().as_u16()
    };
    assert_eq!(hook(r#"{"session_id": "s", "hook_event_name": "Stop"}"#).await, 204);
    assert_eq!(hook(r#"{"hook_event_name": "Stop"}"#).await, 422);
    assert_eq!(figure("requery_hooks_taken_total").await, Some(1));
    assert_eq!(figure("requery_hooks_refused_total").await, Some(1));
    assert_eq!(figure("requery_hooks_spooled_total").await, Some(0));

    // A change that was pruned ends the cursors before it.
    app.sql("insert into tasks (title) values ('one'), ('two')");
    app.until_folded().await;
    let oldest = app.sql("delete from changes where id < (select max(id) from changes); select max(id) from changes");
    let oldest: u64 = oldest.parse().unwrap();
    let reached = async {
        while figure("requery_log_floor").await != Some(oldest) || figure("requery_log_lag").await != Some(0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, reached).await.expect("the counters of the log in time");
}

//! The rows of the tasks that need a person.

use std::sync::Arc;

use ratatui::crossterm::event::KeyCode;
use requery::protocol::model::TaskDetail;
use serde_json::json;

use super::{COLORS, Drawn, ScreenState, drawn, fresh, id, moment, needy, overview, press, task, team};

/// The order is the server's, whatever the reasons are.
#[test]
fn each_entry_says_its_state_and_a_request_in_doubt_says_when_it_was_asked() {
    let mut asked = needy(4, "Profile it", "permission");
    asked["status_certain"] = json!(false);
    asked["since"] = json!("2026-01-01T00:00:40.000Z");
    let mut detailed = asked.clone();
    (detailed["task_id"], detailed["detail"]) = (json!(id(5)), json!("Bash: rm -rf build"));
    let mut failed = needy(6, "Build it", "model_request_failed");
    failed["status"] = json!("errored");
    let mut told = failed.clone();
    (told["task_id"], told["detail"]) = (json!(id(7)), json!("The disk is full."));
    let mut gone = needy(8, "Port it", "gone");
    gone["status"] = json!("running");
    let stopped = needy(9, "Sign it", "interrupted");
    let mut waits = ["ready", "scheduled", "finished"].map(|reason| {
        let mut task = task(20, &format!("is {reason}"), "waiting");
        task["status_reason"] = json!(reason);
        task
    });
    for (number, task) in (20..).zip(&mut waits) {
        task["task_id"] = json!(id(number));
    }
    let needy = vec![stopped, gone, told, failed, asked, detailed];
    assert_eq!(
        drawn(&moment(overview(needy, waits.into(), None)), 80, 19),
        "\
requery http://127.0.0.1:7373                               ! 6 need you  [live]
overview fresh, as of 2 s ago
3 tasks: 1 running, 6 waiting, 0 completed, 0 errored; 1,234 events

needs you (6)
> ! Sign it                               stopped    relay            1 min ago
  ? Port it                               gone       relay            1 min ago
  x Build it                              errored    relay            1 min ago
    The disk is full.
  x Build it                              errored    relay            1 min ago
    model_request_failed
  ? Profile it                            asked      relay            20 s ago
    permission asked 20 s ago
  ? Profile it                            asked      relay            20 s ago
    permission asked 20 s ago: Bash: rm -rf build
tasks (3)
    is ready                              ready      ledger-api       9 s ago
    is scheduled                          scheduled  ledger-api       9 s ago
q quit  ? help  enter open  / filter  b bookmarks  r refresh                 1/9
"
    );
}

#[test]
fn the_flag_of_a_task_comes_before_the_reason_of_its_wait() {
    let mut scheduled = task(1, "Watch the build", "waiting");
    scheduled["status_reason"] = json!("scheduled");
    let mut flagged = scheduled.clone();
    (flagged["task_id"], flagged["title"]) = (json!(id(2)), json!("Watch the tests"));
    (flagged["stale_since"], flagged["stale_reason"]) = (json!("2026-01-01T00:00:30.000Z"), json!("gone"));
    let text = drawn(&moment(overview(vec![], vec![scheduled, flagged], None)), 80, 16);
    let row = |title| text.lines().find(|line| line.contains(title)).expect("a row");
    assert!(row("Watch the build").contains("scheduled"), "{text}");
    assert!(row("Watch the tests").starts_with("  ? ") && row("Watch the tests").contains(" gone "), "{text}");
}

#[test]
fn a_task_in_doubt_says_when_it_asked() {
    let mut asked = task(1, "Profile it", "waiting");
    (asked["status_reason"], asked["status_certain"]) = (json!("permission"), json!(false));
    asked["waiting_since"] = json!("2026-01-01T00:00:40.000Z");
    let usage = json!({
        "answers": 0, "input_tokens": 0, "output_tokens": 0, "cache_read_tokens": 0, "cache_write_tokens": 0,
        "cost_usd": null, "answers_with_cost": 0
    });
    for (is_certain, line) in
        [(false, "permission asked 20 s ago: Profile it"), (true, "waiting (permission): Profile it")]
    {
        asked["status_certain"] = json!(is_certain);
        let detail = json!({
            "task": asked, "sessions": [], "children": [], "figures": { "events": 0, "sessions": 0, "children": 0 },
            "usage": usage, "models": [], "timeline": { "items": [], "next": null }
        });
        let detail: TaskDetail = serde_json::from_value(detail).expect("a task");
        let mut moment = team();
        let mut state = ScreenState::new(std::iter::empty());
        Drawn::new(&mut state, &moment, 80, 16, COLORS);
        press(&mut state, KeyCode::Enter);
        moment.task = Some(fresh(Arc::new(detail)));
        assert_eq!(Drawn::new(&mut state, &moment, 80, 8, COLORS).text().lines().nth(2), Some(line));
    }
}

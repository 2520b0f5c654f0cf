//! The words of the output, the same on the screen and in lines.

use std::time::Duration;

use requery::protocol::model::{Stats, Timestamp, Usage};

use crate::cli::counted::{counted, number};
use crate::cli::terminal_text::escape_control_characters;

/// The line for a project of which the server has no task.
pub(super) fn unknown_project(project: Option<&str>) -> String {
    let project = escape_control_characters(project.unwrap_or_default());
    format!("the project \"{project}\" has no task; is the name right?")
}

/// The figures of the overview as one line.
pub(super) fn figures(stats: &Stats) -> String {
    format!(
        "{}: {} running, {} waiting, {} completed, {} errored; {}",
        counted(stats.total_tasks, "task"),
        number(stats.running_tasks),
        number(stats.waiting_tasks),
        number(stats.completed_tasks),
        number(stats.errored_tasks),
        counted(stats.total_events, "event")
    )
}

/// The tokens and their cost as one line. `None` if there is no usage.
pub(super) fn usage(usage: &Usage) -> Option<String> {
    if usage.answers == 0 {
        return None;
    }
    let sent = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
    let tokens = format!("{} tokens sent, {} answered", number(sent), number(usage.output_tokens));
    Some(match usage.cost_usd {
        None => tokens,
        Some(cost) if usage.answers_with_cost == usage.answers => format!("{tokens}; ${cost:.2}"),
        Some(cost) => {
            let (stated, all) = (number(usage.answers_with_cost), counted(usage.answers, "answer"));
            let state = if usage.answers_with_cost == 1 { "states its cost," } else { "state their cost, together" };
            format!("{tokens}; {stated} of {all} {state} ${cost:.2}")
        }
    })
}

/// A request that may be answered already.
pub(super) fn asked(reason: &str, since: &Timestamp, now_ms: i64) -> String {
    format!("{reason} asked {}", ago(since, now_ms))
}

/// The age of `time` at the wall clock `now_ms`.
pub(super) fn ago(time: &Timestamp, now_ms: i64) -> String {
    age(Duration::from_millis(now_ms.saturating_sub(time.as_ms()).max(0).unsigned_abs()))
}

/// An age in its largest unit.
pub(super) fn age(age: Duration) -> String {
    match age.as_secs() {
        0 => "now".into(),
        seconds @ 1..60 => format!("{seconds} s ago"),
        seconds @ 60..3600 => format!("{} min ago", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use requery::protocol::model::Usage;

    use super::usage;

    #[test]
    fn a_partial_cost_names_how_many_answers_it_covers() {
        let mut used = Usage::default();
        (used.answers, used.input_tokens, used.output_tokens) = (1200, 12_000, 7);
        assert_eq!(usage(&Usage::default()), None);
        assert_eq!(usage(&used).as_deref(), Some("12,000 tokens sent, 7 answered"));
        (used.cost_usd, used.answers_with_cost) = (Some(0.5), 3);
        let some = "12,000 tokens sent, 7 answered; 3 of 1,200 answers state their cost, together $0.50";
        assert_eq!(usage(&used).as_deref(), Some(some));
        used.answers_with_cost = 1200;
        assert_eq!(usage(&used).as_deref(), Some("12,000 tokens sent, 7 answered; $0.50"));
    }
}

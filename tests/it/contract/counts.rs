//! The number of the events ever logged on a task, and the time of its last change. The row of the task contains them
//! late, so the test compares the view with a ledger after each step.

use proptest::prelude::*;

use super::Wire;
use crate::app::{Engine, by_engine, engine};
use crate::random_cases::with_real_server;

const PRAGMAS: [&str; 4] = [
    "",
    "pragma foreign_keys = on; ",
    "pragma recursive_triggers = on; ",
    "pragma foreign_keys = on; pragma recursive_triggers = on; ",
];

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Logs an event that happened at this time.
    Log(i64),
    /// Leaves so many places free, and logs an event behind them.
    LogBehind(u8),
    /// Logs an event so many places before the newest one, if that place is free.
    LogBefore(u8, i64),
    /// Logs 70 events.
    LogMany(i64),
    /// Puts an event in the place of the newest one, with its id.
    Replace(i64),
    /// Puts an event in the place of the one with the external id.
    ReplaceExternal(i64),
    /// Inserts the id of the newest event again, without effect.
    Ignore,
    /// Deletes the event so many places before the newest one.
    Delete(u8),
    /// Gives the newest event another time.
    Move(i64),
    /// Counts the events into the row, by a statement that sets `counted_to` to its own value.
    Count,
    /// Gives the task its place in the lists, as the server does or too early.
    List { counted: bool },
    /// Moves the task to another project and back.
    Project,
}

/// The right values of a task.
#[derive(Debug, PartialEq)]
struct Ledger {
    logged: i64,
    changed_at: i64,
    live: i64,
}

impl Step {
    fn sql(self, task: &str) -> String {
        let newest = format!("(select id from events where task_id = '{task}' order by position desc limit 1)");
        let log = |columns: &str, values: &str, at: i64| {
            format!("into events (task_id, kind, created_at{columns}) select '{task}', 'log', {at}{values}")
        };
        let insert = |columns: &str, values: &str, at: i64| format!("insert {}", log(columns, values, at));
        match self {
            Self::Log(at) => insert("", "", at),
            // The sequence of Postgres does not follow a position that a writer chooses.
            Self::LogBehind(_) if engine() == Engine::Postgres => insert("", "", 1),
            Self::LogBehind(places) => {
                insert(", position", &format!(", coalesce(max(position), 0) + {places} + 1 from events"), 1)
            }
            Self::LogBefore(places, at) => {
                let place = format!("(select max(position) - {places} - 1 as place from events) as places");
                insert(
                    ", position",
                    &format!(", place from {place} where place > 0 and place not in (select position from events)"),
                    at,
                )
            }
            Self::LogMany(at) => insert(
                "",
                " from (with recursive n (i) as (select 1 union all select i + 1 from n where i < 70) select i from n) as numbers",
                at,
            ),
            Self::Replace(at) if engine() == Engine::Postgres => format!(
                "with gone as (delete from events where id = {newest} returning id) {}",
                insert(", id", ", id from gone", at)
            ),
            Self::Replace(at) => format!(
                "replace {}",
                log(", id", &format!(", id from (select {newest} as id) where id is not null"), at)
            ),
            Self::ReplaceExternal(at) if engine() == Engine::Postgres => format!(
                "delete from events where task_id = '{task}' and external_id = 'call'; {}",
                insert(", external_id", ", 'call'", at)
            ),
            Self::ReplaceExternal(at) => format!("replace {}", log(", external_id", ", 'call'", at)),
            Self::Ignore => format!(
                "{} on conflict do nothing",
                insert(", id", &format!(", id from (select {newest} as id) as newest where id is not null"), 1)
            ),
            Self::Delete(places) => format!(
                "delete from events where id = (select id from events where task_id = '{task}'
                    order by position desc limit 1 offset {places})"
            ),
            Self::Move(at) => format!("update events set created_at = {at} where id = {newest}"),
            Self::Count if engine() == Engine::Postgres => {
                format!("update tasks set event_count = event_count where id = '{task}'")
            }
            Self::Count => format!("update tasks set counted_to = counted_to where id = '{task}'"),
            Self::List { counted } => {
                let count = if counted && engine() == Engine::Sqlite {
                    format!("update tasks set counted_to = counted_to where id = '{task}'; ")
                } else {
                    String::new()
                };
                format!("{count}update tasks set listed_at = changed_at where id = '{task}'")
            }
            Self::Project => {
                "update tasks set project = 'q' where project = 'p'; update tasks set project = 'p' where project = 'q'"
                    .to_owned()
            }
        }
    }

    /// The values after the step, from the values before it and the number of events after it.
    fn apply(self, ledger: &mut Ledger, live: i64) {
        let (added, at) = match self {
            Self::Log(at) | Self::LogMany(at) | Self::LogBefore(_, at) => (live - ledger.live, at),
            Self::LogBehind(_) => (live - ledger.live, 1),
            Self::Replace(at) => (i64::from(ledger.live > 0), at),
            Self::ReplaceExternal(at) => (1, at),
            Self::Ignore | Self::Delete(_) | Self::Move(_) | Self::Count | Self::List { .. } | Self::Project => (0, 0),
        };
        ledger.logged += added;
        ledger.changed_at = ledger.changed_at.max(if added > 0 { at } else { 0 });
        ledger.live = live;
    }
}

fn steps() -> impl Strategy<Value = Vec<(bool, Step)>> {
    let at = 1_000_i64..1_000_000;
    let step = prop_oneof![
        6 => at.clone().prop_map(Step::Log),
        1 => (0_u8..9).prop_map(Step::LogBehind),
        1 => (0_u8..9, at.clone()).prop_map(|(places, at)| Step::LogBefore(places, at)),
        1 => at.clone().prop_map(Step::LogMany),
        2 => at.clone().prop_map(Step::Replace),
        2 => at.clone().prop_map(Step::ReplaceExternal),
        1 => Just(Step::Ignore),
        2 => (0_u8..3).prop_map(Step::Delete),
        2 => at.prop_map(Step::Move),
        1 => Just(Step::Count),
        2 => any::<bool>().prop_map(|counted| Step::List { counted }),
    ];
    proptest::collection::vec((any::<bool>(), step), 1..40)
}

proptest! {
    #![proptest_config(with_real_server(6, 60))]
    #[test]
    fn an_event_is_counted_once_whatever_becomes_of_it(steps in steps(), pragmas in 0..PRAGMAS.len(), moved in 0..40_usize) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(check(&steps, PRAGMAS[pragmas], moved));
    }
}

async fn check(steps: &[(bool, Step)], pragmas: &'static str, moved: usize) {
    let wire = Wire::start_with(by_engine(pragmas, "")).await;
    // The row of Postgres gets the count of its events from the server, and its place in the lists with it.
    let misplaced = by_engine(
        "tasks join task_counts using (id) where listed_at <> task_counts.changed_at
            or listed_at is not null and tasks.event_count <> task_counts.event_count",
        "tasks where listed_at is distinct from changed_at",
    );
    // A move to another project changes the time of the task, so the time is compared before the move alone.
    wire.sql(
        "insert into tasks (id, title, project, changed_at) values ('{a}', 'a', 'p', 1000), ('{b}', 'b', 'p', 1000)",
    );
    let mut ledgers = [(); 2].map(|()| Ledger { logged: 0, changed_at: 1_000, live: 0 });
    for (number, (second, step)) in steps.iter().enumerate() {
        let (task, ledger) = if *second { ("{b}", &mut ledgers[1]) } else { ("{a}", &mut ledgers[0]) };
        let step = if number == moved { Step::Project } else { *step };
        let values = wire.sql(&format!(
            "{}; select event_count, changed_at, (select count(*) from events where task_id = '{task}'),
                (select count(*) from {misplaced})
             from task_counts where id = '{task}'",
            step.sql(task)
        ));
        let values: Vec<i64> = values.split('|').map(|value| value.parse().unwrap()).collect();
        step.apply(ledger, values[2]);
        assert_eq!((values[0], values[3]), (ledger.logged, 0), "step {number}, {step:?}");
        if number < moved {
            assert_eq!(values[1], ledger.changed_at, "step {number}, {step:?}");
        }
    }
    let deleted = ledgers.iter().zip(["a", "b"]).map(|(ledger, name)| (name, ledger.logged - ledger.live));
    let deleted: Vec<_> = deleted.filter(|(_, deleted)| *deleted > 0).collect();
    wire.check_figures(&deleted).await;
}

//! The tables that a copy of a database takes along, with the columns that both engines have.

use super::Sql;

/// A table that is copied.
#[derive(Debug)]
pub struct CopiedTable {
    /// Its name.
    pub name: &'static str,
    /// The columns, in the order of the cells of a row.
    pub columns: &'static [CopiedColumn],
    /// The primary key, by which the rows are read in pages.
    pub key: &'static [&'static str],
    /// What stands after `from`: the rows, under the name of the table.
    pub(super) rows: Sql,
    /// What stands after `where`: which rows are copied.
    pub(super) condition: Sql,
    /// A column that is not copied and gets the value of one that is.
    pub(super) twin: Option<(&'static str, &'static str)>,
}

/// A column that is copied.
#[derive(Debug)]
pub struct CopiedColumn {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub holds: Holds,
    /// The expression, if it is not the column of the table.
    pub(super) expression: Option<Sql>,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A whole number.
    Number,
    /// A text, with the rule that both engines check.
    Text(TextRule),
}

/// A rule for a text. A text that is changed so that Postgres can store it keeps its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextRule {
    /// Any text.
    Any,
    /// So many characters.
    Characters(usize),
    /// So many bytes.
    Bytes(usize),
    /// So many characters and so many bytes.
    Both(usize, usize),
    /// At most 128 characters, none of which is a control character.
    Project,
    /// JSON.
    Json,
    /// 1 to 64 lower-case letters, digits, dots and underscores.
    Kind,
}

const fn number(name: &'static str) -> CopiedColumn {
    CopiedColumn { name, holds: Holds::Number, expression: None }
}

const fn text(name: &'static str) -> CopiedColumn {
    ruled(name, TextRule::Any)
}

const fn ruled(name: &'static str, rule: TextRule) -> CopiedColumn {
    CopiedColumn { name, holds: Holds::Text(rule), expression: None }
}

/// The same column with another expression.
const fn read_as(column: CopiedColumn, expression: Sql) -> CopiedColumn {
    CopiedColumn { expression: Some(expression), ..column }
}

/// The tables in the order in which their rows are written: a row comes after the rows that it refers to.
///
/// SQLite can have rows of tasks that were deleted: the server deletes them in steps, and no reader shows them.
pub static COPIED_TABLES: &[CopiedTable] = &[
    CopiedTable { twin: LISTED_AT, ..table("tasks", &["id"], TASKS, ALL) },
    table("sessions", &["id"], SESSIONS, OF_A_TASK),
    table("events", &["position"], EVENTS, OF_A_TASK),
    table("bookmarks", &["id"], BOOKMARKS, OF_A_TASK_AND_EVENT),
    table("usage", &["task_id", "answer_id"], USAGE, OF_A_TASK),
    table("agents", &["source", "host", "project"], AGENTS, ALL),
    table("deliveries", &["id"], DELIVERIES, ALL),
    CopiedTable { rows: FOLDED_AND_UNFOLDED, ..table("activity", &["project", "hour"], ACTIVITY, ALL) },
];

const fn table(
    name: &'static str,
    key: &'static [&'static str],
    columns: &'static [CopiedColumn],
    condition: Sql,
) -> CopiedTable {
    CopiedTable { name, columns, key, rows: Sql::both(name, name), condition, twin: None }
}

/// The place of a task in the lists.
const LISTED_AT: Option<(&str, &str)> = Some(("listed_at", "changed_at"));

const ALL: Sql = Sql::both("true", "true");
const OF_A_TASK: Sql = Sql::both("exists (select 1 from tasks where tasks.id = task_id)", "true");
const OF_A_TASK_AND_EVENT: Sql = Sql::both(
    "exists (select 1 from tasks where tasks.id = bookmarks.task_id) and (event_id is null or exists (
        select 1 from events join tasks on tasks.id = events.task_id where events.id = bookmarks.event_id))",
    "true",
);

/// The folded hours and the rest of the log.
const FOLDED_AND_UNFOLDED: Sql = Sql::both(
    "(select project, hour, sum(events) as events from (
        select project, hour, events from activity
        union all
        select project, min(coalesce(happened_at, at), at) / 3600000, 1 from changes
        where id >= (select next from folded) and kind = 'event.logged') group by project, hour) activity",
    "(select project, hour, sum(events)::bigint as events from (
        select project, hour, events from activity
        union all
        select project, least(happened_at, at) / 3600000, 1 from changes
        where kind = 'event.logged' and (xid >= (select pg_snapshot_xmax(next::pg_snapshot) from folded)
            or xid = any (array(select pg_snapshot_xip(next::pg_snapshot) from folded)))
    ) unfolded group by project, hour) activity",
);

/// The row alone can lag behind these two.
const EVENT_COUNT: Sql = Sql::both(
    "(select event_count from task_counts where task_counts.id = tasks.id)",
    "(select event_count::bigint from task_counts where task_counts.id = tasks.id)",
);
const CHANGED_AT: Sql = Sql::both(
    "(select changed_at from task_counts where task_counts.id = tasks.id)",
    "(select changed_at from task_counts where task_counts.id = tasks.id)",
);

/// SQLite takes JSON with comments, single quotes and the like, and Postgres does not.
const STRICT_JSON: Sql = Sql::both(
    "case when metadata is null or json_valid(metadata) then metadata else json(metadata) end",
    "events.metadata",
);

const TASKS: &[CopiedColumn] = &[
    text("id"),
    ruled("title", TextRule::Characters(500)),
    ruled("project", TextRule::Project),
    text("status"),
    text("mode"),
    text("parent_task_id"),
    text("parent_session_id"),
    text("workspace"),
    text("source"),
    text("external_id"),
    text("status_reason"),
    number("status_since"),
    text("summary"),
    text("ingest_state"),
    read_as(number("event_count"), EVENT_COUNT),
    read_as(number("changed_at"), CHANGED_AT),
    number("created_at"),
    number("heard_at"),
    text("process"),
    number("stale_since"),
    text("stale_reason"),
    ruled("status_detail", TextRule::Both(500, 2_000)),
    ruled("todos", TextRule::Bytes(65_536)),
    ruled("model", TextRule::Bytes(256)),
    ruled("branch", TextRule::Bytes(512)),
    ruled("last_commit", TextRule::Bytes(64)),
    ruled("pull_request", TextRule::Bytes(1_000)),
    number("status_certain"),
];

const SESSIONS: &[CopiedColumn] = &[
    text("id"),
    text("task_id"),
    text("source"),
    text("runtime_session_id"),
    text("status"),
    text("summary"),
    number("started_at"),
    number("ended_at"),
    ruled("model", TextRule::Bytes(256)),
    ruled("host", TextRule::Bytes(256)),
];

const EVENTS: &[CopiedColumn] = &[
    number("position"),
    text("id"),
    text("task_id"),
    text("session_id"),
    ruled("kind", TextRule::Kind),
    text("family"),
    text("lane"),
    text("state"),
    ruled("title", TextRule::Characters(500)),
    ruled("body", TextRule::Bytes(65_536)),
    read_as(ruled("metadata", TextRule::Json), STRICT_JSON),
    number("truncated"),
    text("external_id"),
    number("created_at"),
    number("updated_at"),
];

const BOOKMARKS: &[CopiedColumn] = &[
    text("id"),
    text("task_id"),
    text("event_id"),
    ruled("title", TextRule::Characters(500)),
    ruled("note", TextRule::Bytes(65_536)),
    number("created_at"),
    number("updated_at"),
    ruled("project", TextRule::Project),
];

const USAGE: &[CopiedColumn] = &[
    text("task_id"),
    ruled("answer_id", TextRule::Characters(256)),
    ruled("model", TextRule::Characters(128)),
    number("input_tokens"),
    number("output_tokens"),
    number("cache_read_tokens"),
    number("cache_write_tokens"),
    number("cost_usd_micros"),
    number("at"),
    ruled("project", TextRule::Project),
];

const AGENTS: &[CopiedColumn] = &[
    ruled("source", TextRule::Characters(64)),
    ruled("host", TextRule::Bytes(256)),
    ruled("project", TextRule::Bytes(512)),
    ruled("version", TextRule::Bytes(256)),
    number("hooks"),
    number("heard_at"),
];

const DELIVERIES: &[CopiedColumn] = &[text("id"), number("at")];

const ACTIVITY: &[CopiedColumn] = &[ruled("project", TextRule::Project), number("hour"), number("events")];

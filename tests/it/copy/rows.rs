//! The rows of the tests of copies, and all columns of a table as text.

use std::path::Path;

use crate::app::sqlite3;

/// Rows with texts that other programs quote, with the longest texts and with times at their bounds: two trees of tasks in
/// two projects, and rows of each other table.
pub fn hostile_rows(path: &Path) {
    let id = |number: u32| format!("0190b0a0-0000-7000-8000-{number:012}");
    let hostile = "''; drop table tasks; -- \" \\ $1 ?1 {x} é 😀 \u{202e} \u{fffd}\n\t";
    let last = 253_402_300_799_999_u64;
    let mut sql = format!(
        "insert into tasks (id, title, project, status, status_reason, status_detail, summary, ingest_state, todos, model,
                branch, last_commit, pull_request, workspace, external_id, heard_at, process, created_at, status_since,
                status_certain)
            values ('{a}', '{hostile}', 'p {hostile_project}', 'waiting', 'question', printf('%.500c', '😀'), '{hostile}',
                '{{\"a\": \"{hostile}\"}}', '[{{\"id\": \"1\", \"title\": \"é\", \"state\": \"done\"}}]',
                printf('%.256c', 'm'), printf('%.512c', 'b'), printf('%.64c', 'c'), printf('%.1000c', 'u'), '/w', 'x',
                {last}, '1:2', 0, {last}, 0),
            ('{b}', printf('%.500c', 'é'), '', 'running', null, null, null, null, printf('%.65536c', 't'), null, null, null,
                null, null, null, 0, null, {last}, 0, 1);
        insert into tasks (id, title, project, parent_task_id, parent_session_id, mode, source)
            values ('{c}', 'child', 'p {hostile_project}', '{a}', '{a}', 'background', 'claude-code');
        insert into tasks (id, title, parent_task_id, status)
            values ('{d}', 'grandchild', '{b}', 'completed'), ('{e}', ' ', '{d}', 'errored');
        update tasks set stale_since = 5, stale_reason = 'silent' where id = '{c}';
        update tasks set stale_since = {last}, stale_reason = 'gone' where id = '{e}';
        insert into sessions (id, task_id, source, runtime_session_id, status, summary, started_at, ended_at, model, host)
            values ('{a}', '{a}', '{hostile}', '{hostile}', 'lost', '{hostile}', 0, {last}, printf('%.256c', 'm'),
                printf('%.256c', 'h')), ('{b}', '{b}', 'sql', null, 'running', null, 1, null, null, null);
        insert into events (id, position, task_id, session_id, kind, family, lane, state, title, body, metadata, truncated,
                external_id, created_at, updated_at)
            values ('{a}', 1, '{a}', '{a}', 'log', 'terminal', 'git', 'running', '{hostile}', printf('%.65536c', 'b'),
                '{{\"a\": {{\"nul\": \"\\u0000\", \"n\": 1e400, \"a\": 1, \"a\": 2}}}}', 1, 'x', 0, {last}),
            ('{b}', 1000, '{b}', null, 'tool', null, null, null, '', '', '{{}}', -9223372036854775808, '', {last}, 0),
            ('{c}', 500000, '{c}', null, 'log', 'file', null, 'ok', printf('%.500c', 'é'), '{hostile}', null, null, null, 7,
                7);
        insert into bookmarks (id, task_id, event_id, title, note, created_at, updated_at)
            values ('{a}', '{a}', null, '{hostile}', printf('%.65536c', 'n'), 0, {last}),
            ('{b}', '{a}', '{a}', '', null, {last}, 0), ('{c}', '{c}', '{c}', 'é', '', 1, 1);
        insert into usage (task_id, answer_id, model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
                cost_usd_micros, at)
            values ('{a}', '{hostile}', '{hostile}', 1000000000000, 1, 2, 3, 1000000000000, 0),
            ('{a}', 'b', null, 0, 0, 0, 0, null, {last}), ('{d}', 'c', 'm', 1, 2, 3, 4, 0, 5);
        insert into agents (source, host, project, version, hooks, heard_at)
            values ('{hostile}', printf('%.256c', 'h'), printf('%.512c', 'p'), '{hostile}', 0, {last}),
            ('claude-code', '', '', null, null, null);
        insert into deliveries (id, at) values ('{hostile}', 0), ('b', -1);
        update tasks set title = title where id = '{a}';
        update events set created_at = created_at where id = '{b}';",
        a = id(1),
        b = id(2),
        c = id(3),
        d = id(4),
        e = id(5),
        hostile_project = "'' \" \\ é 😀",
    );
    // More rows than a page has.
    sql += &format!(
        "insert into tasks (title, project) with recursive n (n) as (select 1 union all select n + 1 from n where n < 600)
            select 'task ' || n, 'many' from n;
        insert into events (task_id, kind, title)
            with recursive n (n) as (select 1 union all select n + 1 from n where n < 1200)
            select '{}', 'log', 'event ' || n from n",
        id(2)
    );
    sqlite3(path, &sql);
}

/// All columns of the rows of a table that both engines have, in the order of its key. Derived columns are left out.
pub fn shown(path: &Path, table: &str) -> String {
    let columns = sqlite3(path, &format!("select name from pragma_table_info('{table}')"));
    const DERIVED: &[&str] = &["counted_to", "trigger_writes", "listed_at", "event_count", "changed_at"];
    let columns = columns
        .lines()
        .filter(|column| !DERIVED.contains(column))
        .map(|column| format!("typeof({column}) || ' ' || hex({column})"));
    let columns = columns.collect::<Vec<_>>().join(", ");
    match table {
        // The log of the source has the hours that are not folded.
        "activity" => sqlite3(
            path,
            "select project, hour, sum(events) from (select project, hour, events from activity union all
                select project, min(happened_at, at) / 3600000, 1 from changes
                where kind = 'event.logged' and id >= (select next from folded)) group by 1, 2 order by 1, 2",
        ),
        "tasks" => sqlite3(
            path,
            &format!(
                "select {columns}, task_counts.event_count, task_counts.changed_at from tasks
                    join task_counts using (id) order by id"
            ),
        ),
        _ => sqlite3(path, &format!("select {columns} from {table} order by 1, 2")),
    }
}

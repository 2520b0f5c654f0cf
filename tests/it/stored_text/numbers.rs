//! Numbers that no program of ours writes: negative, huge, or outside the years that a time can name.

use super::{CHILD, PARENT, check, cursor, insert_tree, is_taken, last_row};
use crate::app::App;

#[tokio::test]
async fn any_number_in_a_row_breaks_no_answer() {
    let app = App::start().await;
    app.sql_seen("insert into tasks (title) values ('sound')");
    let since = cursor(&app).await;
    let columns = app.sql_seen(
        "select m.name || '.' || c.name from sqlite_schema m, pragma_table_info(m.name) c
        where m.type = 'table' and c.type = 'INTEGER' and m.name in ('tasks', 'sessions', 'events', 'bookmarks', 'usage')
        order by 1",
    );
    // The triggers add these numbers up, so SQLite itself refuses to count a row that leaves 64 bits.
    let is_counted =
        |column: &&str| *column == "tasks.event_count" || column.ends_with("_tokens") || column.contains("micros");
    for column in columns.lines().filter(|column| !is_counted(column)) {
        let (table, name) = column.split_once('.').unwrap();
        for value in ["-1", "9223372036854775807", "-9223372036854775808"] {
            let mut ws = app.ws("").await;
            ws.frame().await;
            app.sql_seen(&insert_tree());
            if is_taken(&app, &format!("update {table} set {name} = {value} where {}", last_row(table))) {
                check(&app, &mut ws, &since, &format!("{column} = {value}")).await;
            }
            app.sql_seen(&format!("delete from tasks where id = '{PARENT}'"));
        }
    }
}

/// Figures whose sum is no number of 64 bits, and rows of the log with impossible times.
#[tokio::test]
async fn any_number_in_the_log_and_the_figures_breaks_no_answer() {
    let app = App::start().await;
    app.sql_seen(&insert_tree());
    let since = cursor(&app).await;
    let mut ws = app.ws("").await;
    ws.frame().await;
    for value in ["-1", "9223372036854775807", "-9223372036854775808"] {
        for statement in [
            format!("changes (kind, project, task_id, at) values ('task.updated', '', '{CHILD}', {value})"),
            format!("changes (kind, project, count) values ('tasks.purged', '', {value})"),
            format!("runs (token, begins) values ({value}, {value})"),
            format!("runs (token, begins, started_at) values ({value} || 's', 1, {value})"),
            format!(
                "figures (project, figure, value) values ({value}, 'events', {value}), ({value} || 2, 'events', {value})"
            ),
            format!(
                "figures (project, figure, value) values ({value}, 'tasks.running', {value}), ('x' || {value}, 'tasks.waiting', {value})"
            ),
            format!("figure_deltas (project, status, tasks) values ('', 'running', {value}), ('', 'running', {value})"),
            format!("figure_deltas (project, events) values ('', {value}), ('', {value})"),
            format!(
                "figure_deltas (project, answers, input_tokens) values ('', {value}, {value}), ('', {value}, {value})"
            ),
            format!("activity (project, hour, events) values ('a', {value}, {value}), ('b', {value}, {value})"),
            format!("deliveries (id, at) values ({value}, {value})"),
            format!("purges (project, count, at) values ('', {value}, {value})"),
        ] {
            app.sql_seen(&format!(
                "insert into {statement}; update tasks set title = title || '.' where id = '{CHILD}'"
            ));
            check(&app, &mut ws, &since, &statement).await;
        }
    }
}

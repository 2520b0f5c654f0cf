//! A tree of tasks has one project: a screen of the project hears of every task that it shows.

use super::Wire;
use super::wire::{each_of, portable, settling};
use crate::app::{Engine, by_engine, engine, on_sqlite_only};

const PRAGMAS: [&str; 4] = [
    "",
    "pragma foreign_keys = on; ",
    "pragma recursive_triggers = on; ",
    "pragma foreign_keys = on; pragma recursive_triggers = on; ",
];

const TREE: &str = "
    insert into tasks (id, title, project) values ('{a}', 'a', 'p'), ('{x}', 'x', 'q');
    insert into tasks (id, title, project, parent_task_id) values ('{b}', 'b', 'p', '{a}');
    insert into tasks (id, title, parent_task_id) values ('{c}', 'c', '{b}');
    insert into usage (task_id, answer_id, input_tokens) values ('{c}', 'one', 5);
    insert into events (task_id, kind) values ('{c}', 'log');
    insert into bookmarks (id, task_id) values ('{m}', '{c}')";

async fn with_tree(pragmas: &'static str) -> Wire {
    let mut wire = Wire::start_with(pragmas).await;
    wire.write(TREE).await;
    wire.frames().await;
    wire
}

const PROJECTS: &str = "select distinct project from tasks where id in ('{a}', '{b}', '{c}')";

/// The notes that the triggers of SQLite keep during a statement.
fn roots() -> &'static str {
    by_engine("select count(*) from tree_roots", "select 0")
}

#[tokio::test]
async fn a_task_begins_in_the_project_of_the_task_above() {
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = with_tree(pragmas).await;
        assert_eq!(wire.sql(PROJECTS), "p", "{pragmas}");
        let refused = "project: a task below another task has the project of that task";
        wire.refuses("insert into tasks (title, project, parent_task_id) values ('d', 'q', '{a}')", refused).await;
        for request in [
            r#"POST /api/v1/tasks {"title":"d","project":"q","parent_task_id":"{a}"}"#,
            r#"POST /api/v1/tasks {"title":"d","project":"","parent_task_id":"{a}"}"#,
            r#"PATCH /api/v1/tasks/{b} {"project":"q"}"#,
        ] {
            wire.refuses(request, r#""field":"project","detail":"a task below another task has"#).await;
        }
        wire.refuses("update tasks set project = 'q' where id = '{c}'", refused).await;
        wire.refuses("update tasks set parent_task_id = '{x}' where id = '{b}'", refused).await;
        wire.check(
            r#"POST /api/v1/tasks {"task_id":"{d}","title":"d","parent_task_id":"{a}"}"#,
            "task.started task_id=d project=p parent_task_id=a",
        )
        .await;
        wire.check_figures(&[]).await;
    }
}

/// With `OR IGNORE` and `OR FAIL` SQLite keeps the rows before the one that breaks a rule.
#[tokio::test]
async fn no_form_of_a_statement_splits_a_tree() {
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = with_tree(pragmas).await;
        wire.write("update tasks set source = 's', external_id = 'e' where id in ('{b}', '{x}')").await;
        wire.frames().await;
        let forms = ["", "or ignore ", "or fail ", "or replace "];
        for form in if engine() == Engine::Sqlite { &forms[..] } else { &forms[..1] } {
            let moves = format!("update {form}tasks set project = 'q' where id = '{{a}}'");
            wire.refuses(&moves, "external_id: another task of the project has that of a task below").await;
            let begins = "tasks (title, source, external_id, parent_task_id) values ('n', 's', 'e', '{a}')";
            wire.refuses(&format!("insert {form}into {begins}"), "external_id").await;
            assert_eq!(wire.sql(PROJECTS), "p", "{pragmas}{form}");
            assert_eq!(wire.sql(roots()), "0", "{pragmas}{form}");
            assert_eq!(wire.sql("select count(*) from tasks where title = 'n'"), "0", "{pragmas}{form}");
        }
        wire.frames().await;
    }
}

/// A task that begins without a project is announced in the project above it, and in no other one.
#[tokio::test]
async fn a_task_without_a_project_is_announced_in_the_project_above_alone() {
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = with_tree(pragmas).await;
        let begins = "insert into tasks (id, title, parent_task_id) values ('{d}', 'd', '{c}')";
        wire.check(begins, "task.started task_id=d project=p parent_task_id=c").await;
        let ignored = "insert or ignore into tasks (id, title, project, parent_task_id) values ('{e}', 'e', '', '{d}')";
        wire.write(&portable(ignored).unwrap()).await;
        // Without foreign keys the event, the bookmark, the usage and the task below stay.
        if let Some(replaces) = portable("replace into tasks (id, title, parent_task_id) values ('{c}', 'C', '{b}')") {
            wire.write(&replaces).await;
        }
        let frames = wire.frames().await;
        assert!(frames.iter().all(|line| line.contains(" project=p")), "{pragmas}{frames:?}");
        for table in ["changes", "figures", "figure_deltas", "tasks"] {
            assert_eq!(wire.sql(&format!("select count(*) from {table} where project = ''")), "0", "{pragmas}{table}");
        }
        assert_eq!(wire.sql(settling()), "", "{pragmas}");
        wire.check_figures(&[]).await;
    }
}

#[tokio::test]
async fn no_task_gets_below_itself() {
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = with_tree(pragmas).await;
        let tree = "select id, project, parent_task_id from tasks where project <> 'sentinel' order by id";
        let before = wire.sql(tree);
        for write in [
            "insert into tasks (id, title, parent_task_id) values ('{d}', 'd', '{d}')",
            "insert or ignore into tasks (id, title, project, parent_task_id) values ('{d}', 'd', 'p', '{d}')",
            "insert or replace into tasks (id, title, parent_task_id) values ('{d}', 'd', '{d}')",
            "update tasks set parent_task_id = id where id = '{a}'",
            "update or ignore tasks set parent_task_id = id where id = '{c}'",
            "update tasks set parent_task_id = '{c}' where id = '{a}'",
            "update or replace tasks set parent_task_id = '{c}' where id = '{b}'",
            "update tasks set parent_task_id = '{c}', project = 'q' where id = '{a}'",
            "update tasks set parent_task_id = case id when '{a}' then '{b}' else '{a}' end where id in ('{a}', '{b}')",
            "insert into tasks (id, title) values ('{a}', 'a') on conflict (id) do update set parent_task_id = '{c}'",
        ] {
            if let Some(write) = portable(write) {
                wire.refuses(&write, "parent_task_id: a task cannot be below itself").await;
            }
        }
        // With recursive triggers the deletion of the replaced task deletes the new parent.
        let replaces = "replace into tasks (id, title, project, parent_task_id) values ('{a}', 'a', 'p', '{c}')";
        if let Some(replaces) = portable(replaces) {
            wire.refuses(&replaces, "parent_task_id: ").await;
        }
        let request = r#"POST /api/v1/tasks {"task_id":"{d}","title":"d","parent_task_id":"{d}"}"#;
        wire.refuses(request, r#""field":"parent_task_id""#).await;
        assert_eq!(wire.sql(tree), before, "{pragmas}");
        assert_eq!(wire.sql(roots()), "0", "{pragmas}");
        wire.check_figures(&[]).await;
    }
}

/// Counts the steps of SQLite: the check of a new parent walks up from it, whatever is below the task.
#[tokio::test]
async fn the_check_of_a_parent_costs_its_depth() {
    if on_sqlite_only("it counts the steps of SQLite") {
        return;
    }
    let wire = Wire::start().await;
    let id = |number: u32| format!("'0190b0a0-0000-7000-8000-{number:012}'");
    wire.sql(&format!(
        "begin; insert into tasks (id, title) values ({}, 'chain'), ({}, 'wide');
         with recursive n (i) as (select 2 union all select i + 1 from n where i < 1000)
         insert into tasks (id, title, parent_task_id) select
             printf('0190b0a0-0000-7000-8000-%012d', i), 't', printf('0190b0a0-0000-7000-8000-%012d', i - 1) from n;
         with recursive n (i) as (select 2001 union all select i + 1 from n where i < 3000)
         insert into tasks (id, title, parent_task_id) select
             printf('0190b0a0-0000-7000-8000-%012d', i), 't', {} from n; commit",
        id(1),
        id(2000),
        id(2000),
    ));
    let steps = |sql: String| {
        let command = &mut std::process::Command::new("sqlite3");
        let counted = command.args(["-cmd", ".timeout 5000", "-cmd", ".stats vmstep"]).arg(wire.app.path()).arg(&sql);
        let text = String::from_utf8(counted.output().unwrap().stdout).unwrap();
        text.trim().strip_prefix("VM-steps: ").unwrap_or_else(|| panic!("{sql}: {text}")).parse::<u64>().unwrap()
    };
    let begins = |above: u32| steps(format!("insert into tasks (title, parent_task_id) values ('new', {})", id(above)));
    let (near, far) = (begins(1), begins(1000));
    assert!(near.abs_diff(far) < 20, "a new task walks nowhere: {near}, {far}");
    let moves = |task: u32, above: u32| {
        steps(format!("update tasks set parent_task_id = {} where id = {}", id(above), id(task)))
    };
    let (leaf, wide) = (moves(2001, 10), moves(2000, 10));
    assert!(wide < leaf + 200, "the 999 tasks below cost no step: {leaf}, {wide}");
    let (middle, deep) = (moves(2002, 500), moves(2003, 1000));
    assert!(deep < 2 * middle && deep - leaf < 990 * 50, "in proportion to the depth: {leaf}, {middle}, {deep}");
}

#[tokio::test]
async fn a_tree_moves_as_a_whole_and_both_projects_are_told() {
    let frames = |from: &str, to: &str| {
        let mut lines = Vec::new();
        for (task, parent) in [("a", "null"), ("b", "a"), ("c", "b")] {
            for project in [from, to] {
                lines.push(format!(
                    "task.updated task_id={task} project={project} parent_task_id={parent} status_changed=null"
                ));
            }
        }
        for project in [from, to] {
            lines.push(format!("bookmark.saved bookmark_id=m task_id=c project={project}"));
        }
        lines.sort();
        lines
    };
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = with_tree(pragmas).await;
        for (write, from, to) in [
            ("update tasks set project = 'q' where id = '{a}'", "p", "q"),
            (r#"PATCH /api/v1/tasks/{a} {"project":"r"}"#, "q", "r"),
            ("update tasks set project = 's' where project = 'r' and parent_task_id is null", "r", "s"),
        ] {
            wire.write(write).await;
            let mut found = wire.frames().await;
            found.sort();
            assert_eq!(found, frames(from, to), "{pragmas}{write}");
            assert_eq!(wire.sql(PROJECTS), to);
        }
        wire.check_figures(&[]).await;
    }
}

/// The tasks below a task move with it when it gets another parent, and when a row with its id replaces it.
#[tokio::test]
async fn a_branch_follows_its_task() {
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = with_tree(pragmas).await;
        wire.write("update tasks set parent_task_id = '{x}', project = 'q' where id = '{b}'").await;
        let mut frames = wire.frames().await;
        frames.retain(|line| line.starts_with("task.updated"));
        frames.sort();
        let expected = [
            "task.updated task_id=b project=p parent_task_id=a status_changed=null",
            "task.updated task_id=b project=q parent_task_id=x status_changed=null",
            "task.updated task_id=c project=p parent_task_id=b status_changed=null",
            "task.updated task_id=c project=q parent_task_id=b status_changed=null",
        ];
        assert_eq!(frames, expected, "{pragmas}");
        if let Some(replaces) = portable("replace into tasks (id, title, project) values ('{b}', 'B', 's')") {
            wire.write(&replaces).await;
            let below = wire.sql("select project from tasks where id = '{c}'");
            // With recursive triggers the deletion of the replaced task deletes the tasks below it.
            assert_eq!(below, if pragmas.contains("recursive") { "" } else { "s" }, "{pragmas}");
        }
        wire.check_figures(&[]).await;
    }
}

/// Two projects can each have a task of one session, one project cannot.
#[tokio::test]
async fn an_external_id_is_unique_within_the_project_and_the_source() {
    for pragmas in each_of(&PRAGMAS) {
        let mut wire = Wire::start_with(pragmas).await;
        wire.write(
            "insert into tasks (id, title, project, source, external_id) values
                ('{a}', 'a', 'p', 'cli', 'one'), ('{b}', 'b', 'q', 'cli', 'one'), ('{c}', 'c', 'p', 'web', 'one')",
        )
        .await;
        wire.frames().await;
        let unique = "UNIQUE constraint failed: tasks.source, tasks.external_id, tasks.project";
        wire.refuses("insert into tasks (title, project, source, external_id) values ('d', 'p', 'cli', 'one')", unique)
            .await;
        wire.refuses("update tasks set project = 'q' where id = '{a}'", unique).await;
        wire.refuses(r#"PATCH /api/v1/tasks/{a} {"project":"q"}"#, r#""field":"project""#).await;
        wire.check_figures(&[]).await;
    }
}

/// The triggers of a deletion and of a move look at the tree alone, however deep it is. SQLite nests triggers at most a
/// thousand levels deep.
#[tokio::test]
async fn a_deep_chain_is_moved_and_deleted() {
    for pragmas in each_of(&PRAGMAS) {
        let wire = Wire::start_with(pragmas).await;
        wire.sql(
            "begin; insert into tasks (id, title, project) values ('0190b0a0-0000-7000-8000-000000000001', 't', 'p');
             with recursive n (i) as (select 2 union all select i + 1 from n where i < 3000)
             insert into tasks (id, title, project, parent_task_id) select
                 '0190b0a0-0000-7000-8000-' || substr(cast(1000000000000 + i as text), 2), 't', 'p',
                 '0190b0a0-0000-7000-8000-' || substr(cast(1000000000000 + i - 1 as text), 2)
             from n; commit",
        );
        wire.sql("update tasks set project = 'q' where id = '0190b0a0-0000-7000-8000-000000000001'");
        assert_eq!(wire.sql("select count(*) from tasks where project = 'q'"), "3000", "{pragmas}");
        wire.sql("delete from tasks where id = '0190b0a0-0000-7000-8000-000000000001'");
        assert_eq!(wire.sql("select count(*) from tasks where project = 'q'"), "0", "{pragmas}");
        wire.check_figures(&[]).await;
    }
}

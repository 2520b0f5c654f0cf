//! A tree of tasks has one project: a screen of the project hears of every task that it shows.

use super::Wire;

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

const PROJECTS: &str = "select group_concat(distinct project) from tasks where id in ('{a}', '{b}', '{c}')";

#[tokio::test]
async fn a_task_begins_in_the_project_of_the_task_above() {
    for pragmas in PRAGMAS {
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
    for pragmas in PRAGMAS {
        let mut wire = with_tree(pragmas).await;
        wire.write("update tasks set source = 's', external_id = 'e' where id in ('{b}', '{x}')").await;
        wire.frames().await;
        for form in ["", "or ignore ", "or fail ", "or replace "] {
            let moves = format!("update {form}tasks set project = 'q' where id = '{{a}}'");
            wire.refuses(&moves, "external_id: another task of the project has that of a task below").await;
            let begins = "tasks (title, source, external_id, parent_task_id) values ('n', 's', 'e', '{a}')";
            wire.refuses(&format!("insert {form}into {begins}"), "external_id").await;
            assert_eq!(wire.sql(PROJECTS), "p", "{pragmas}{form}");
            assert_eq!(wire.sql("select count(*) from tree_roots"), "0", "{pragmas}{form}");
            assert_eq!(wire.sql("select count(*) from tasks where title = 'n'"), "0", "{pragmas}{form}");
        }
        wire.frames().await;
    }
}

#[tokio::test]
async fn a_tree_moves_as_a_whole_and_both_projects_are_told() {
    let frames = |from: &str, to: &str| {
        let mut lines = Vec::new();
        for (task, parent) in [("a", "null"), ("b", "a"), ("c", "b")] {
            for project in [from, to] {
                lines.push(format!("task.updated task_id={task} project={project} parent_task_id={parent}"));
            }
        }
        for project in [from, to] {
            lines.push(format!("bookmark.saved bookmark_id=m task_id=c project={project}"));
        }
        lines.sort();
        lines
    };
    for pragmas in PRAGMAS {
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
    for pragmas in PRAGMAS {
        let mut wire = with_tree(pragmas).await;
        wire.write("update tasks set parent_task_id = '{x}', project = 'q' where id = '{b}'").await;
        let mut frames = wire.frames().await;
        frames.retain(|line| line.starts_with("task.updated"));
        frames.sort();
        let expected = [
            "task.updated task_id=b project=p parent_task_id=a",
            "task.updated task_id=b project=q parent_task_id=x",
            "task.updated task_id=c project=p parent_task_id=b",
            "task.updated task_id=c project=q parent_task_id=b",
        ];
        assert_eq!(frames, expected, "{pragmas}");
        wire.write("replace into tasks (id, title, project) values ('{b}', 'B', 's')").await;
        let below = wire.sql("select project from tasks where id = '{c}'");
        // With recursive triggers the deletion of the replaced task deletes the tasks below it.
        assert_eq!(below, if pragmas.contains("recursive") { "" } else { "s" }, "{pragmas}");
        wire.check_figures(&[]).await;
    }
}

/// Two projects can each have a task of one session, one project cannot.
#[tokio::test]
async fn an_external_id_is_unique_within_the_project_and_the_source() {
    for pragmas in PRAGMAS {
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
    for pragmas in PRAGMAS {
        let wire = Wire::start_with(pragmas).await;
        wire.sql(
            "begin; insert into tasks (id, title, project) values ('0190b0a0-0000-7000-8000-000000000001', 't', 'p');
             with recursive n (i) as (select 2 union all select i + 1 from n where i < 3000)
             insert into tasks (id, title, project, parent_task_id) select
                 printf('0190b0a0-0000-7000-8000-%012d', i), 't', 'p', printf('0190b0a0-0000-7000-8000-%012d', i - 1)
             from n; commit",
        );
        wire.sql("update tasks set project = 'q' where id = '0190b0a0-0000-7000-8000-000000000001'");
        assert_eq!(wire.sql("select count(*) from tasks where project = 'q'"), "3000", "{pragmas}");
        wire.sql("delete from tasks where id = '0190b0a0-0000-7000-8000-000000000001'");
        assert_eq!(wire.sql("select count(*) from tasks where project = 'q'"), "0", "{pragmas}");
        wire.check_figures(&[]).await;
    }
}

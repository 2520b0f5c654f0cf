//! Trees of tasks that break a rule: of a database of the version before the rule, or of one that lost its triggers.

use std::sync::Arc;

use tempfile::TempDir;

use super::upgrade::early;
use super::{check_notices_of_writes, check_overview_figures, migrate};
use crate::app::{App, sqlite3};
use crate::rest::Client;

/// A write without triggers put a task below a task of another project.
#[tokio::test]
async fn a_tree_with_two_projects_gets_one_when_triggers_are_put_back() {
    let folder = TempDir::new().unwrap();
    let path = early(folder.path());
    assert!(migrate(&path).status.success());
    sqlite3(
        &path,
        "insert into tasks (id, title, project) values ('0190b0a0-0000-7000-8000-0000000000a1', 'top', 'p');
         drop trigger tasks_begin_in_the_project_above;
         insert into tasks (title, project, parent_task_id) values ('low', 'q', '0190b0a0-0000-7000-8000-0000000000a1')",
    );
    let text = String::from_utf8(migrate(&path).stdout).unwrap();
    assert!(text.contains("put back: trigger tasks_begin_in_the_project_above\n"), "{text}");
    assert_eq!(sqlite3(&path, "select project from tasks where title = 'low'"), "p");
    assert_eq!(sqlite3(&path, "select count(*) from figures where project = 'q' and value <> 0"), "0");
}

/// Tasks in circles, as the version before took them: a circle of three with a task below it, and a task that is its
/// own parent. Each has another project.
const CIRCLES: &str = "
    insert into tasks (id, title, project, parent_task_id) values
        ('0190b0a0-0000-7000-8000-0000000000a1', 'one', 'p', '0190b0a0-0000-7000-8000-0000000000a3'),
        ('0190b0a0-0000-7000-8000-0000000000a2', 'two', 'q', '0190b0a0-0000-7000-8000-0000000000a1'),
        ('0190b0a0-0000-7000-8000-0000000000a3', 'three', 'r', '0190b0a0-0000-7000-8000-0000000000a2'),
        ('0190b0a0-0000-7000-8000-0000000000a0', 'below', 's', '0190b0a0-0000-7000-8000-0000000000a2'),
        ('0190b0a0-0000-7000-8000-0000000000b1', 'own', 't', '0190b0a0-0000-7000-8000-0000000000b1')";
const CIRCLED: &str = "select substr(id, -2), project, substr(parent_task_id, -2) from tasks where id glob '*0000000000[ab]?' order by id";

/// A purge and a screen of one project go down from the top of a tree. So a circle is opened, and the log names its
/// task.
#[tokio::test]
async fn a_circle_is_opened_and_its_tasks_get_one_project() {
    let folder = Arc::new(TempDir::new().unwrap());
    let path = early(folder.path());
    sqlite3(&path, CIRCLES);
    let text = String::from_utf8(migrate(&path).stdout).unwrap();
    for line in [
        "put right: 2 rows: a task was below itself, and is at the top of its tree now: \
            0190b0a0-0000-7000-8000-0000000000a1, 0190b0a0-0000-7000-8000-0000000000b1\n",
        "put right: 3 rows: the project of a task was not that of the task above it: \
            0190b0a0-0000-7000-8000-0000000000a0, 0190b0a0-0000-7000-8000-0000000000a2, \
            0190b0a0-0000-7000-8000-0000000000a3\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert_eq!(sqlite3(&path, CIRCLED), "a0|p|a2\na1|p|\na2|p|a1\na3|p|a2\nb1|t|");
    // The screens of the version before show the tasks in other places, so no cursor of it continues.
    assert_eq!(sqlite3(&path, "select count(*) from runs"), "1");
    let app = App::start_in(folder, |_| ()).await;
    let mut ws = app.ws("").await;
    ws.frame().await;
    check_notices_of_writes(&app, &mut ws).await;
    check_overview_figures(&app, 1).await;
}

/// The same in a database of this version, whose triggers another program dropped. Two tasks of one project cannot have
/// the same source and external id, so one of two that meet loses the external id.
#[tokio::test]
async fn circles_and_conflicts_are_put_right_when_triggers_are_put_back() {
    let folder = TempDir::new().unwrap();
    let path = early(folder.path());
    assert!(migrate(&path).status.success());
    let triggers =
        sqlite3(&path, "select group_concat('drop trigger ' || name, ';') from sqlite_schema where type = 'trigger'");
    sqlite3(
        &path,
        &format!(
            "{triggers}; {CIRCLES};
             update tasks set source = 's', external_id = substr(id, -2) where id glob '*0000000000[ab]?';
             insert into tasks (id, title, project, source, external_id) values
                 ('0190b0a0-0000-7000-8000-0000000000c1', 'meets', 'p', 's', 'a2')"
        ),
    );
    let text = String::from_utf8(migrate(&path).stdout).unwrap();
    let conflict = "put right: 1 rows: another task of the project had the source and the external_id of a task, which \
        lost its external_id: 0190b0a0-0000-7000-8000-0000000000a2\n";
    assert!(text.contains("put right: 2 rows: a task was below itself") && text.contains(conflict), "{text}");
    assert_eq!(sqlite3(&path, CIRCLED), "a0|p|a2\na1|p|\na2|p|a1\na3|p|a2\nb1|t|");
    let names = "select substr(id, -2), external_id from tasks where source = 's' order by id";
    assert_eq!(sqlite3(&path, names), "a0|a0\na1|a1\na2|\na3|a3\nb1|b1\nc1|a2");
    assert!(!String::from_utf8(migrate(&path).stdout).unwrap().contains("put right"));
}

/// The version before took a task below a task that does not exist.
#[tokio::test]
async fn a_missing_task_does_not_begin_below_a_task_that_waits_for_it() {
    let folder = Arc::new(TempDir::new().unwrap());
    let path = early(folder.path());
    let [missing, below] = ["0190b0a0-0000-7000-8000-0000000000a1", "0190b0a0-0000-7000-8000-0000000000a2"];
    sqlite3(&path, &format!("insert into tasks (id, title, parent_task_id) values ('{below}', 't', '{missing}')"));
    let app = App::start_in(folder, |_| ()).await;
    let client = Client::of(&app);
    let circle = serde_json::json!({"task_id": missing, "title": "t", "parent_task_id": below});
    assert_eq!(client.post("/api/v1/tasks", circle).await.problem(), "422 parent_task_id");
    let top = serde_json::json!({"task_id": missing, "title": "t"});
    assert_eq!(client.post("/api/v1/tasks", top).await.status, 201);
}

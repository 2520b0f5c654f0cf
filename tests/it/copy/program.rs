//! The commands `copy` and `grants`.

use std::process::Command;

use tempfile::TempDir;

use super::{empty_file, hostile_rows};
use crate::cluster::Cluster;

fn requery(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_requery")).args(arguments).env("NO_COLOR", "1").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn the_command_copies_once_and_then_refuses() {
    let folder = TempDir::new().unwrap();
    let source = empty_file(folder.path(), "source.db").await;
    hostile_rows(&source);
    let source = source.to_str().unwrap();
    let database = Cluster::shared().create_database();
    let arguments = ["copy", "--from", source, "--to", &database.url, "--schema", "agents_2"];
    let (code, output, errors) = requery(&arguments);
    assert_eq!(code, Some(0), "{errors}");
    assert!(output.contains("  events: 1,203 rows\n") && output.contains("schema agents_2"), "{output}");
    assert!(errors.contains("events: compared 1,203 rows\n"), "{errors}");
    assert_eq!(database.psql("select count(*) from agents_2.events"), "1203");
    let (code, output, errors) = requery(&arguments);
    assert_eq!((code, output.as_str()), (Some(1), ""), "{errors}");
    assert!(errors.contains("has rows already, in the table tasks"), "{errors}");
}

#[test]
fn the_grants_let_a_role_write_and_nothing_else() {
    let database = Cluster::shared().create_database();
    let (code, _, errors) = requery(&["migrate", "--database-url", &database.url]);
    assert_eq!(code, Some(0), "{errors}");
    let role = format!("agent_{}", database.name);
    let (code, grants, errors) = requery(&["grants", "--role", &role]);
    assert_eq!(code, Some(0), "{errors}");
    database.psql(&format!("create role {role} login; {grants}"));
    let as_role = |sql: &str| database.try_psql(&format!("set role {role}; {sql}"));
    let insert = "insert into tasks (title) values ('by the role');
        insert into events (task_id, kind) select id, 'log' from tasks; select event_count from task_counts";
    assert_eq!(as_role(insert), Ok("1".to_owned()));
    for refused in ["delete from changes", "delete from figures", "alter table tasks disable trigger user"] {
        as_role(refused).unwrap_err();
    }
    let (code, _, errors) = requery(&["grants", "--role", "a", "--schema", "a b"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("no name of a schema"), "{errors}");
}

//! Tables that another program changed and that the server cannot repair.

use std::time::Duration;

use tempfile::TempDir;

use super::{
    check_notices_of_writes, create_database, drop_all_triggers, frame_of_kind, migrate, recreate_table_as, until_ready,
};
use crate::app::{App, PATIENCE, side_by_side, sqlite3};

/// Each case is the damage, the sentence that names it, and the SQL that repairs it.
#[test]
fn a_table_the_server_cannot_repair_gives_503_until_it_is_repaired() {
    let broken: [(&str, &str, &str); 5] = [
        (
            "alter table tasks drop column summary",
            "the table tasks has no column summary",
            "alter table tasks add column summary text",
        ),
        ("alter table sessions rename to kept", "the table sessions is missing", "alter table kept rename to sessions"),
        (
            "drop index tasks_external; insert into tasks (title, source, external_id) values ('a', 's', 'x'), ('b', 's', 'x')",
            "index tasks_external",
            "delete from tasks where title = 'b'",
        ),
        (
            "alter table runs rename column token to word",
            "the table runs has no column token",
            "alter table runs rename column word to token",
        ),
        (
            "alter table requery_migrations rename to kept",
            "the table requery_migrations is missing",
            "alter table kept rename to requery_migrations",
        ),
    ];
    // A server looks for the repair once a second, so the cases run side by side.
    side_by_side(broken, a_broken_table_gives_503_until_it_is_repaired);
}

async fn a_broken_table_gives_503_until_it_is_repaired((damage, sentence, repair): (&str, &str, &str)) {
    let app = App::start().await;
    // SQLite drops no column that a trigger reads, so the other program drops the triggers first.
    app.sql(&format!("begin immediate; {} {damage}; commit", drop_all_triggers(&app)));
    let text = until_ready(&app, 503).await;
    let named = async {
        loop {
            let text = until_ready(&app, 503).await;
            if text.contains(sentence) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let text = tokio::time::timeout(PATIENCE, named).await.unwrap_or(text);
    assert!(text.contains(sentence) && text.contains("restore the file from a copy"), "{text}");
    let client = reqwest::Client::new();
    let write = client.post(app.url("/api/v1/tasks")).header("content-type", "application/json");
    let write = write.body(r#"{"title":"refused"}"#).send().await.unwrap();
    assert_eq!(write.status(), 503);
    assert_eq!(write.headers()["content-type"], "application/problem+json");
    assert!(write.text().await.unwrap().contains(sentence));
    assert_eq!(reqwest::get(app.url("/api/v1/tasks")).await.unwrap().status(), 503);
    assert!(reqwest::get(app.url("/healthz")).await.unwrap().status().is_success());
    app.sql(repair);
    until_ready(&app, 204).await;
    let mut ws = app.ws("").await;
    ws.frame().await;
    check_notices_of_writes(&app, &mut ws).await;
}

/// The triggers need no constraint, so a copied table without its constraints is served.
#[tokio::test]
async fn a_table_without_its_constraints_is_served_and_migrate_reports_the_loss() {
    let app = App::start().await;
    let mut ws = app.ws("").await;
    ws.frame().await;
    recreate_table_as(&app, "sessions", |sql| {
        let start = sql.find("constraint status_is_known").unwrap();
        let end = start + sql[start..].find(",\n    summary").unwrap();
        format!("{}{}", &sql[..start], &sql[end..]).replace(") strict", ")")
    });
    frame_of_kind(&mut ws, "resync").await;
    until_ready(&app, 204).await;
    check_notices_of_writes(&app, &mut ws).await;
    let folder = app.stop().await;
    let output = migrate(&folder.path().join("requery.db"));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("lost, and not put back: the table sessions: status_is_known"), "{text}");
    assert!(text.contains("lost, and not put back: the table sessions: STRICT"), "{text}");
}

#[tokio::test]
async fn migrate_names_a_broken_table_and_fails() {
    let folder = TempDir::new().unwrap();
    let path = create_database(&folder).await;
    let drops = sqlite3(&path, "select 'drop trigger ' || name || ';' from sqlite_master where type = 'trigger'");
    sqlite3(&path, &format!("{drops} alter table tasks drop column summary"));
    let output = migrate(&path);
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    for sentence in
        [&*path.display().to_string(), "the table tasks has no column summary", "restore the file from a copy"]
    {
        assert!(text.contains(sentence), "{text}");
    }
}

//! Copies of a whole database between SQLite and Postgres, whichever engine the environment names.

use std::path::{Path, PathBuf};

use requery::server::copy::{Copied, CopyError, CopyStep, copy};
use requery::server::database::copy_ends::CopyEndError;
use requery::server::database::{Database, Location};
use tempfile::TempDir;

use crate::app::sqlite3;
use crate::cluster::{Cluster, TestDatabase};

mod program;
mod rows;
mod served;

use rows::{hostile_rows, shown};

/// A file with an empty database.
async fn empty_file(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    Database::open(path.clone().into()).await.unwrap().close("the test").await;
    path
}

fn location(database: &TestDatabase) -> Location {
    database.url.parse().unwrap_or_else(|error| panic!("{}: {error}", database.url))
}

async fn copied(from: &Location, to: &Location) -> Copied {
    copy(from, to, |_| ()).await.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn every_value_comes_back_from_postgres() {
    let folder = TempDir::new().unwrap();
    let source = empty_file(folder.path(), "source.db").await;
    hostile_rows(&source);
    let database = Cluster::shared().create_database();
    let mut steps = Vec::new();
    let there = copy(&source.clone().into(), &location(&database), |step| steps.push(step)).await.unwrap();
    let target = folder.path().join("target.db");
    let back = copied(&location(&database), &target.clone().into()).await;
    assert_eq!(there.tables, back.tables);
    assert_eq!((there.changed_texts, there.cut_texts, back.changed_texts), (0, 0, 0));
    let tables = there.tables.iter().map(|(table, _)| *table);
    let verified = steps.iter().filter_map(|step| match step {
        CopyStep::Verified(table, _) => Some(*table),
        _ => None,
    });
    assert!(verified.eq(tables.clone()), "{steps:?}");
    for (table, rows) in &there.tables {
        assert!(*rows > 0, "{table} has a row");
        assert_eq!(shown(&target, table), shown(&source, table), "{table}");
    }
    // The copy is a sound database: its next migration finds nothing to put right.
    let opened = Database::open(target.into()).await.unwrap();
    assert!(opened.migrated().put_back.is_empty() && opened.migrated().put_right.is_empty());
    opened.close("the test").await;
    let opened = Database::open(location(&database)).await.unwrap();
    assert!(opened.migrated().put_back.is_empty() && opened.migrated().put_right.is_empty());
    opened.close("the test").await;
}

#[tokio::test]
async fn the_source_is_in_use_and_stays_as_it_is() {
    let folder = TempDir::new().unwrap();
    let source = empty_file(folder.path(), "source.db").await;
    hostile_rows(&source);
    let served = Database::open(source.clone().into()).await.unwrap();
    let before = sqlite3(&source, ".dump");
    copied(&source.clone().into(), &folder.path().join("target.db").into()).await;
    assert_eq!(sqlite3(&source, ".dump"), before);
    served.close("the test").await;
}

#[tokio::test]
async fn texts_that_postgres_cannot_store_are_changed_and_counted() {
    let folder = TempDir::new().unwrap();
    let source = empty_file(folder.path(), "source.db").await;
    // SQLite counts the characters of a text up to its first NUL.
    sqlite3(
        &source,
        "insert into tasks (id, title, summary) values ('0190b0a0-0000-7000-8000-000000000001',
            'a' || char(0) || printf('%.600c', 'b'), cast(x'61ff62' as text));
        insert into events (task_id, kind, body) values ('0190b0a0-0000-7000-8000-000000000001', 'log',
            cast(zeroblob(65536) as text));
        insert into events (task_id, kind, metadata) values ('0190b0a0-0000-7000-8000-000000000001', 'a' || char(0) || 'B',
            '{\"a\": 1}' || char(0) || '}');",
    );
    let database = Cluster::shared().create_database();
    let there = copied(&source.clone().into(), &location(&database)).await;
    assert_eq!((there.changed_texts, there.cut_texts), (5, 2));
    let title = format!("a\u{fffd}{}", "b".repeat(498));
    assert_eq!(database.psql("select title from tasks; select summary from tasks"), format!("{title}\na\u{fffd}b"));
    let events = "select octet_length(body), length(body), kind, metadata from events order by position";
    assert_eq!(database.psql(events), "65535|21845|log|\n||a__|{\"a\": 1}");

    let target = folder.path().join("target.db");
    let same = copied(&source.clone().into(), &target.clone().into()).await;
    assert_eq!(same.changed_texts, 0, "SQLite takes each text as it is");
    for table in ["tasks", "events"] {
        assert_eq!(shown(&target, table), shown(&source, table), "{table}");
    }
}

#[tokio::test]
async fn a_target_with_rows_is_refused_and_stays_as_it_is() {
    let folder = TempDir::new().unwrap();
    let source = empty_file(folder.path(), "source.db").await;
    hostile_rows(&source);
    let file = empty_file(folder.path(), "target.db").await;
    sqlite3(&file, "insert into tasks (title) values ('mine'); insert into agents (source) values ('mine')");
    let database = Cluster::shared().create_database();
    Database::open(location(&database)).await.unwrap().close("the test").await;
    let insert = "insert into tasks (title) values ('mine'); insert into agents (source) values ('mine')";
    database.psql(insert);
    let of_postgres = "select * from tasks; select * from agents; select kind, task_id from changes order by id;
        select tgrelid::regclass, tgname, tgenabled from pg_trigger where not tgisinternal order by 1, 2";
    let before = (sqlite3(&file, "select * from tasks; select * from agents; select * from changes"), {
        database.psql(of_postgres)
    });
    for target in [Location::from(file.clone()), location(&database)] {
        let refused = copy(&source.clone().into(), &target, |_| ()).await.unwrap_err();
        assert!(matches!(refused, CopyError::End(CopyEndError::NotEmpty { .. })), "{refused}");
        let text = refused.to_string();
        assert!(text.contains(&target.to_string()) && text.contains("the table tasks"), "{text}");
    }
    let after = (sqlite3(&file, "select * from tasks; select * from agents; select * from changes"), {
        database.psql(of_postgres)
    });
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_copy_that_ends_in_the_middle_leaves_the_target_empty() {
    let folder = TempDir::new().unwrap();
    let source = empty_file(folder.path(), "source.db").await;
    hostile_rows(&source);
    // An event that breaks a check: the rows of the tables before it are written by then.
    sqlite3(
        &source,
        "pragma ignore_check_constraints = on;
        insert into events (task_id, kind, state) select id, 'log', 'broken' from tasks limit 1",
    );
    let file = folder.path().join("target.db");
    let database = Cluster::shared().create_database();
    for target in [Location::from(file.clone()), location(&database)] {
        let failed = copy(&source.clone().into(), &target, |_| ()).await.unwrap_err();
        assert!(matches!(failed, CopyError::Write { table: "events", .. }), "{failed}");
        // The same where the copy is dropped in the middle, as with Ctrl-C.
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let mut sender = Some(sender);
        let from = source.clone().into();
        let copying = copy(&from, &target, |step| {
            if matches!(step, CopyStep::Copied("sessions", _)) {
                sender.take().map(|sender| sender.send(()));
            }
        });
        let dropped = tokio::select! {
            biased;
            _ = receiver => true,
            _ = copying => false,
        };
        assert!(dropped);
    }
    let counts =
        "select (select count(*) from tasks) + (select count(*) from sessions) + (select count(*) from events)";
    assert_eq!(sqlite3(&file, counts), "0");
    assert_eq!(database.psql(counts), "0");
    sqlite3(&source, "delete from events where state = 'broken'");
    for target in [Location::from(file), location(&database)] {
        copied(&source.clone().into(), &target).await;
    }
}

#[tokio::test]
async fn the_next_event_comes_after_the_copied_ones() {
    let folder = TempDir::new().unwrap();
    let source = empty_file(folder.path(), "source.db").await;
    hostile_rows(&source);
    // The newest place was given to an event that is deleted by now.
    sqlite3(
        &source,
        "insert into events (position, task_id, kind) select 700000, id, 'log' from tasks limit 1;
        delete from events where position = 700000",
    );
    let database = Cluster::shared().create_database();
    copied(&source.into(), &location(&database)).await;
    let insert = "insert into events (task_id, kind) select id, 'log' from tasks limit 1 returning position";
    assert_eq!(database.psql(insert), "700001");
    let file = folder.path().join("target.db");
    copied(&location(&database), &file.clone().into()).await;
    assert_eq!(sqlite3(&file, insert), "700002");
}

#[tokio::test]
async fn a_source_that_is_no_database_is_named() {
    let folder = TempDir::new().unwrap();
    let (missing, target) = (folder.path().join("missing.db"), folder.path().join("target.db"));
    let error = copy(&missing.clone().into(), &target.clone().into(), |_| ()).await.unwrap_err();
    assert!(matches!(error, CopyError::End(CopyEndError::Missing(_))), "{error}");
    assert!(!missing.exists() && !target.exists());
    let source = empty_file(folder.path(), "source.db").await;
    sqlite3(&source, "drop trigger events_logged");
    let error = copy(&source.into(), &target.into(), |_| ()).await.unwrap_err().to_string();
    assert!(error.contains("trigger events_logged") && error.contains("requery migrate"), "{error}");
}

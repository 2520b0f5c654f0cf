//! The change log after folding and pruning, and the first frame of a client that reconnects then.

use std::sync::Arc;
use std::time::Duration;

use requery::server::access::scope::Scope;
use requery::server::change_log::{fold, prune};
use requery::server::database::Database;
use tempfile::TempDir;
use tokio::time::timeout;

use super::wire::{check_figures, expand};
use crate::app::{App, PATIENCE, on_sqlite_only, sqlite3};
use crate::store::Store;

const NUMBERS: &str = "the log of Postgres has transactions in the place of numbers";

const YEAR_3000: i64 = 32_503_680_000_000;
const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn a_cursor_below_the_floor_gets_a_snapshot_and_one_above_resumes() {
    if on_sqlite_only(NUMBERS) {
        return;
    }
    let (folder, database) = open().await;
    let path = folder.path().join("requery.db");
    // The times of the changes are one hour apart.
    sqlite3(&path, &expand("insert into tasks (id, title) values ('{a}', 'a')"));
    for _ in 0..9 {
        sqlite3(&path, "update tasks set title = title || '!'");
    }
    sqlite3(&path, "update changes set at = id * 3600000");
    let epoch = database.epoch().unwrap().to_string();
    fold::fold_all(&database).await.unwrap();
    // At 1 ms past hour 10 the changes 1 to 5 are older than five hours.
    prune::prune(&database, 10 * 3_600_000 + 1, Duration::from_secs(5 * 3600)).await.unwrap();
    assert_eq!(sqlite3(&path, "select min(id), max(id) from changes"), "6|10");
    let app = serve(folder, database).await;
    let first = async |next: u64| {
        let frame = app.ws(&format!("?since={epoch}:{next}:{next}:")).await.frame().await;
        format!("{} {}", frame["type"].as_str().unwrap(), frame["payload"]["stale"])
    };
    let stale = expand(r#"resumed ["overview","task:{a}"]"#);
    for (next, expected) in [
        (1, "snapshot null"),
        (5, "snapshot null"),
        // The cursor 6 lacks the changes from the sixth on, and the log has all of them.
        (6, stale.as_str()),
        (10, stale.as_str()),
        (11, "resumed []"),
        (12, "snapshot null"),
    ] {
        assert_eq!(first(next).await, expected, "{next}");
    }
}

/// A clock can step, and any program can write a time. The prune then deletes less or more, but never a row in the
/// middle.
#[tokio::test]
async fn the_prune_deletes_only_the_old_end_of_the_log_whatever_the_times_say() {
    if on_sqlite_only(NUMBERS) {
        return;
    }
    const HOUR: i64 = 3_600_000;
    const NOW: i64 = 1_000_000 * HOUR;
    for (hours, kept) in [
        // Hours before now, from the oldest change on. The retention is 24 hours.
        (vec![30, 29, 28, 2, 1], "4 5"),
        // Ahead by less than the retention: the prune waits.
        (vec![30, 29, -3, 28, 2, 1], "3 4 5 6"),
        // Ahead by years: the next change with a time that can be right counts.
        (vec![30, -90_000, 28, 2, 1], "4 5"),
        (vec![-90_000, -90_000, 2, 1], "3 4"),
        // No later change has such a time.
        (vec![30, 29, -90_000, -90_000], "3 4"),
        (vec![-90_000, -90_000, -90_000], "1 2 3"),
        // Far behind.
        (vec![30, 2, 500_000, 1], "2 3 4"),
        (vec![500_000, 500_000, 500_000], "3"),
    ] {
        let (folder, database) = open().await;
        let path = folder.path().join("requery.db");
        for (index, hours) in hours.iter().enumerate() {
            let at = NOW - hours * HOUR;
            sqlite3(
                &path,
                &format!("insert into tasks (title) values ('a'); update changes set at = {at} where id = {index} + 1"),
            );
        }
        fold::fold_all(&database).await.unwrap();
        prune::prune(&database, NOW, DAY).await.unwrap();
        assert_eq!(sqlite3(&path, "select group_concat(id, ' ') from changes"), kept, "{hours:?}");
    }
}

#[tokio::test]
async fn many_changes_with_a_time_ahead_do_not_end_the_pruning() {
    if on_sqlite_only(NUMBERS) {
        return;
    }
    let (folder, database) = open().await;
    let path = folder.path().join("requery.db");
    let many = "with recursive n (i) as (select 1 union select i + 1 from n where i < 25000)
        insert into changes (kind, project, at) select 'bookmark.deleted', '', 9000000000000000 from n;
        insert into changes (kind, project, at) values ('bookmark.deleted', '', 1000), ('bookmark.deleted', '', 90000000)";
    sqlite3(&path, many);
    fold::fold_all(&database).await.unwrap();
    prune::prune(&database, 90_000_001, DAY).await.unwrap();
    assert_eq!(sqlite3(&path, "select group_concat(id, ' ') from changes"), "25002");
}

#[tokio::test]
async fn a_change_id_is_never_used_twice() {
    if on_sqlite_only(NUMBERS) {
        return;
    }
    let (folder, database) = open().await;
    let path = folder.path().join("requery.db");
    sqlite3(&path, "insert into tasks (title) values ('a'), ('b'), ('c')");
    fold::fold_all(&database).await.unwrap();
    prune::prune(&database, YEAR_3000, DAY).await.unwrap();
    // The newest change stays, so that the floor is known.
    assert_eq!(sqlite3(&path, "select id from changes"), "3");
    assert_eq!(database.snapshot(Scope::All).await.unwrap().cursor().snapshot().xmax(), 4);
    sqlite3(&path, "insert into tasks (title) values ('d')");
    assert_eq!(sqlite3(&path, "select max(id) from changes"), "4");
    // The same after another program deleted all rows.
    sqlite3(&path, "delete from changes; insert into tasks (title) values ('e')");
    assert_eq!(sqlite3(&path, "select id from changes"), "5");
    assert_eq!(database.snapshot(Scope::All).await.unwrap().cursor().snapshot().xmax(), 6);
}

/// A log without rows cannot say which read models changed, so an older cursor gets a snapshot instead of an empty
/// list.
#[tokio::test]
async fn an_emptied_log_resumes_only_the_newest_cursor() {
    if on_sqlite_only(NUMBERS) {
        return;
    }
    let (folder, database) = open().await;
    let path = folder.path().join("requery.db");
    let epoch = database.epoch().unwrap().to_string();
    sqlite3(&path, "insert into tasks (title) values ('a'), ('b')");
    sqlite3(&path, "delete from changes");
    let app = serve(folder, database).await;
    for (next, expected) in [(1, "snapshot"), (2, "snapshot"), (3, "resumed")] {
        let first = app.ws(&format!("?since={epoch}:{next}:{next}:")).await.frame().await;
        assert_eq!(first["type"], expected, "{next}");
    }
}

/// Folding goes on past missing changes to the end of the log, however many are missing.
#[tokio::test]
async fn an_emptied_log_is_folded_to_its_end() {
    if on_sqlite_only(NUMBERS) {
        return;
    }
    let (folder, database) = open().await;
    let path = folder.path().join("requery.db");
    sqlite3(&path, &expand("insert into tasks (id, title) values ('{a}', 'a')"));
    sqlite3(&path, "update sqlite_sequence set seq = 25000 where name = 'changes'; delete from changes");
    timeout(PATIENCE, fold::fold_all(&database)).await.unwrap().unwrap();
    assert_eq!(sqlite3(&path, "select next from folded"), "25001");
    sqlite3(&path, &expand("insert into events (task_id, kind) values ('{a}', 'log')"));
    fold::fold_all(&database).await.unwrap();
    assert_eq!(sqlite3(&path, "select next from folded"), "25002");
    assert_eq!(sqlite3(&path, "select value from figures where figure = 'events'"), "1");
}

#[tokio::test]
async fn changes_that_are_not_folded_are_not_pruned() {
    if on_sqlite_only(NUMBERS) {
        return;
    }
    let (folder, database) = open().await;
    let path = folder.path().join("requery.db");
    sqlite3(&path, &expand("insert into tasks (id, title) values ('{a}', 'a')"));
    let many = "with recursive n (i) as (select 1 union select i + 1 from n where i < 25000)
        insert into events (task_id, kind) select '{a}', 'log' from n";
    sqlite3(&path, &expand(many));
    prune::prune(&database, YEAR_3000, DAY).await.unwrap();
    assert_eq!(sqlite3(&path, "select count(*) from changes"), "25001");
    // The 25,001 changes take several batches of folding and of pruning.
    fold::fold_all(&database).await.unwrap();
    assert_eq!(sqlite3(&path, "select next from folded"), "25002");
    assert_eq!(sqlite3(&path, "select value from figures where figure = 'events'"), "25000");
    // A second fold counts no change twice.
    fold::fold_all(&database).await.unwrap();
    assert_eq!(sqlite3(&path, "select value from figures where figure = 'events'"), "25000");
    database.close("it is counted").await;
    drop(database);
    check_figures(&folder, &[]).await;
    let database = super::wire::open(folder.path()).await;
    prune::prune(&database, YEAR_3000, DAY).await.unwrap();
    assert_eq!(sqlite3(&path, "select id from changes"), "25001");
    assert_eq!(sqlite3(&path, "select value from figures where figure = 'events'"), "25000");
}

#[tokio::test]
async fn deliveries_are_pruned_after_eight_days() {
    let (folder, database) = open().await;
    let store = Store::of(folder.path());
    let day: i64 = 24 * 3_600_000;
    store.sql(&format!("insert into deliveries (id, at) values ('old', {day}), ('new', {})", 2 * day));
    prune::prune(&database, 9 * day + 1, DAY).await.unwrap();
    assert_eq!(store.sql("select id from deliveries"), "new");
}

/// A database that no server holds.
async fn open() -> (Arc<TempDir>, Database) {
    let folder = Arc::new(TempDir::new().unwrap());
    let database = Database::open(Store::of(folder.path()).location()).await.unwrap();
    (folder, database)
}

/// A server on this database with a retention so long that it prunes no change by itself.
async fn serve(folder: Arc<TempDir>, database: Database) -> App {
    database.close("it is served").await;
    drop(database);
    drop(super::wire::open(folder.path()).await);
    App::start_in(folder, |config| config.retention = 365_000 * DAY).await
}

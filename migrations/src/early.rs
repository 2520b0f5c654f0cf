//! Databases from before the first release, which have eight migrations instead of `0001_initial`.

/// The names of the eight migrations.
pub(crate) const MIGRATIONS: [&str; 8] = [
    "m0001_change_log",
    "m0002_tasks",
    "m0003_sessions",
    "m0004_events",
    "m0005_bookmarks",
    "m0006_search",
    "m0007_usage",
    "m0008_silence",
];

/// The statements after which such a database has `0001_initial`, and the triggers that it had are recorded.
pub(crate) const UPGRADE: &str = include_str!("../sqlite/early.sql");

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};

    use crate::triggers::{Trigger, of_files};
    use crate::{migrate_with_triggers, rows};

    const DUMP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/schema/made-by-eight-migrations.sql");
    const ADDED: &str = "create trigger added after insert on sessions begin select 1; end;";
    const EDITED: &str = "create trigger events_logged after insert on events begin select 1; end;";

    async fn early() -> DatabaseConnection {
        let mut options = ConnectOptions::new("sqlite::memory:");
        options.max_connections(1).sqlx_logging(false);
        let db = Database::connect(options).await.unwrap();
        db.execute_unprepared(&std::fs::read_to_string(DUMP).unwrap()).await.unwrap();
        db
    }

    /// The triggers of a later version: one was added, and one has another text.
    fn later() -> Vec<Trigger> {
        let mut triggers = of_files();
        triggers.iter_mut().find(|it| it.name == "events_logged").unwrap().sql = EDITED;
        triggers.push(Trigger { name: "added", sql: ADDED });
        triggers
    }

    async fn sql_of(db: &DatabaseConnection, trigger: &str) -> String {
        let select = format!("select sql || ';' from sqlite_schema where type = 'trigger' and name = '{trigger}'");
        rows::texts(db, &select).await.unwrap().concat()
    }

    async fn runs(db: &DatabaseConnection) -> usize {
        rows::texts(db, "select token from runs").await.unwrap().len()
    }

    #[tokio::test]
    async fn triggers_of_a_later_version_are_applied_without_a_report() {
        let db = early().await;
        let before = runs(&db).await;
        let migrated = migrate_with_triggers(&db, &later()).await.unwrap();
        assert_eq!(migrated.put_back, Vec::<String>::new());
        assert!(before > 0);
        assert_eq!(runs(&db).await, before);
        assert_eq!(sql_of(&db, "added").await, ADDED.replacen("create trigger", "CREATE TRIGGER", 1));
        assert_eq!(sql_of(&db, "events_logged").await, EDITED.replacen("create trigger", "CREATE TRIGGER", 1));
    }

    #[tokio::test]
    async fn dropped_and_changed_triggers_are_reported_and_the_figures_counted_again() {
        let db = early().await;
        let damage = "drop trigger tasks_started; drop trigger usage_logged; \
            create trigger usage_logged after insert on usage begin select 1; end";
        db.execute_unprepared(damage).await.unwrap();
        let migrated = migrate_with_triggers(&db, &later()).await.unwrap();
        assert_eq!(migrated.put_back, ["trigger tasks_started", "trigger usage_logged"]);
        assert_eq!(runs(&db).await, 0);
    }
}

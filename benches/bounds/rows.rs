//! Writes rows like the rows of real agents, through the entities.

use requery::protocol::{EventId, TaskId};
use requery_entities::{event, task};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, EntityTrait};

/// The number of events in one statement, as in the server's own batches.
pub const BATCH: usize = 100;

/// Opens a connection as another program would that writes many rows.
pub async fn connect(path: &std::path::Path) -> DatabaseConnection {
    let mut options = ConnectOptions::new(format!("sqlite://{}?mode=rwc", path.display()));
    options.max_connections(1).test_before_acquire(false).sqlx_logging(false);
    options.map_sqlx_sqlite_opts(|options| options.pragma("journal_mode", "wal").pragma("synchronous", "normal"));
    Database::connect(options).await.unwrap()
}

/// Inserts tasks and returns their ids.
pub async fn tasks(db: &impl ConnectionTrait, count: usize) -> Vec<String> {
    let now = chrono::Utc::now().timestamp_millis();
    let ids: Vec<_> = (0..count).map(|_| TaskId::new_at(now).to_string()).collect();
    for some in ids.chunks(BATCH) {
        let rows = some.iter().map(|id: &String| task::ActiveModel {
            id: Set(id.as_str().into()),
            title: Set("Port the settings page to the new form components".into()),
            project: Set("acme-web".into()),
            ..Default::default()
        });
        task::Entity::insert_many(rows).exec_without_returning(db).await.unwrap();
    }
    ids
}

/// A tool call with a text of usual size.
pub fn event(task_id: &str) -> event::ActiveModel {
    let now = chrono::Utc::now().timestamp_millis();
    event::ActiveModel {
        position: NotSet,
        id: Set(EventId::new_at(now).to_string().into()),
        task_id: Set(task_id.into()),
        session_id: Set(None),
        kind: Set("tool".into()),
        family: Set(Some("terminal".into())),
        lane: Set(None),
        state: Set(Some("ok".into())),
        title: Set("cargo test --workspace".into()),
        body: Set(Some("test result: ok. 212 passed; 0 failed; 0 ignored\n".repeat(5).into())),
        metadata: Set(Some(r#"{"exit_code":0,"duration_ms":8123}"#.into())),
        truncated: Set(None),
        external_id: NotSet,
        created_at: Set(now),
        updated_at: Set(now),
    }
}

/// Inserts one event.
pub async fn insert(db: &impl ConnectionTrait, task_id: &str) {
    event::Entity::insert(event(task_id)).exec_without_returning(db).await.unwrap();
}

/// Inserts one event for each task in one statement.
pub async fn insert_many<'a>(db: &impl ConnectionTrait, task_ids: impl IntoIterator<Item = &'a String>) {
    let rows = task_ids.into_iter().map(|id| event(id));
    event::Entity::insert_many(rows).exec_without_returning(db).await.unwrap();
}

//! Files of other programs or of a newer version: the server refuses them with a sentence and changes no byte.

use requery::server::database::Database;
use tempfile::TempDir;

use super::{create_database, files, migrate};
use crate::app::sqlite3;

/// Opens the file, expects the sentences in the error, and compares the bytes of the folder with the bytes before.
async fn check_refused(folder: &TempDir, name: &str, sentences: &[&str]) {
    let path = folder.path().join(name);
    // Readers of a write-ahead log write marks into `-shm`, which is no part of the database.
    let files = |folder: &TempDir| -> Vec<_> {
        files(folder.path()).into_iter().filter(|(name, _)| !name.ends_with("-shm")).collect()
    };
    let before = files(folder);
    let error = Database::open(path.clone().into()).await.err().unwrap().to_string();
    let output = migrate(&path);
    assert!(!output.status.success());
    for text in [error, String::from_utf8(output.stderr).unwrap()] {
        for sentence in sentences.iter().chain([&&*path.display().to_string(), &"the file is unchanged"]) {
            assert!(text.contains(sentence), "{text}");
        }
    }
    let after = files(folder);
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|file| file.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after));
    assert!(before == after, "the file was changed");
}

#[tokio::test]
async fn a_database_of_another_program_is_refused() {
    for journal in ["delete", "wal"] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("other.db");
        sqlite3(
            &path,
            &format!("pragma journal_mode = {journal}; create table notes (a); insert into notes values (1)"),
        );
        check_refused(&folder, "other.db", &["the database of another program", "the table notes"]).await;
    }
}

/// The write-ahead log is still there: the other program runs or was killed.
#[tokio::test]
async fn a_database_that_another_program_has_open_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("other.db");
    let made = TempDir::new().unwrap();
    let original = made.path().join("other.db");
    // Copied while the program still has it open.
    let files = format!(".shell cp '{0}' '{0}-wal' '{0}-shm' '{1}'", original.display(), folder.path().display());
    let script = format!("pragma journal_mode = wal;\ncreate table notes (a);\n{files}\n");
    let script_path = made.path().join("script");
    std::fs::write(&script_path, script).unwrap();
    sqlite3(&original, &format!(".read '{}'", script_path.display()));
    assert!(path.exists() && folder.path().join("other.db-wal").metadata().unwrap().len() > 0);
    check_refused(&folder, "other.db", &["the database of another program", "the table notes"]).await;
}

/// The other program has its migrations in `seaql_migrations`, as requery had before its first release.
#[tokio::test]
async fn another_program_with_a_migration_table_of_the_same_name_is_refused() {
    let folder = TempDir::new().unwrap();
    let table = "create table seaql_migrations (version varchar not null primary key, applied_at integer not null); \
        create table notes (a); insert into seaql_migrations values ('m20220101_notes', 1)";
    sqlite3(&folder.path().join("other.db"), table);
    check_refused(&folder, "other.db", &["the database of another program"]).await;
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = create_database(&folder).await;
    sqlite3(
        &path,
        "insert into requery_migrations (name, applied_at) values ('0999_later', 1); create table later (a)",
    );
    let sentences = ["a newer requery made it", "0999_later", "use that version"];
    check_refused(&folder, "fresh.db", &sentences).await;
}

#[tokio::test]
async fn an_unfinished_database_from_before_the_first_release_is_refused() {
    let folder = TempDir::new().unwrap();
    let table = "create table seaql_migrations (version varchar not null primary key, applied_at integer not null); \
        insert into seaql_migrations values ('m0001_change_log', 1)";
    sqlite3(&folder.path().join("early.db"), table);
    check_refused(&folder, "early.db", &["before the first release"]).await;
}

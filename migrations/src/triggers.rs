//! The triggers: read from their files, compared with the database, and made again.
//!
//! The database keeps the name and a hash of each trigger that was applied. A trigger that is missing, or has another
//! hash, was dropped or changed by another program. Until it is back, the change log misses writes to its table.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, DbErr};

use crate::macros::normalised;
use crate::{rows, trees};

/// In the order in which the triggers are made. Of two triggers for one statement, SQLite runs the later one first.
const FILES: &[&str] = &[
    include_str!("../triggers/sqlite/purges.sql"),
    include_str!("../triggers/sqlite/trees.sql"),
    include_str!("../triggers/sqlite/tasks.sql"),
    include_str!("../triggers/sqlite/sessions.sql"),
    include_str!("../triggers/sqlite/events.sql"),
    include_str!("../triggers/sqlite/bookmarks.sql"),
    include_str!("../triggers/sqlite/usage.sql"),
    include_str!("../triggers/sqlite/agents.sql"),
    include_str!("../triggers/sqlite/kept.sql"),
    include_str!("../triggers/sqlite/parents.sql"),
];
const RECOUNT: &str = include_str!("../sqlite/recount.sql");
/// Makes the search index walk all rows again: it follows the change log, which lacks the writes that fired no trigger.
const WALK: &str = "update searched set next = 0";

const BEGIN: &str = "create trigger ";
const END: &str = "\nend;";

/// A trigger of the files.
pub(crate) struct Trigger {
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

impl Trigger {
    fn hash(&self) -> i64 {
        hash(self.sql)
    }
}

/// The triggers of all files.
pub(crate) fn of_files() -> Vec<Trigger> {
    let mut found = Vec::new();
    for &file in FILES {
        let mut rest = file;
        while let Some(begin) = rest.find(BEGIN) {
            let end = rest[begin..].find(END).map_or(rest.len(), |end| begin + end + END.len());
            let sql = &rest[begin..end];
            let name = sql[BEGIN.len()..].split_whitespace().next().unwrap_or_default();
            found.push(Trigger { name, sql });
            rest = &rest[end..];
        }
    }
    found
}

/// The hash of the words after `create trigger`. SQLite keeps these words as they are, but not the two before them.
fn hash(sql: &str) -> i64 {
    let text = normalised(sql);
    crate::hash(text.trim_end_matches(';').splitn(3, ' ').nth(2).unwrap_or_default())
}

/// The names of the applied triggers that are missing or have another hash.
pub(crate) async fn lost(db: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    const SQL: &str = "select requery_triggers.name, hash, sql from requery_triggers \
        left join sqlite_schema on type = 'trigger' and sqlite_schema.name = requery_triggers.name order by 1";
    let mut lost = Vec::new();
    for row in rows::all(db, SQL).await? {
        let sql: Option<String> = row.try_get_by_index(2)?;
        if sql.as_deref().map(hash) != Some(row.try_get_by_index(1)?) {
            lost.push(row.try_get_by_index(0)?);
        }
    }
    Ok(lost)
}

/// Makes the triggers again if one is lost, or if they differ from the triggers that were applied last. Returns the
/// lost ones.
///
/// All triggers are made again, because their order matters. Trees that break a rule of the new triggers are put right
/// first: writes may have fired no trigger, or the triggers of a version before the rule.
pub(crate) async fn apply(db: &impl ConnectionTrait, triggers: &[Trigger]) -> Result<Vec<String>, DbErr> {
    let lost = lost(db).await?;
    let mut applied = BTreeSet::new();
    for row in rows::all(db, "select name, hash from requery_triggers").await? {
        applied.insert((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
    }
    let wanted: BTreeSet<(String, i64)> = triggers.iter().map(|it| (it.name.to_owned(), it.hash())).collect();
    if lost.is_empty() && applied == wanted {
        return Ok(lost);
    }
    for (name, _) in applied.union(&wanted) {
        db.execute_unprepared(&format!("drop trigger if exists \"{name}\"")).await?;
    }
    let has_moved = trees::put_right(db).await?;
    if has_moved || !lost.is_empty() {
        db.execute_unprepared(RECOUNT).await?;
        // Fails without the tables of search, which a database may lack.
        let _ = db.execute_unprepared(WALK).await;
    }
    make(db, triggers).await?;
    Ok(lost)
}

/// Drops the triggers of the files.
pub(crate) async fn drop_all(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    for trigger in of_files() {
        db.execute_unprepared(&format!("drop trigger if exists \"{}\"", trigger.name)).await?;
    }
    Ok(())
}

/// Makes the triggers, which must not exist, and records them.
pub(crate) async fn make(db: &impl ConnectionTrait, triggers: &[Trigger]) -> Result<(), DbErr> {
    for trigger in triggers {
        db.execute_unprepared(trigger.sql).await?;
    }
    record(db, triggers).await
}

/// Records the triggers as the ones that were applied.
async fn record(db: &impl ConnectionTrait, triggers: &[Trigger]) -> Result<(), DbErr> {
    let rows: Vec<String> = triggers.iter().map(|it| format!("('{}', {})", it.name, it.hash())).collect();
    let insert =
        format!("delete from requery_triggers; insert into requery_triggers (name, hash) values {}", rows.join(", "));
    db.execute_unprepared(&insert).await.map(|_| ())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::{BEGIN, FILES, hash, of_files};

    #[test]
    fn each_file_of_the_folder_is_in_the_list() {
        let folder = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/triggers/sqlite")).unwrap();
        for path in folder.map(|file| file.unwrap().path()) {
            let text = fs::read_to_string(&path).unwrap();
            assert!(FILES.contains(&&*text), "{} is missing in `FILES`", path.display());
        }
    }

    #[test]
    fn each_trigger_of_the_files_is_found_whole() {
        let triggers = of_files();
        assert_eq!(triggers.len(), FILES.concat().matches(BEGIN).count());
        for trigger in triggers {
            assert_eq!(trigger.sql.matches("create trigger").count(), 1, "{}", trigger.name);
            assert!(trigger.sql.ends_with("end;"), "{}", trigger.name);
        }
    }

    #[test]
    fn only_the_words_of_a_trigger_count() {
        let one = hash("create trigger a after insert on b begin\n    -- why\n    select 1;\nend;");
        assert_eq!(one, hash("CREATE TRIGGER a after insert on b begin select 1; end"));
        assert_ne!(one, hash("create trigger a after insert on b begin select 2; end"));
    }
}

//! Pages of projects.

use requery_entities::StoredText;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult, Value};

use super::page::{self, ListName, PageToken, PageWindow};
use super::{count, time};
use crate::protocol::model::{Project, ProjectPage};
use crate::server::access::scope::Scope;
use crate::server::change_log::fold::Unfolded;
use crate::server::database::{ReadTransaction, sql};

/// The key of a project in the list: its last change and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectKey {
    changed_at: i64,
    /// The bytes of the stored name. A program can store a name that is not UTF-8, and its replacement sorts elsewhere.
    name: Vec<u8>,
}

/// The list of the projects in `scope`.
pub fn list(scope: &Scope) -> ListName {
    ListName::new("projects", &[scope.project()])
}

/// The projects in the transaction's scope that have tasks, the last changed first.
pub async fn page(tx: &ReadTransaction, window: &PageWindow<ProjectKey>, limit: u64) -> Result<ProjectPage, DbErr> {
    // On Postgres a reader adds all the deltas that it sees, so the statement takes none of these values.
    let deltas = Unfolded::of(tx).await?.values(tx).into_iter().take(2);
    let (query, key) = match window {
        PageWindow::Newest => (sql::projects::OLDER, None),
        PageWindow::Before(key) => (sql::projects::OLDER, Some(key)),
        PageWindow::After(key) => (sql::projects::NEWER, Some(key)),
    };
    let values: [Value; 4] = [
        tx.scope().project().into(),
        (limit + 1).into(),
        key.map(|key| key.changed_at).into(),
        ProjectKey::name(key, tx.get_database_backend()),
    ];
    let rows: Vec<ProjectRow> = query.all(tx, deltas.chain(values)).await?;
    let page = page::page(list(tx.scope()), rows, window, limit, |row| ProjectKey {
        changed_at: row.changed_at,
        name: bytes(&row.digits).unwrap_or_default(),
    });
    let items = page.rows.into_iter().map(ProjectRow::project).collect();
    Ok(ProjectPage { items, next: page.next, previous: page.previous })
}

impl ProjectKey {
    /// The name for a statement. The names of Postgres are texts without NUL: other bytes are in no token of it.
    fn name(key: Option<&Self>, backend: DbBackend) -> Value {
        let name = key.map(|key| key.name.clone());
        match backend {
            DbBackend::Postgres => name.map(StoredText::from_bytes).map(String::from).into(),
            _ => name.into(),
        }
    }
}

#[derive(FromQueryResult)]
struct ProjectRow {
    project: StoredText,
    /// The bytes of the name as hexadecimal digits.
    digits: StoredText,
    changed_at: i64,
    running: i64,
    waiting: i64,
    completed: i64,
    errored: i64,
}

impl ProjectRow {
    fn project(self) -> Project {
        let [running_tasks, waiting_tasks, completed_tasks, errored_tasks] =
            [self.running, self.waiting, self.completed, self.errored].map(count);
        Project {
            project: self.project.into(),
            total_tasks: [waiting_tasks, completed_tasks, errored_tasks]
                .iter()
                .fold(running_tasks, |sum, tasks| sum.saturating_add(*tasks)),
            running_tasks,
            waiting_tasks,
            completed_tasks,
            errored_tasks,
            changed_at: time(self.changed_at),
        }
    }
}

impl PageToken for ProjectKey {
    fn text(&self) -> String {
        let name: String = self.name.iter().map(|byte| format!("{byte:02x}")).collect();
        page::hex(self.changed_at) + &name
    }

    fn from_text(text: &str) -> Option<Self> {
        let (changed_at, name) = text.split_at_checked(16)?;
        Some(Self { changed_at: page::number(changed_at)?, name: bytes(name)? })
    }
}

/// The bytes that lower-case hexadecimal digits write.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).filter(|_| !digit.is_ascii_uppercase());
    let byte = |pair: &[u8]| u8::try_from(digit(*pair.first()?)? * 16 + digit(*pair.get(1)?)?).ok();
    digits.as_bytes().chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::{PageToken, ProjectKey};

    #[test]
    fn keys_round_trip() {
        for name in ["", "p", "acme/web", "ü\u{1f600}"].map(str::as_bytes).into_iter().chain([&b"z\xff\0z"[..]]) {
            let key = ProjectKey { changed_at: 1_700_000_000_000, name: name.to_owned() };
            assert_eq!(ProjectKey::from_text(&key.text()), Some(key));
        }
        for text in ["", "0", "000000000000000g", "00000000000000000", "0000000000000000FF"] {
            assert_eq!(ProjectKey::from_text(text), None, "{text}");
        }
    }
}

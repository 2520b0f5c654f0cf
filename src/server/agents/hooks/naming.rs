//! What a task is called and where it is, from what its agent's records say.

use super::record::HookRecord;
use super::status::TitleOrigin;
use crate::agent::hook_catalogue::HookName;
use crate::server::ingest::text;

/// The longest title of a task in code points.
const MAX_TASK_TITLE_CHARACTERS: usize = 80;

/// The longest name of a project in code points.
const MAX_PROJECT_CHARACTERS: usize = 128;

/// The title a record brings, and what it was taken from: the name of the session, else the first thing the person said.
pub fn title(record: &HookRecord) -> Option<(TitleOrigin, String)> {
    let session = record
        .text("session_title")
        .map(|title| (TitleOrigin::Session, text::one_line(title, MAX_TASK_TITLE_CHARACTERS)));
    session.or_else(|| {
        let prompt = record.text("prompt").filter(|_| record.hook == HookName::UserPromptSubmit)?;
        Some((TitleOrigin::Prompt, text::first_line(prompt, MAX_TASK_TITLE_CHARACTERS)))
    })
}

/// The title of a task about which nobody said anything yet: its folder.
pub fn first_title(record: &HookRecord) -> String {
    let folder = record.cwd().map(|cwd| text::one_line(last_part(cwd), MAX_TASK_TITLE_CHARACTERS));
    folder.filter(|folder| !folder.is_empty()).unwrap_or_else(|| format!("{} session", record.runtime))
}

/// The project of a folder: its last part, which is what people call it. Two checkouts of the same name are one
/// project, and a worktree is one of its own; the whole path is the task's workspace.
pub fn project(cwd: &str) -> String {
    let name = last_part(cwd).trim();
    name.chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .take(MAX_PROJECT_CHARACTERS)
        .collect()
}

/// The last part of a path, of Windows too; the root is its own.
fn last_part(path: &str) -> &str {
    let windows = path.starts_with("\\\\") || path.as_bytes().get(1) == Some(&b':');
    let separates = |c: char| c == '/' || (windows && c == '\\');
    let trimmed = path.trim_end_matches(separates);
    match trimmed.rsplit(separates).next() {
        Some(part) if !part.is_empty() => part,
        Some(_) | None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::project;

    #[test]
    fn a_project_is_named_after_its_folder() {
        for (cwd, name) in [
            ("/home/dev/acme-web", "acme-web"),
            ("/home/dev/Carnet de terrain (été)/", "Carnet de terrain (été)"),
            ("C:\\Users\\dev\\acme-web\\", "acme-web"),
            ("C:/Users/dev/acme-web", "acme-web"),
            ("/home/dev/odd\\name", "odd\\name"),
            ("/", "/"),
            ("/a\u{1b}[2Jb", "a�[2Jb"),
        ] {
            assert_eq!(project(cwd), name, "{cwd}");
        }
        assert_eq!(project(&"é".repeat(1000)).chars().count(), 128);
    }
}

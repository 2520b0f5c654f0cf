//! The title and the project of a task, from the records of its agent.

use super::record::HookRecord;
use super::status::TitleOrigin;
use crate::protocol::limits;
use crate::server::text::{self, base64};

/// The title that a record gives its task, with its source: the name of the session, or else the first line of the
/// prompt.
pub fn title(record: &HookRecord) -> Option<(TitleOrigin, String)> {
    let session = record
        .text("session_title")
        .map(|title| (TitleOrigin::Session, text::one_line(title, limits::HOOK_TITLE_CHARACTERS)));
    session.or_else(|| {
        let prompt = record.person_words()?;
        let told = base64::told_by_size(&prompt);
        Some((TitleOrigin::Prompt, text::first_line(&told, limits::HOOK_TITLE_CHARACTERS)))
    })
}

/// The title of a task without a prompt and a session name: the name of its folder.
pub fn first_title(record: &HookRecord) -> String {
    let folder = record.cwd().map(|cwd| text::one_line(last_part(cwd), limits::HOOK_TITLE_CHARACTERS));
    folder.filter(|folder| !folder.is_empty()).unwrap_or_else(|| format!("{} session", record.source))
}

/// The project of a folder: the last part of its path, the name that people use. A worktree that Claude Code made
/// inside a repository belongs to the repository. Two checkouts with the same folder name are one project, and any
/// other worktree with another name is a project of its own. The whole path is the task's workspace.
pub fn project(cwd: &str) -> String {
    let name = last_part(repository(cwd)).trim();
    name.chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .take(limits::PROJECT_CHARACTERS)
        .collect()
}

/// The repository around a worktree that Claude Code made. Any other folder stays as it is.
fn repository(cwd: &str) -> &str {
    let separates = |c: char| c == '/' || (is_windows(cwd) && c == '\\');
    for (at, _) in cwd.match_indices(".claude") {
        let mut parts = cwd[at..].split(separates);
        let is_worktree = (parts.next(), parts.next()) == (Some(".claude"), Some("worktrees"))
            && parts.next().is_some_and(|name| !name.is_empty());
        let before = &cwd[..at];
        if is_worktree && before.ends_with(separates) && !before.trim_end_matches(separates).is_empty() {
            return before;
        }
    }
    cwd
}

fn is_windows(path: &str) -> bool {
    path.starts_with("\\\\") || path.as_bytes().get(1) == Some(&b':')
}

/// The last part of a path, also of a Windows path. The last part of the root is the root.
fn last_part(path: &str) -> &str {
    let separates = |c: char| c == '/' || (is_windows(path) && c == '\\');
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
            ("/home/dev/shop/.claude/worktrees/try-one", "shop"),
            ("/home/dev/shop/.claude/worktrees/try-one/src/cart", "shop"),
            ("C:\\dev\\shop\\.claude\\worktrees\\try", "shop"),
            ("/home/dev/.claude/worktrees/", "worktrees"),
            ("/home/dev/shop.claude/worktrees/x", "x"),
            ("/.claude/worktrees/x", "x"),
            ("/", "/"),
            ("/a\u{1b}[2Jb", "a�[2Jb"),
        ] {
            assert_eq!(project(cwd), name, "{cwd}");
        }
        assert_eq!(project(&"é".repeat(1000)).chars().count(), 128);
    }
}

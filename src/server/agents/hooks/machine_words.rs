//! Prompts that the client itself wrote: the notice that background work has ended, and the prompt of a schedule.
//!
//! The client runs the same hook for such a prompt as for a prompt of a person. It is no message of a person, it
//! answers no question, and it gives no title.

use super::person_words;
use crate::agent::hook_catalogue::RowEnd;

/// The elements that the client writes into a prompt.
const ELEMENTS: [&str; 3] = ["task-notification", "scheduled-task", "system-reminder"];

/// The first line that tells a person the content of a prompt of the client.
pub fn summary(prompt: &str) -> &str {
    let text = match element(prompt.trim()) {
        Some((_, inside, _)) => tag(inside, "summary").unwrap_or(inside),
        None => prompt,
    };
    text.trim()
}

/// Background work that ended, as the client tells it.
#[derive(Debug, PartialEq, Eq)]
pub struct EndedWork<'a> {
    /// The id of the work. The id of an agent is the id of its subagent.
    pub id: Option<&'a str>,
    /// The call that began the work.
    pub tool_use_id: Option<&'a str>,
    /// How it ended. None: a person or the agent stopped it.
    pub end: Option<RowEnd>,
}

/// The background work of which a prompt tells that it ended.
pub fn ended_work(prompt: &str) -> impl Iterator<Item = EndedWork<'_>> {
    let mut rest = prompt.trim();
    let elements = std::iter::from_fn(move || {
        let (name, inside, behind) = element(rest)?;
        rest = behind.trim_start();
        Some((name, inside))
    });
    elements.filter(|(name, _)| *name == ELEMENTS[0]).map(|(_, inside)| EndedWork {
        id: tag(inside, "task-id"),
        tool_use_id: tag(inside, "tool-use-id"),
        end: match tag(inside, "status") {
            Some("completed") => Some(RowEnd::Ok),
            Some("failed") => Some(RowEnd::Failed),
            Some(_) | None => None,
        },
    })
}

/// The element of the client at the start of a text: its name, its content and the text behind it.
fn element(text: &str) -> Option<(&str, &str, &str)> {
    let element = person_words::element_at(text, 0, |name| ELEMENTS.contains(&name))?;
    Some((element.name, element.inside, &text[element.end..]))
}

/// The text of the first tag of this name.
fn tag<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, behind) = text.split_once(&format!("<{name}>"))?;
    let (inside, _) = behind.split_once(&format!("</{name}>"))?;
    Some(inside.trim()).filter(|inside| !inside.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{EndedWork, ended_work, summary};
    use crate::agent::hook_catalogue::RowEnd;

    #[test]
    fn a_notice_names_the_work_that_ended() {
        let notice = "<task-notification>\n<task-id>a1</task-id>\n<tool-use-id>toolu_1</tool-use-id>\n\
            <status>completed</status>\n<summary>Agent \"Look\" finished</summary>\n</task-notification>";
        assert_eq!(summary(notice), "Agent \"Look\" finished");
        assert_eq!(summary("Say hello"), "Say hello");
        assert_eq!(summary("<scheduled-task id=\"4\">look again</scheduled-task>"), "look again");
        assert_eq!(summary("<scheduled-tasks>x</scheduled-tasks>"), "<scheduled-tasks>x</scheduled-tasks>");
        let found: Vec<_> = ended_work(notice).collect();
        let expected = EndedWork { id: Some("a1"), tool_use_id: Some("toolu_1"), end: Some(RowEnd::Ok) };
        assert_eq!(found, [expected]);
        let killed = notice.replace("completed", "killed");
        assert_eq!(ended_work(&killed).next().map(|work| work.end), Some(None));
        assert_eq!(ended_work("<scheduled-task><status>completed</status></scheduled-task>").count(), 0);
    }
}

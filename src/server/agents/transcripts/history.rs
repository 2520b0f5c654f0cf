//! The memory of a task that was made from a transcript, and the choice of its title.

use requery_entities::task;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::RUNTIME;
use super::line::TitleGiver;
use super::session::{FailedTurn, TranscriptSession};
use crate::agent::hook_catalogue::HookName;
use crate::protocol::model::TaskStatus;
use crate::server::agents::hooks::naming;
use crate::server::agents::hooks::record::HookRecord;
use crate::server::agents::hooks::status::{AgentMemory, TitleOrigin};

/// The memory of a task that was made from a transcript. It is part of the agent's memory: the first hook of the
/// session that ran later than the transcript removes it, and from then on hooks report the task.
#[derive(Clone, PartialEq, Deserialize, Serialize)]
pub struct ImportedHistory {
    /// The source of the title.
    titled: TitledBy,
    /// The title from the transcript. If the task has another title, another writer set it and it stays.
    pub title: String,
    /// The time of the prompt that is the title.
    #[serde(default)]
    prompt_ms: Option<i64>,
    /// The end of the period that transcripts cover with events that hooks would report too.
    #[serde(default)]
    pub until_ms: i64,
    /// Whether no line of the main thread named a folder. A subagent may have named one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lacks_main_folder: bool,
    /// The newest turn that ended with an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<FailedTurn>,
    /// The time of the newest other event of the main thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    worked_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum TitledBy {
    Folder,
    Prompt,
    Agent,
    Person,
}

impl ImportedHistory {
    /// The memory of a task. None: another writer made the task, or hooks report it now.
    pub fn of(row: &task::Model) -> Option<Self> {
        #[derive(Deserialize)]
        struct Remembered {
            imported: ImportedHistory,
        }
        let remembered: Remembered = serde_json::from_str(row.ingest_state.as_deref()?).ok()?;
        Some(remembered.imported)
    }

    /// The memory for the parsed lines of a session.
    pub fn from_session(session: &TranscriptSession) -> Self {
        let until_ms = session.until.unwrap_or(0);
        let with_title = |titled, title, prompt_ms| Self {
            titled,
            title,
            prompt_ms,
            until_ms,
            lacks_main_folder: session.folder.as_ref().is_none_or(|folder| folder.is_of_subagent),
            failed: session.failed.clone(),
            worked_ms: session.worked_ms,
        };
        let titled = |titled, hook, field: &str, text: &str, prompt_ms| {
            let fields = Map::from_iter([(field.to_owned(), text.into())]);
            let (_, title) = naming::title(&HookRecord::of(RUNTIME, String::new(), hook, fields))?;
            Some(with_title(titled, title, prompt_ms))
        };
        let by_name = session.name.as_ref().and_then(|(named, name)| {
            let by = match named {
                TitleGiver::Agent => TitledBy::Agent,
                TitleGiver::Person => TitledBy::Person,
            };
            titled(by, HookName::SessionStart, "session_title", name, None)
        });
        let by_prompt = session.prompt.as_ref();
        let by_prompt = || {
            by_prompt
                .and_then(|(at, text)| titled(TitledBy::Prompt, HookName::UserPromptSubmit, "prompt", text, Some(*at)))
        };
        by_name.or_else(by_prompt).unwrap_or_else(|| {
            let cwd = session.folder.as_ref().map(|folder| ("cwd".to_owned(), folder.path.clone().into()));
            let record = HookRecord::of(RUNTIME, String::new(), HookName::SessionStart, Map::from_iter(cwd));
            with_title(TitledBy::Folder, naming::first_title(&record), None)
        })
    }

    /// Whether this title replaces the other. Of two names the later one wins, of two prompts the earlier one.
    pub fn is_better_than(&self, other: &Self) -> bool {
        match self.titled {
            TitledBy::Agent | TitledBy::Person if self.titled == other.titled => self.until_ms > other.until_ms,
            TitledBy::Agent | TitledBy::Person => self.titled > other.titled,
            TitledBy::Prompt if other.titled == TitledBy::Prompt => self.prompt_ms < other.prompt_ms,
            TitledBy::Folder if other.titled == TitledBy::Folder => other.lacks_main_folder && !self.lacks_main_folder,
            TitledBy::Prompt | TitledBy::Folder => self.titled > other.titled,
        }
    }

    /// Takes the title of the other.
    pub fn take_title(&mut self, other: &Self) {
        (self.titled, self.prompt_ms) = (other.titled, other.prompt_ms);
        self.title.clone_from(&other.title);
    }

    /// Takes the facts of another part of the transcript that do not depend on the title.
    pub fn merge(&mut self, other: Self) {
        self.until_ms = self.until_ms.max(other.until_ms);
        self.worked_ms = self.worked_ms.max(other.worked_ms);
        let is_newer = |failed: &FailedTurn| self.failed.as_ref().is_none_or(|mine| mine.at_ms < failed.at_ms);
        if let Some(failed) = other.failed.filter(is_newer) {
            self.failed = Some(failed);
        }
        self.lacks_main_folder &= other.lacks_main_folder;
    }

    /// The status of the task, its reason and its detail: errored, if the last turn ended with an error.
    pub fn status(&self) -> (TaskStatus, Option<&str>, Option<&str>) {
        let is_last = |failed: &&FailedTurn| self.worked_ms.is_none_or(|worked| worked <= failed.at_ms);
        match self.failed.as_ref().filter(is_last) {
            Some(failed) => (TaskStatus::Errored, failed.error.as_deref(), Some(failed.text.as_str())),
            None => (TaskStatus::Completed, None, None),
        }
    }

    /// The agent's memory as JSON, with this history in it. `before` is the stored memory of the agent. Without one,
    /// the agent counts as ended, which a later hook starts from.
    pub fn to_memory_json(&self, before: Option<&str>) -> Option<String> {
        let (titled, named) = match self.titled {
            TitledBy::Folder => (TitleOrigin::Folder, None),
            TitledBy::Prompt => (TitleOrigin::Prompt, None),
            TitledBy::Agent | TitledBy::Person => (TitleOrigin::Session, Some(self.title.clone())),
        };
        let before = before.and_then(|before| serde_json::from_str::<AgentMemory>(before).ok());
        let mut agent = before.unwrap_or_else(|| AgentMemory::ended(titled, named.clone()));
        (agent.titled, agent.named) = (titled, named);
        agent.imported = serde_json::to_value(self).ok();
        serde_json::to_string(&agent).ok()
    }
}

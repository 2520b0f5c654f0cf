//! What is remembered of a task that was made from a transcript, and what it is called.

use requery_entities::task;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::RUNTIME;
use super::line::TitleGiver;
use super::session::TranscriptSession;
use crate::agent::hook_catalogue::HookName;
use crate::server::agents::hooks::naming;
use crate::server::agents::hooks::record::HookRecord;
use crate::server::agents::hooks::status::{AgentMemory, TitleOrigin};

/// What is remembered of a task that was made from a transcript. It is kept where the ingest of hooks remembers its
/// agent: the first hook that reports the session takes over, and it is gone.
#[derive(Deserialize, Serialize)]
pub struct ImportedHistory {
    /// What the title was taken from.
    titled: TitledBy,
    /// The title. Another one is somebody else's and stays.
    pub title: String,
    /// When the prompt was said that the title was taken from.
    #[serde(default)]
    prompt_ms: Option<i64>,
    /// Until when transcripts have told of what hooks would tell of.
    #[serde(default)]
    pub until_ms: i64,
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
    /// That of a task; none for one that somebody else began or reports now.
    pub fn of(row: &task::Model) -> Option<Self> {
        #[derive(Deserialize)]
        struct Remembered {
            imported: ImportedHistory,
        }
        let remembered: Remembered = serde_json::from_str(row.ingest_state.as_deref()?).ok()?;
        Some(remembered.imported)
    }

    /// What the lines of a session say it is called.
    pub fn said(session: &TranscriptSession) -> Self {
        let until_ms = session.until.unwrap_or(0);
        let titled = |titled, hook, field: &str, text: &str, prompt_ms| {
            let fields = Map::from_iter([(field.to_owned(), text.into())]);
            let (_, title) = naming::title(&HookRecord::of(RUNTIME, String::new(), hook, fields))?;
            Some(Self { titled, title, prompt_ms, until_ms })
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
            let cwd = session.cwd.as_ref().map(|(_, cwd)| ("cwd".to_owned(), cwd.clone().into()));
            let record = HookRecord::of(RUNTIME, String::new(), HookName::SessionStart, Map::from_iter(cwd));
            Self { titled: TitledBy::Folder, title: naming::first_title(&record), prompt_ms: None, until_ms }
        })
    }

    /// Whether this title takes the place of that one. Of two names the later one does.
    pub fn is_better_than(&self, other: &Self) -> bool {
        match self.titled {
            TitledBy::Agent | TitledBy::Person if self.titled == other.titled => self.until_ms > other.until_ms,
            TitledBy::Agent | TitledBy::Person => self.titled > other.titled,
            TitledBy::Prompt if other.titled == TitledBy::Prompt => self.prompt_ms < other.prompt_ms,
            TitledBy::Prompt | TitledBy::Folder => self.titled > other.titled,
        }
    }

    /// As it is kept, so that a hook that comes later reads an agent that has ended, or the one that `before` has.
    pub fn remembered(&self, before: Option<&str>) -> Option<String> {
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

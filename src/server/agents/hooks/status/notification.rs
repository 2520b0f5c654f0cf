//! The content of a notification: by its type, or for a version of the client that sends no type, by its message.

use crate::server::agents::hooks::record::HookRecord;

/// The facts that a notification tells about the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notified {
    /// A call needs the permission of a person.
    Permission,
    /// The agent asks a person a question.
    Question,
    /// The agent waits for the next prompt.
    Idle,
}

/// The messages of Claude Code, in lower case and in part: a message can name a tool.
const MESSAGES: [(&str, Notified); 6] = [
    ("needs your permission", Notified::Permission),
    ("needs your approval", Notified::Permission),
    ("wants to enter plan mode", Notified::Permission),
    ("waiting for your input", Notified::Idle),
    ("needs your input", Notified::Question),
    ("needs your attention", Notified::Question),
];

impl Notified {
    /// None: the notification does not concern the status.
    pub(super) fn read(record: &HookRecord) -> Option<Self> {
        match record.text("notification_type") {
            Some("idle_prompt") => Some(Self::Idle),
            Some("permission_prompt" | "worker_permission_prompt") => Some(Self::Permission),
            Some("elicitation_dialog" | "elicitation_url_dialog" | "agent_needs_input") => Some(Self::Question),
            Some(_) => None,
            None => {
                let message = record.text("message")?.to_lowercase();
                MESSAGES.iter().find(|(part, _)| message.contains(part)).map(|(_, notified)| *notified)
            }
        }
    }
}

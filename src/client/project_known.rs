//! Whether the server knows the project of the client, so that a person can check the name.

use super::source::{Message, Source};
use crate::engine::What;

/// A project is unknown from a first message that says so up to the next notice.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProjectKnown(pub(super) bool);

impl Default for ProjectKnown {
    fn default() -> Self {
        Self(true)
    }
}

impl ProjectKnown {
    pub(super) fn handle_message<S: Source>(&mut self, message: &Message<S>) {
        self.0 = match &message.signal.what {
            What::Snapshot { .. } | What::Resumed { .. } => message.known.unwrap_or(true),
            // A stream reports changes of its project alone, so a change of the project exists.
            What::Stale { .. } => true,
            What::Watching { .. } | What::Heartbeat | What::Resync | What::Closing { .. } | What::Unknown => self.0,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::agent_source::AgentSource;
    use super::super::source::Source;
    use super::ProjectKnown;

    #[test]
    fn a_project_is_unknown_up_to_its_first_notice() {
        let mut project = ProjectKnown::default();
        let mut after = |text: &str| {
            project.handle_message(&AgentSource.message(text.as_bytes()));
            project.0
        };
        let resumed = |known: &str| {
            format!(
                r#"{{"type":"resumed","payload":{{"server_time":"2026-01-31T09:30:00.000Z","heartbeat_ms":15000,"version":"1.0"{known},"stale":[]}},"cursor":"e:5:5:"}}"#
            )
        };
        let stale = r#"{"type":"stale","payload":{"read_models":["overview"]},"cursor":"e:6:6:"}"#;
        assert!(after(&resumed(r#","known":true"#)));
        assert!(!after(&resumed(r#","known":false"#)));
        for says_nothing in [
            r#"{"type":"heartbeat","payload":{"server_time":"2026-01-31T09:30:00.000Z"},"cursor":"e:5:5:"}"#,
            r#"{"type":"watching","payload":{"read_models":["overview"]},"cursor":"e:5:5:"}"#,
            r#"{"type":"resync","payload":{"reason":"lag"},"cursor":"e:5:5:"}"#,
            r#"{"type":"task.renamed","payload":{},"cursor":"e:5:5:"}"#,
            "[]",
        ] {
            assert!(!after(says_nothing), "{says_nothing}");
        }
        assert!(after(stale));
        assert!(!after(&resumed(r#","known":false"#)));
        assert!(after(&resumed("")), "a server of an earlier version does not say");
    }
}

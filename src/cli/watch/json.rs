//! The lines of `--json`: one JSON object on each line.

use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use requery::client::{AgentBody, View};
use requery::protocol::ReadModel;
use serde_json::{Value, json};

use super::lines::{ConnectionLine, LineForm, ModelLine};

/// Lines for programs.
pub(super) struct JsonLines {
    /// Whether a line has the whole body.
    pub(super) body: bool,
    /// The present time on the clock of the client.
    pub(super) now: Box<dyn Fn() -> Duration>,
}

impl LineForm for JsonLines {
    fn connection(&self, line: &ConnectionLine) -> String {
        let lost_for = line.lost_at.map(|at| (self.now)().saturating_sub(at));
        let since = Utc::now() - lost_for.unwrap_or_default();
        let mut object = json!({ "status": line.status, "since": since.to_rfc3339_opts(SecondsFormat::Millis, true) });
        if let Some((word, text)) = &line.reason {
            object["reason"] = Value::String((*word).to_owned());
            object["error"] = Value::String(text.clone());
        }
        object.to_string()
    }

    fn model(&self, line: &ModelLine<'_>) -> Vec<String> {
        if !line.is_view_new && !line.is_explanation_new {
            return Vec::new();
        }
        let view = line.view;
        let mut object = json!({
            "read_model": line.model,
            "cursor": view.cursor,
            "why": view.why,
            "age_ms": view.age().map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            "state": view.state.as_str(),
        });
        if let Some(error) = &view.error {
            object["error"] = Value::String(error.to_string());
        }
        if let Some(explanation) = line.explanation {
            object["explanation"] = Value::String(explanation.to_owned());
        }
        if self.body && line.is_body_new {
            object["body"] = body(line.model, view);
        }
        vec![object.to_string()]
    }
}

/// The body stays JSON: parsing it into this crate's types would drop unknown fields.
fn body(model: &ReadModel, view: &View<AgentBody>) -> Value {
    let part = |at: usize| view.parts.get(at).and_then(|part| serde_json::from_slice(part).ok()).unwrap_or_default();
    match model {
        ReadModel::Overview if !view.parts.is_empty() => json!({ "overview": part(0), "tasks": part(1) }),
        _ => part(0),
    }
}

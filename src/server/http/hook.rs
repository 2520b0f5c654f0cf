//! The hooks of coding agents.

use poem::error::ResponseError;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path};

use super::answer::{NoContent, ReadAnswer};
use super::body::{self, HookBody};
use super::writing::write;
use super::{Group, now_ms};
use crate::agent::name::{AgentName, AgentNameError};
use crate::agent::process::Process;
use crate::agent::runtime::AgentRuntime;
use crate::protocol::ReadModel;
use crate::protocol::model::HooksHeard;
use crate::server::access::scope::Scope;
use crate::server::agents::{self, HookDelivery, HookError, HookTime};
use crate::server::database::{Database, ReadKey, ReadTransaction};
use crate::server::error::ApiError;

pub(super) struct HookApi(pub(super) Database);

#[OpenApi(prefix_path = "/api/v1", tag = "Group::Hooks")]
impl HookApi {
    /// The minute of the last hook of each agent
    ///
    /// Shows whether hooks arrive. The notices of the agents report each change of this answer.
    #[oai(path = "/hooks", method = "get", operation_id = "hooks_heard")]
    async fn heard(
        &self,
        /// The `ETag` of the answer that the caller has.
        #[oai(name = "If-None-Match")]
        held: Header<Option<String>>,
    ) -> Result<ReadAnswer<HooksHeard>, ApiError> {
        let key = ReadKey::new("hooks_heard", ReadModel::Agents);
        let queries = async |tx: &ReadTransaction| Ok::<_, ApiError>(Some(agents::hooks_last_heard(tx).await?));
        let answer = self.0.read(Scope::All, None, key, queries).await?;
        ReadAnswer::new(answer, held.0.as_deref(), false).await.ok_or(ApiError::Internal)
    }

    /// Take a hook of Claude Code
    ///
    /// The body is the JSON object that Claude Code gives to its hook, unchanged.
    #[oai(path = "/hooks/claude-code", method = "post", operation_id = "hook_claude_code")]
    async fn claude_code(
        &self,
        /// The UUID of the delivery. The server takes each delivery once.
        #[oai(name = "Requery-Delivery")]
        delivery: Header<Option<String>>,
        /// The time at which the hook ran, RFC 3339, for a hook that is sent late. At most a week ago. Default: now.
        #[oai(name = "Requery-At")]
        at: Header<Option<String>>,
        /// The process of the agent, as the forwarder names it. A server that cannot look for the process ignores it.
        #[oai(name = "Requery-Process")]
        process: Header<Option<String>>,
        /// The name of the agent's machine, at most 64 code points. A longer one is ignored.
        #[oai(name = "Requery-Host")]
        host: Header<Option<String>>,
        body: HookBody,
    ) -> Result<NoContent, ApiError> {
        self.count(self.take(AgentRuntime::ClaudeCode.into(), &delivery.0, &at.0, &process.0, &host.0, body.0).await)
    }

    /// Take a hook of Codex
    ///
    /// The body is the JSON object that Codex gives to its hook, unchanged.
    #[oai(path = "/hooks/codex", method = "post", operation_id = "hook_codex")]
    async fn codex(
        &self,
        /// The UUID of the delivery. The server takes each delivery once.
        #[oai(name = "Requery-Delivery")]
        delivery: Header<Option<String>>,
        /// The time at which the hook ran, RFC 3339, for a hook that is sent late. At most a week ago. Default: now.
        #[oai(name = "Requery-At")]
        at: Header<Option<String>>,
        /// The process of the agent, as the forwarder names it. A server that cannot look for the process ignores it.
        #[oai(name = "Requery-Process")]
        process: Header<Option<String>>,
        /// The name of the agent's machine, at most 64 code points. A longer one is ignored.
        #[oai(name = "Requery-Host")]
        host: Header<Option<String>>,
        body: HookBody,
    ) -> Result<NoContent, ApiError> {
        self.count(self.take(AgentRuntime::Codex.into(), &delivery.0, &at.0, &process.0, &host.0, body.0).await)
    }

    /// Take a hook of another agent
    ///
    /// For an agent whose hooks have the form of the hooks of Claude Code or Codex. The body is the JSON object that
    /// the agent gives to its hook, unchanged.
    #[oai(path = "/hooks/:source", method = "post", operation_id = "hook_of_source")]
    async fn of_source(
        &self,
        /// The name of the agent, which becomes the `source` of its tasks: 1 to 64 characters from a-z, 0-9, `.`, `_`
        /// and `-`, the first one a letter or a digit.
        source: Path<String>,
        /// The UUID of the delivery. The server takes each delivery once.
        #[oai(name = "Requery-Delivery")]
        delivery: Header<Option<String>>,
        /// The time at which the hook ran, RFC 3339, for a hook that is sent late. At most a week ago. Default: now.
        #[oai(name = "Requery-At")]
        at: Header<Option<String>>,
        /// The process of the agent, as the forwarder names it. A server that cannot look for the process ignores it.
        #[oai(name = "Requery-Process")]
        process: Header<Option<String>>,
        /// The name of the agent's machine, at most 64 code points. A longer one is ignored.
        #[oai(name = "Requery-Host")]
        host: Header<Option<String>>,
        body: HookBody,
    ) -> Result<NoContent, ApiError> {
        let source =
            source.0.parse().map_err(|error: AgentNameError| HookError::invalid("source", &error.to_string()))?;
        self.count(self.take(source, &delivery.0, &at.0, &process.0, &host.0, body.0).await)
    }
}

impl HookApi {
    /// Counts a hook.
    fn count(&self, taken: Result<NoContent, ApiError>) -> Result<NoContent, ApiError> {
        let metrics = self.0.metrics();
        match &taken {
            Ok(_) => metrics.hooks_taken.inc(),
            // The same record can be taken later, so it is not refused.
            Err(error) if error.status().is_server_error() => 0,
            Err(_) => metrics.hooks_refused.inc(),
        };
        taken
    }

    async fn take(
        &self,
        source: AgentName,
        delivery: &Option<String>,
        at: &Option<String>,
        process: &Option<String>,
        host: &Option<String>,
        body: Vec<u8>,
    ) -> Result<NoContent, ApiError> {
        let delivery = delivery.clone();
        let read = body::parse_apart(body, move |body| Ok(HookDelivery::read(source, delivery.as_deref(), body)?));
        // The header is a hint: the record is taken even if the header does not parse.
        let process = process.as_deref().and_then(|process| process.parse::<Process>().ok());
        let delivery = read.await?.of(process.as_ref()).on(host.as_deref());
        let at = match at.as_deref().map(|text| (text, chrono::DateTime::parse_from_rfc3339(text.trim()))) {
            None => None,
            Some((_, Ok(at))) => Some(at.timestamp_millis()),
            Some((text, Err(error))) => {
                let detail = format!("{text:?} is not a time as in 2026-01-31T09:30:00Z: {error}");
                return Err(ApiError::header("Requery-At", detail));
            }
        };
        let write = write(&self.0, async |tx| {
            let now_ms = now_ms();
            let heard = at.map_or(HookTime::Now(now_ms), |at| HookTime::late(at, now_ms));
            Ok(agents::take_hook(tx, tx.scope(), &delivery, heard).await?)
        });
        Ok(NoContent::new(write.await?))
    }
}

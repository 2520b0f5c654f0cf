//! What the hooks of coding agents send.

use poem_openapi::OpenApi;
use poem_openapi::param::Header;

use super::answer::Done;
use super::body::Raw;
use super::{Group, now_ms};
use crate::server::database::Database;
use crate::server::error::ApiError;
use crate::server::ingest::hook::{self, Delivery, Source};

pub(super) struct HookApi(pub(super) Database);

#[OpenApi(prefix_path = "/api/v1/hooks", tag = "Group::Hooks")]
impl HookApi {
    /// Take what a hook of Claude Code was given
    #[oai(path = "/claude-code", method = "post", operation_id = "hook_claude_code")]
    async fn claude_code(
        &self,
        /// A UUID: the same delivery is taken once.
        #[oai(name = "Requery-Delivery")]
        delivery: Header<Option<String>>,
        body: Raw,
    ) -> Result<Done, ApiError> {
        self.take(Source::ClaudeCode, delivery.0.as_deref(), &body.0).await
    }

    /// Take what a hook of Codex was given
    #[oai(path = "/codex", method = "post", operation_id = "hook_codex")]
    async fn codex(
        &self,
        /// A UUID: the same delivery is taken once.
        #[oai(name = "Requery-Delivery")]
        delivery: Header<Option<String>>,
        body: Raw,
    ) -> Result<Done, ApiError> {
        self.take(Source::Codex, delivery.0.as_deref(), &body.0).await
    }
}

impl HookApi {
    async fn take(&self, source: Source, delivery: Option<&str>, body: &[u8]) -> Result<Done, ApiError> {
        let delivery = Delivery::read(source, delivery, body)?;
        let tx = self.0.begin_write().await?;
        hook::take(&*tx, delivery, now_ms()).await?;
        Ok(Done { cursor: tx.commit().await? })
    }
}

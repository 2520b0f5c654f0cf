//! The transcripts of coding agents.

use poem_openapi::OpenApi;

use super::answer::ChangedRow;
use super::body::{self, LinesBody};
use super::writing::write;
use super::{Group, now_ms};
use crate::protocol::model::Imported;
use crate::server::agents::{self, TranscriptStretch};
use crate::server::database::Database;
use crate::server::error::ApiError;

pub(super) struct TranscriptApi(pub(super) Database);

#[OpenApi(prefix_path = "/api/v1/transcripts", tag = "Group::Transcripts")]
impl TranscriptApi {
    /// Take lines of Claude Code's transcripts
    ///
    /// The body is any run of whole lines, of one or of several sessions: at most 5,000 lines with at most 5,000
    /// events. Lines that were imported before add no rows. A line that cannot be imported is counted and reported, and
    /// the other lines are imported.
    #[oai(path = "/claude-code", method = "post", operation_id = "import_claude_code")]
    async fn claude_code(&self, body: LinesBody) -> Result<ChangedRow<Imported>, ApiError> {
        let now_ms = now_ms();
        let stretch = body::parse_apart(body.0, move |body| Ok(TranscriptStretch::read(body, now_ms)?)).await?;
        let write = write(&self.0, async |tx| Ok(agents::take_stretch(tx, tx.scope(), stretch, now_ms).await?));
        ChangedRow::new(write.await?)
    }
}

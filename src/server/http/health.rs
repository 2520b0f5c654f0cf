//! Whether the server works: for whoever starts it and whoever sends it requests.

use poem_openapi::OpenApi;

use super::Group;
use super::answer::NoContent;
use crate::server::database::Database;
use crate::server::error::ApiError;

pub(super) struct HealthApi(pub(super) Database);

#[OpenApi(tag = "Group::Health")]
impl HealthApi {
    /// The server runs
    ///
    /// It says nothing of the database: a server whose database is away is not mended by starting it again.
    #[oai(path = "/healthz", method = "get", operation_id = "alive")]
    async fn alive(&self) {}

    /// The server can answer: its database is there
    #[oai(path = "/readyz", method = "get", operation_id = "ready")]
    async fn ready(&self) -> Result<NoContent, ApiError> {
        let snapshot = self.0.snapshot().await?;
        Ok(NoContent::at(snapshot.cursor().clone()))
    }
}

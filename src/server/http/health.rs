//! The health of the server, for its supervisor and for a load balancer.

use poem_openapi::OpenApi;

use super::Group;
use super::answer::NoContent;
use crate::server::access::scope::Scope;
use crate::server::database::Database;
use crate::server::error::ApiError;

pub(super) struct HealthApi(pub(super) Database);

#[OpenApi(tag = "Group::Health")]
impl HealthApi {
    /// Whether the process runs
    ///
    /// The answer does not depend on the database, because a restart of the server does not bring the database back.
    #[oai(path = "/healthz", method = "get", operation_id = "alive")]
    async fn alive(&self) {}

    /// Whether the server can answer: the database can be read, and writes can be stored
    ///
    /// After the disk was full or failed, the server probes it every second, and is ready again after a probe was
    /// stored.
    #[oai(path = "/readyz", method = "get", operation_id = "ready")]
    async fn ready(&self) -> Result<NoContent, ApiError> {
        self.0.check_writable()?;
        let snapshot = self.0.snapshot(Scope::All).await?;
        Ok(NoContent::at(snapshot.cursor().clone()))
    }
}

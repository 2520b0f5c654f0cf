//! The coding agents.

use poem_openapi::OpenApi;

use super::Group;
use super::answer::{NoContent, ReadAnswer};
use super::body::JsonBody;
use super::reading::{ProjectParameter, Reading};
use super::writing::write;
use crate::agent::name::{AgentName, AgentNameError};
use crate::protocol::ReadModel;
use crate::protocol::model::Agents;
use crate::protocol::write::RegisterAgent;
use crate::server::database::{Database, ReadKey, ReadTransaction};
use crate::server::error::ApiError;
use crate::server::ingest;
use crate::server::read;

pub(super) struct AgentApi(pub(super) Database);

#[OpenApi(prefix_path = "/api/v1")]
impl AgentApi {
    /// The coding agents that report, the last heard first
    #[oai(path = "/agents", method = "get", operation_id = "agents", tag = "Group::Read")]
    async fn agents(
        &self,
        /// Only agents that were heard in this project. Default: all agents.
        project: ProjectParameter,
        reading: Reading,
    ) -> Result<ReadAnswer<Agents>, ApiError> {
        let queries = async |tx: &ReadTransaction| Ok(read::agent::agents(tx).await?);
        reading.answer(&self.0, project.0, ReadKey::new("agents", ReadModel::Agents), queries).await
    }

    /// Report the installation of a coding agent
    ///
    /// An agent that the server knows already gets the given version and number of hooks.
    #[oai(path = "/agents", method = "put", operation_id = "register_agent", tag = "Group::Write")]
    async fn register(&self, body: JsonBody<RegisterAgent>) -> Result<NoContent, ApiError> {
        let named: Result<AgentName, AgentNameError> = body.0.source.as_deref().unwrap_or_default().parse();
        named.map_err(|error| ApiError::invalid("source", error.to_string()))?;
        let write = write(&self.0, async |tx| Ok(ingest::agent::register(tx, body.0).await?));
        Ok(NoContent::new(write.await?))
    }
}

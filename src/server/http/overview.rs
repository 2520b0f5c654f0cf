//! The overview.

use poem_openapi::OpenApi;

use super::Group;
use super::answer::ReadAnswer;
use super::reading::{ProjectParameter, Reading};
use crate::protocol::model::Overview;
use crate::server::database::{Database, ReadKey, ReadTransaction};
use crate::server::error::ApiError;
use crate::server::read;

pub(super) struct OverviewApi(pub(super) Database);

#[OpenApi(prefix_path = "/api/v1", tag = "Group::Read")]
impl OverviewApi {
    /// The figures of the first screen, and the tasks that need a person
    #[oai(path = "/overview", method = "get", operation_id = "overview")]
    async fn overview(
        &self,
        /// Only this project. Default: all projects.
        project: ProjectParameter,
        reading: Reading,
    ) -> Result<ReadAnswer<Overview>, ApiError> {
        let queries = async |tx: &ReadTransaction| Ok(read::overview::overview(tx).await?);
        reading.answer(&self.0, project.0, ReadKey::new("overview"), queries).await
    }
}

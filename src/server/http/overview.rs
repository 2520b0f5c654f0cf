//! The overview and the list of projects.

use poem_openapi::OpenApi;

use super::Group;
use super::answer::ReadAnswer;
use super::reading::{PageParameters, ProjectParameter, Reading};
use crate::protocol::ReadModel;
use crate::protocol::model::{Overview, ProjectPage};
use crate::server::access::scope::Scope;
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
        reading.answer(&self.0, project.0, ReadKey::new("overview", ReadModel::Overview), queries).await
    }

    /// Projects with the numbers of their tasks, the last changed first
    #[oai(path = "/projects", method = "get", operation_id = "projects")]
    async fn projects(&self, page: PageParameters, reading: Reading) -> Result<ReadAnswer<ProjectPage>, ApiError> {
        let scope = Scope::All;
        let window = page.window(read::project::list(&scope))?;
        let queries = async |tx: &ReadTransaction| Ok(read::project::page(tx, &window, page.limit()).await?);
        let key = ReadKey::new("projects", ReadModel::Overview);
        reading.answer(&self.0, scope, page.extend(key), queries).await
    }
}

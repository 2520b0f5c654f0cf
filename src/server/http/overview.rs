//! The overview.

use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Query};

use super::Group;
use super::answer::Read;
use crate::protocol::Cursor;
use crate::protocol::model::Overview;
use crate::server::database::Database;
use crate::server::error::ApiError;
use crate::server::read;

pub(super) struct OverviewApi(pub(super) Database);

#[OpenApi(prefix_path = "/api/v1", tag = "Group::Read")]
impl OverviewApi {
    /// The figures of the first screen, and who needs a person
    #[oai(path = "/overview", method = "get", operation_id = "overview")]
    async fn overview(
        &self,
        /// Only this project; left out: all.
        project: Query<Option<String>>,
        /// The `ETag` of the answer the caller has.
        #[oai(name = "If-None-Match")]
        held: Header<Option<String>>,
        /// A cursor the answer has to contain, where it is of this database's history.
        #[oai(name = "Requery-At-Least")]
        _at_least: Header<Option<Cursor>>,
    ) -> Result<Read<Overview>, ApiError> {
        let tx = self.0.begin_read().await?;
        let overview = read::overview::overview(&*tx, project.0.as_deref()).await?;
        Read::new(&overview, tx.cursor().clone(), held.0.as_deref())
    }
}

//! The overview.

use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Query};

use super::Group;
use super::answer::Read;
use crate::protocol::Cursor;
use crate::protocol::model::Overview;
use crate::server::database::{Database, ReadKey};
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
        at_least: Header<Option<Cursor>>,
    ) -> Result<Read<Overview>, ApiError> {
        let key = ReadKey::new("overview");
        let answer = self.0.read(project.0.into(), at_least.0.as_ref(), key, async |tx| {
            Ok::<_, ApiError>(read::overview::overview(tx, tx.scope().project()).await?)
        });
        Ok(Read::new(answer.await?, held.0.as_deref()))
    }
}

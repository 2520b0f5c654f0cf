//! The common path of all writes: the verbs of a request run in one transaction, and read back the row that they wrote.

use crate::server::access::scope::Scope;
use crate::server::database::{Committed, Database, WriteTransaction};
use crate::server::error::ApiError;

/// Runs the verbs of a request in the transaction that writes.
pub(super) async fn write<T>(
    database: &Database,
    verbs: impl AsyncFnOnce(&WriteTransaction) -> Result<T, ApiError> + Clone,
) -> Result<Committed<T>, ApiError> {
    database.write(Scope::All, verbs).await
}

/// The row that a verb wrote earlier in the same transaction. Only a trigger of another program can have removed it.
pub(super) async fn read_back<T, E: Into<ApiError>>(
    what: &'static str,
    id: &impl ToString,
    row: impl Future<Output = Result<Option<T>, E>>,
) -> Result<T, ApiError> {
    row.await.map_err(Into::into)?.ok_or_else(|| ApiError::NotFound { what, id: id.to_string(), cursor: None })
}

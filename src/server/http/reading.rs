//! The parameters and headers that every read takes, each extracted in one place.
//!
//! The framework documents one parameter for each argument of an operation. [`Reading`] and [`PageParameters`] stand
//! for several parameters, so each registers a placeholder. [`expand`] replaces the placeholders before the document is
//! made.

use poem::{Request, RequestBody};
use poem_openapi::param::{Header, Query};
use poem_openapi::registry::{MetaApi, MetaOperationParam, MetaParamIn, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde::Serialize;

use super::answer::{ReadAnswer, names};
use super::negotiation::accepts_coding;
use super::since::OrSince;
use crate::protocol::limits;
use crate::protocol::{Cursor, CursorError};
use crate::server::access::scope::Scope;
use crate::server::database::{Answer, Database, ReadKey, ReadTransaction};
use crate::server::error::ApiError;
use crate::server::read::{ListName, PageToken, PageWindow};

const IF_NONE_MATCH: &str = "If-None-Match";
const AT_LEAST: &str = "Requery-At-Least";
/// The description of `Requery-At-Least` where an operation has no comment of its own on its [`Reading`].
const AT_LEAST_DESCRIPTION: &str = "A cursor that the answer must cover. A cursor of another epoch is ignored.";

const READING_PLACEHOLDER: &str = "the parameters of every read";
const PAGE_PLACEHOLDER: &str = "the parameters of every page";

/// The query parameter `project`.
pub(super) struct ProjectParameter(pub(super) Scope);

/// The query parameter `since`: the cursor of the answer that the caller holds. A malformed one is none: the caller
/// gets the whole answer.
pub(super) struct SinceParameter(pub(super) Option<Cursor>);

/// The headers of a read: the tags of the answers that the caller has, the cursor that the answer must cover, and
/// whether the caller takes a compressed answer. For an operation with `since` also the cursor of the answer that the
/// caller holds.
pub(super) struct Reading {
    if_none_match: Option<String>,
    at_least: Option<Cursor>,
    takes_gzip: bool,
    since: Option<Cursor>,
}

/// The query parameters of a page: its length, and the place in the list where it begins.
pub(super) struct PageParameters {
    limit: u32,
    before: Option<String>,
    after: Option<String>,
}

impl Reading {
    /// The caller holds the answer at this cursor.
    pub(super) fn since(self, since: SinceParameter) -> Self {
        Self { since: since.0, ..self }
    }

    /// The answer of the operation, for which `queries` run in one snapshot.
    pub(super) async fn answer<T: Serialize>(
        self,
        database: &Database,
        scope: Scope,
        key: ReadKey,
        queries: impl AsyncFnOnce(&ReadTransaction) -> Result<T, ApiError>,
    ) -> Result<ReadAnswer<T>, ApiError> {
        let queries = async |tx: &ReadTransaction| queries(tx).await.map(Some);
        let answer = database.read(scope, self.at_least.as_ref(), key, queries).await?;
        self.made_of(answer).await
    }

    /// Like [`Reading::answer`], for an operation with `since`: `changes` make the difference to the answer that the
    /// caller holds, or none if the caller needs the whole answer.
    pub(super) async fn answer_since<T: Serialize, C: Serialize>(
        self,
        database: &Database,
        scope: Scope,
        key: ReadKey,
        changes: impl AsyncFnOnce(&ReadTransaction, &Cursor) -> Result<Option<C>, ApiError>,
        queries: impl AsyncFnOnce(&ReadTransaction) -> Result<T, ApiError>,
    ) -> Result<ReadAnswer<OrSince<T, C>>, ApiError> {
        let queries = async |tx: &ReadTransaction| queries(tx).await.map(Some);
        let answer = self.read_since(database, scope, key, changes, queries).await?;
        self.made_of(answer).await
    }

    /// Like [`Reading::answer_since`], for the row that the request names, with its kind and its id: 404 if `queries`
    /// return none.
    pub(super) async fn answer_since_for<T: Serialize, C: Serialize>(
        self,
        (what, id): (&'static str, &impl ToString),
        database: &Database,
        scope: Scope,
        key: ReadKey,
        changes: impl AsyncFnOnce(&ReadTransaction, &Cursor) -> Result<Option<C>, ApiError>,
        queries: impl AsyncFnOnce(&ReadTransaction) -> Result<Option<T>, ApiError>,
    ) -> Result<ReadAnswer<OrSince<T, C>>, ApiError> {
        let answer = self.read_since(database, scope, key, changes, queries).await?;
        let cursor = answer.cursor().clone();
        let found = ReadAnswer::new(answer, self.if_none_match.as_deref(), self.takes_gzip).await;
        // The row is absent at that cursor.
        found.ok_or_else(|| ApiError::NotFound { what, id: id.to_string(), cursor: Some(cursor) })
    }

    async fn read_since<T: Serialize, C: Serialize>(
        &self,
        database: &Database,
        scope: Scope,
        key: ReadKey,
        changes: impl AsyncFnOnce(&ReadTransaction, &Cursor) -> Result<Option<C>, ApiError>,
        queries: impl AsyncFnOnce(&ReadTransaction) -> Result<Option<T>, ApiError>,
    ) -> Result<Answer, ApiError> {
        let at_least = self.at_least.as_ref();
        let Some(since) = &self.since else { return database.read(scope, at_least, key, queries).await };
        let has = |tag: &str| self.if_none_match.as_ref().is_some_and(|held| names(held, tag));
        database.read_since(scope, at_least, key, (since, has), changes, queries).await
    }

    /// Like [`Reading::answer`], for a read model that can be behind the rows: `queries` takes the snapshot and names
    /// the cursor of the answer.
    pub(super) async fn answer_with_cursor<T: Serialize>(
        self,
        database: &Database,
        scope: Scope,
        key: ReadKey,
        queries: impl AsyncFnOnce(Scope) -> Result<(T, Cursor), ApiError>,
    ) -> Result<ReadAnswer<T>, ApiError> {
        let answer = database.read_with_cursor(scope, key, queries).await?;
        self.made_of(answer).await
    }

    async fn made_of<T>(self, answer: Answer) -> Result<ReadAnswer<T>, ApiError> {
        let found = ReadAnswer::new(answer, self.if_none_match.as_deref(), self.takes_gzip).await;
        found.ok_or(ApiError::Internal)
    }
}

impl PageParameters {
    pub(super) fn limit(&self) -> u64 {
        self.limit.into()
    }

    /// The part of `list` that the request names.
    pub(super) fn window<K: PageToken>(&self, list: ListName) -> Result<PageWindow<K>, ApiError> {
        let parse = |parameter, token: &str| list.key(token).ok_or(ApiError::PageToken(parameter));
        match (&self.before, &self.after) {
            (None, None) => Ok(PageWindow::Newest),
            (Some(token), None) => parse("before", token).map(PageWindow::Before),
            (None, Some(token)) => parse("after", token).map(PageWindow::After),
            (Some(_), Some(_)) => Err(ApiError::invalid("after", "cannot be given together with before")),
        }
    }

    /// `since`, if a difference can be made for this side of the list.
    pub(super) fn since(&self, since: SinceParameter) -> SinceParameter {
        SinceParameter(since.0.filter(|_| self.after.is_none()))
    }

    /// The key of a read with the parameters of its page.
    pub(super) fn extend(&self, key: ReadKey) -> ReadKey {
        key.with("limit", Some(self.limit)).with("before", self.before.as_ref()).with("after", self.after.as_ref())
    }
}

/// Extracts a parameter of the query that is a text, or is left out, and makes its value with `$value`.
macro_rules! text_of_query {
    ($parameter:ident, $value:expr) => {
        impl<'a> ApiExtractor<'a> for $parameter {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
            type ParamType = ();
            type ParamRawType = ();

            fn param_in() -> Option<MetaParamIn> {
                Some(MetaParamIn::Query)
            }

            fn param_schema_ref() -> Option<MetaSchemaRef> {
                Some(String::schema_ref())
            }

            async fn from_request(
                request: &'a Request,
                body: &mut RequestBody,
                options: ExtractParamOptions<()>,
            ) -> poem::Result<Self> {
                let text: Query<Option<String>> = Query::from_request(request, body, named(options.name)).await?;
                Ok(Self($value(text.0)))
            }
        }
    };
}

text_of_query!(ProjectParameter, Scope::from);
text_of_query!(SinceParameter, |text: Option<String>| text.and_then(|text| text.parse().ok()));

impl<'a> ApiExtractor<'a> for Reading {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        Cursor::register(registry);
    }

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Reference(READING_PLACEHOLDER.to_owned()))
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let if_none_match: Header<Option<String>> = Header::from_request(request, body, named(IF_NONE_MATCH)).await?;
        let at_least = match request.headers().get(AT_LEAST).map(|text| String::from_utf8_lossy(text.as_bytes())) {
            None => None,
            Some(text) => {
                Some(text.parse().map_err(|error: CursorError| ApiError::header(AT_LEAST, error.to_string()))?)
            }
        };
        let takes_gzip = accepts_coding(request.headers(), "gzip");
        Ok(Self { if_none_match: if_none_match.0, at_least, takes_gzip, since: None })
    }
}

impl<'a> ApiExtractor<'a> for PageParameters {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Query)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Reference(PAGE_PLACEHOLDER.to_owned()))
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let limit: Query<Option<u32>> = Query::from_request(request, body, named("limit")).await?;
        let limit = limit.0.unwrap_or(limits::PAGE_ROWS_DEFAULT);
        if limit < 1 {
            return Err(ApiError::invalid("limit", "is less than 1").into());
        }
        if limit > limits::PAGE_ROWS {
            return Err(ApiError::invalid("limit", format!("is more than {}", limits::PAGE_ROWS)).into());
        }
        let before: Query<Option<String>> = Query::from_request(request, body, named("before")).await?;
        let after: Query<Option<String>> = Query::from_request(request, body, named("after")).await?;
        Ok(Self { limit, before: before.0, after: after.0 })
    }
}

/// Replaces the placeholders of [`Reading`] and [`PageParameters`] by the parameters they stand for.
pub(super) fn expand(apis: &mut [MetaApi]) {
    let paths = apis.iter_mut().flat_map(|api| &mut api.paths);
    for operation in paths.flat_map(|path| &mut path.operations) {
        let parameters = std::mem::take(&mut operation.params);
        operation.params = parameters.into_iter().flat_map(expand_one).collect();
    }
}

fn expand_one(parameter: MetaOperationParam) -> Vec<MetaOperationParam> {
    match &parameter.schema {
        MetaSchemaRef::Reference(name) if name == READING_PLACEHOLDER => {
            let at_least = parameter.description.as_deref().unwrap_or(AT_LEAST_DESCRIPTION);
            vec![
                header(IF_NONE_MATCH, String::schema_ref(), "The `ETag` of the answer that the caller has."),
                header(AT_LEAST, Cursor::schema_ref(), at_least),
            ]
        }
        MetaSchemaRef::Reference(name) if name == PAGE_PLACEHOLDER => {
            let limit = MetaSchema {
                default: Some(limits::PAGE_ROWS_DEFAULT.into()),
                minimum: Some(1.0),
                maximum: Some(limits::PAGE_ROWS.into()),
                ..MetaSchema::ANY
            };
            vec![
                query("limit", u32::schema_ref().merge(limit), "The largest number of items on the page."),
                query("before", String::schema_ref(), "The `next` of a page: the items that follow that page."),
                query("after", String::schema_ref(), "The `previous` of a page: the items that precede that page."),
            ]
        }
        _ => vec![parameter],
    }
}

fn header(name: &str, schema: MetaSchemaRef, description: &str) -> MetaOperationParam {
    MetaOperationParam {
        name: name.to_owned(),
        schema,
        in_type: MetaParamIn::Header,
        description: Some(description.to_owned()),
        required: false,
        deprecated: false,
        explode: true,
        style: None,
    }
}

fn query(name: &str, schema: MetaSchemaRef, description: &str) -> MetaOperationParam {
    MetaOperationParam { in_type: MetaParamIn::Query, ..header(name, schema, description) }
}

fn named<T>(name: &'static str) -> ExtractParamOptions<T> {
    ExtractParamOptions { name, ..ExtractParamOptions::default() }
}

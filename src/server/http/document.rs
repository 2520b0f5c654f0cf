//! The documents that describe the wire: OpenAPI for REST, AsyncAPI for the streams, and what notices make stale.
//!
//! All are made from the types themselves and checked in; a test fails when the files are old. What the framework says
//! about types is mended on the way, because generators of clients stumble over it: fields that may be `null` are not
//! marked, a reference with a comment becomes an `allOf`, answers leave out that all fields are always there.

use poem::endpoint::BoxEndpoint;
use poem::http::Method;
use poem_openapi::registry::{
    MetaApi, MetaMediaType, MetaOperation, MetaOperationParam, MetaParamIn, MetaPath, MetaResponse, MetaResponses,
    MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;
use poem_openapi::{OpenApi, OpenApiService, Tags};
use serde_json::{Map, Value};

use super::Group;
use super::bookmark::BookmarkApi;
use super::health::HealthApi;
use super::hook::HookApi;
use super::overview::OverviewApi;
use super::reading;
use super::search::SearchApi;
use super::task::TaskApi;
use super::timeline::TimelineApi;
use super::transcript::TranscriptApi;
use crate::protocol::{Frame, VERSION, Watch};
use crate::server::database::Database;
use crate::server::search::SearchIndex;

mod asyncapi;
pub use asyncapi::asyncapi;

mod invalidation;
pub use invalidation::invalidation;

mod examples;

mod problems;

mod schema;
pub use schema::json_schema;

const TITLE: &str = "requery";

const ABOUT: &str = "Keeps every open screen true: tells each one what changed, so that it asks for just that again.\n\n\
    A notice on a stream names what changed; the read models it makes stale are asked for again here. Every answer \
    carries `Requery-Cursor`, which names the changes it contains, and every read an `ETag`. Unknown query parameters \
    and body fields are ignored; times are RFC 3339 in UTC.";

type Operations = (OverviewApi, TaskApi, TimelineApi, BookmarkApi, SearchApi, HookApi, TranscriptApi, HealthApi);

/// The operations, ready to answer.
pub(super) fn service(database: &Database, index: SearchIndex) -> OpenApiService<Operations, ()> {
    let database = || database.clone();
    let operations = (
        OverviewApi(database()),
        TaskApi(database()),
        TimelineApi(database()),
        BookmarkApi(database()),
        SearchApi(index),
        HookApi(database()),
        TranscriptApi(database()),
        HealthApi(database()),
    );
    OpenApiService::new(operations, TITLE, VERSION)
}

/// Every document with the name of its file.
pub fn all() -> [(&'static str, String); 3] {
    [("openapi.json", openapi()), ("asyncapi.json", asyncapi()), ("invalidation.json", invalidation())]
}

/// The OpenAPI document of REST and of the stream of server-sent events, as it is checked in.
pub fn openapi() -> String {
    let Ok(mut document) = serde_json::from_str::<Value>(&described().spec()) else { return String::new() };
    schema::mend(&mut document);
    problems::add(&mut document);
    examples::add(&mut document);
    text(&document)
}

/// The page to read the OpenAPI document on and to try the operations from. It loads nothing from elsewhere.
pub(super) fn swagger_ui(openapi: &str) -> String {
    let service = described();
    // The badge would send the address of this server to a validator elsewhere.
    let quiet = "deepLinking: true,\n        validatorUrl: null,";
    service.swagger_ui_html().replace(&service.spec(), openapi).replace("deepLinking: true,", quiet)
}

/// What the documents are made from: the operations, which need no database to be described, and the streams.
struct Described;

fn described() -> OpenApiService<Described, ()> {
    OpenApiService::new(Described, TITLE, VERSION).description(ABOUT).license("MIT OR Apache-2.0")
}

impl OpenApi for Described {
    fn meta() -> Vec<MetaApi> {
        let mut all = Operations::meta();
        reading::expand(&mut all);
        all.push(MetaApi { paths: vec![MetaPath { path: "/api/v1/stream".to_owned(), operations: vec![stream()] }] });
        all
    }

    fn register(registry: &mut Registry) {
        Operations::register(registry);
        Group::Read.register(registry);
        Frame::register(registry);
        Watch::register(registry);
    }

    fn add_routes(
        self,
        _: &mut std::collections::HashMap<String, std::collections::HashMap<Method, BoxEndpoint<'static>>>,
    ) {
    }
}

/// The stream is answered by another part of the server; it is described here so that one document has all of REST.
fn stream() -> MetaOperation {
    let parameter = |name: &str, in_type, description: &str| MetaOperationParam {
        name: name.to_owned(),
        schema: String::schema_ref(),
        in_type,
        description: Some(description.to_owned()),
        required: false,
        deprecated: false,
        explode: true,
        style: None,
    };
    let frames = MetaResponse {
        description: "Frames: each `data:` is one, and the `id:` beside it its cursor.",
        status: Some(200),
        status_range: None,
        content: vec![MetaMediaType {
            content_type: "text/event-stream",
            schema: MetaSchemaRef::Reference(Frame::name().into_owned()),
        }],
        headers: Vec::new(),
    };
    MetaOperation {
        tags: vec![Group::Read.name()],
        method: Method::GET,
        summary: Some("What changes, as server-sent events"),
        description: Some(
            "The first frame is `snapshot`, or `resumed` where `since` can be continued. It does not end by itself.",
        ),
        external_docs: None,
        params: vec![
            parameter("project", MetaParamIn::Query, "Only what changes in this project; left out: in all."),
            parameter("since", MetaParamIn::Query, "The cursor of the last frame the caller has."),
            parameter("Last-Event-ID", MetaParamIn::Header, "The same, as browsers send it; it wins over `since`."),
        ],
        request: None,
        responses: MetaResponses { responses: vec![frames] },
        deprecated: false,
        security: Vec::new(),
        operation_id: Some("stream"),
        code_samples: Vec::new(),
    }
}

/// Every operation of the document: its path, its method and itself.
fn for_each_operation(document: &mut Value, mut visit: impl FnMut(&str, &str, &mut Map<String, Value>)) {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, item) in paths {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            if let Some(operation) = operation.as_object_mut() {
                visit(path, method, operation);
            }
        }
    }
}

/// As the files have it.
fn text(document: &Value) -> String {
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::openapi;
    use crate::protocol::limits;

    /// The framework takes bounds as literals only, so the numbers stand beside the operations a second time.
    #[test]
    fn page_limits_are_the_limits_of_the_contract() {
        let mut document: Value = serde_json::from_str(&openapi()).expect("JSON");
        let mut found = 0;
        super::for_each_operation(&mut document, |path, _, operation| {
            let parameters = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
            for limit in parameters.filter(|parameter| parameter["name"] == json!("limit")) {
                let (most, default) = match path {
                    "/api/v1/search" => (limits::HITS, limits::HITS_DEFAULT),
                    _ => (limits::PAGE_ROWS, limits::PAGE_ROWS_DEFAULT),
                };
                let schema = &limit["schema"];
                assert_eq!((&schema["minimum"], &schema["maximum"]), (&json!(1), &json!(most)), "{path}");
                assert_eq!(schema["default"], json!(default), "{path}");
                found += 1;
            }
        });
        assert!(found > 1, "no operation has a `limit`");
    }
}

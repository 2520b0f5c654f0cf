//! The documents that describe the wire: OpenAPI for REST, AsyncAPI for the streams, and the table of the read models
//! that each notice makes stale.
//!
//! All documents are generated from the Rust types and checked in; a test fails when a file is out of date. The schemas
//! of the framework are corrected here, because generators of clients fail on them: fields that may be `null` are not
//! marked, a reference with a comment becomes an `allOf`, and answers do not list their fields as required.

use poem::endpoint::BoxEndpoint;
use poem::http::Method;
use poem_openapi::registry::{
    MetaApi, MetaMediaType, MetaOperation, MetaOperationParam, MetaParamIn, MetaPath, MetaResponse, MetaResponses,
    MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;
use poem_openapi::{OpenApi, OpenApiService, Tags};
use serde_json::{Map, Value, json};

use super::Group;
use super::agent::AgentApi;
use super::bookmark::BookmarkApi;
use super::health::HealthApi;
use super::hook::HookApi;
use super::overview::OverviewApi;
use super::reading;
use super::search::SearchApi;
use super::stream::StreamApi;
use super::task::TaskApi;
use super::timeline::TimelineApi;
use super::transcript::TranscriptApi;
use crate::protocol::{Frame, VERSION, Watch};
use crate::server::database::Database;
use crate::server::hub::Hub;
use crate::server::search::SearchIndex;

mod asyncapi;
pub use asyncapi::asyncapi;

mod invalidation;
pub use invalidation::invalidation;

mod bounds;

mod examples;

mod problems;

mod schema;
pub use schema::json_schema;

const TITLE: &str = "requery";

const ABOUT: &str = "Keeps every open screen true: reports each change, so that a screen requests only the stale read \
    models again.\n\n\
    A notice on a stream says that a change happened and where. A client maps the notice to the read models that it \
    makes stale, and requests these again with the operations of this document. Reads and writes answer with \
    `Requery-Cursor`, reads also with `ETag`. Unknown query parameters and body fields are ignored; a parameter that is \
    given more than once is answered 422. Times are RFC 3339; answers use UTC.\n\n\
    Each failure is `application/problem+json`. A path outside of this document is answered 404. A method that a path \
    does not list is answered 405, and `Allow` names the methods of the path. Every `GET` also answers `HEAD`.";

type Operations =
    (OverviewApi, TaskApi, TimelineApi, BookmarkApi, AgentApi, SearchApi, HookApi, TranscriptApi, HealthApi, StreamApi);

/// The operations, ready to answer.
pub(super) fn service(database: &Database, hub: Hub, index: SearchIndex) -> OpenApiService<Operations, ()> {
    let database = || database.clone();
    let operations = (
        OverviewApi(database()),
        TaskApi(database()),
        TimelineApi(database()),
        BookmarkApi(database()),
        AgentApi(database()),
        SearchApi(index),
        HookApi(database()),
        TranscriptApi(database()),
        HealthApi(database()),
        StreamApi(hub),
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
    // Relative to the URL of the document and of the page, so that both work behind a proxy under a path of their own.
    document["servers"] = json!([{ "url": "." }]);
    bounds::add(&mut document);
    problems::add(&mut document);
    examples::add(&mut document);
    text(&document)
}

/// The page that shows the OpenAPI document and tries the operations. The page loads no file from another host.
pub(super) fn swagger_ui(openapi: &str) -> String {
    let service = described();
    // The badge would send the address of this server to a public validator.
    let quiet = "deepLinking: true,\n        validatorUrl: null,";
    service.swagger_ui_html().replace(&service.spec(), openapi).replace("deepLinking: true,", quiet)
}

/// The source of the documents: the operations, which are described without a database, and the streams.
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

/// The stream of server-sent events. Another part of the server answers it; the description here makes the document
/// complete.
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
        description: "Frames: each `data:` is one frame, and its `id:` is the cursor of the frame.",
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
        summary: Some("The frames of a stream, as server-sent events"),
        description: Some("The first frame is `resumed` if the stream continues from `since`, or else `snapshot`."),
        external_docs: None,
        params: vec![
            parameter("project", MetaParamIn::Query, "Only changes of this project. Default: all projects."),
            parameter("since", MetaParamIn::Query, "The cursor of the last frame that the client has."),
            parameter(
                "Last-Event-ID",
                MetaParamIn::Header,
                "The same cursor, as browsers send it. It wins over `since`.",
            ),
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

/// The text of a document, in the format of the files.
fn text(document: &Value) -> String {
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::openapi;
    use crate::protocol::limits;

    /// The framework takes bounds as literals only, so the operations repeat the numbers of the contract.
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

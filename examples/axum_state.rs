//! A web server that keeps a requery client in its axum state, and answers from the client's store.
//!
//! No request of a browser reaches the requery server: the store is current already. Each answer says its age in the
//! header `Age` (whole seconds) and its state in the header `X-State` (`fresh`, `stale` or `gone`).
//!
//! ```sh
//! cargo run --example axum_state -- http://127.0.0.1:7373 127.0.0.1:8080
//! curl -i http://127.0.0.1:8080/overview
//! curl -i http://127.0.0.1:8080/tasks/0190b0a0-0000-7000-8000-000000000001
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{AGE, CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use requery::client::{Client, ClientConfig, View, ViewState, WatchHandle};
use requery::protocol::{ReadModel, TaskId};
use tokio::net::TcpListener;
use tokio::time::timeout;

/// A first answer takes one request to the requery server. A longer wait means that the server is away.
const FIRST_ANSWER: Duration = Duration::from_secs(3);
/// The most tasks that are watched at once. Each of them costs a fetch for each change.
const WATCHED_TASKS: usize = 100;

#[derive(Clone)]
struct AppState {
    client: Arc<Client>,
    /// The handle keeps the overview current for the life of the program.
    overview: Arc<WatchHandle>,
    /// The tasks that browsers asked for. A dropped handle ends its watch.
    tasks: Arc<Mutex<BTreeMap<TaskId, WatchHandle>>>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "http://127.0.0.1:7373".to_owned());
    let listen = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());

    let client = Client::connect(ClientConfig::new(server))?;
    let overview = Arc::new(client.watch(ReadModel::Overview));
    let state = AppState { client: Arc::new(client), overview, tasks: Arc::default() };
    let app =
        Router::new().route("/overview", get(overview_page)).route("/tasks/{id}", get(task_page)).with_state(state);

    let listener = TcpListener::bind(listen).await?;
    // The server runs even if its standard output is closed. `println!` would panic there.
    let _ = writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

async fn overview_page(State(state): State<AppState>) -> Response {
    answer(state.first_answer(|| state.overview.view()).await)
}

async fn task_page(State(state): State<AppState>, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<TaskId>() else { return (StatusCode::BAD_REQUEST, "not a task id").into_response() };
    answer(state.first_answer(|| state.task(&id)).await)
}

impl AppState {
    /// The newest view of a task. The first request for a task begins its watch.
    fn task(&self, id: &TaskId) -> View {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.len() >= WATCHED_TASKS && !tasks.contains_key(id) {
            // Ids begin with the time of their creation, so the first one is the oldest task.
            tasks.pop_first();
        }
        tasks.entry(id.clone()).or_insert_with(|| self.client.watch(ReadModel::Task(id.clone()))).view()
    }

    /// Waits for the first answer, if there is none yet. Every later view is available at once.
    async fn first_answer(&self, view: impl Fn() -> View) -> View {
        let mut changes = self.client.changes();
        let loaded = async { while view().state == ViewState::Loading && changes.next().await {} };
        // Without an answer in time the view is still `Loading`, and the caller says so.
        let _ = timeout(FIRST_ANSWER, loaded).await;
        view()
    }
}

fn answer(view: View) -> Response {
    let status = match view.state {
        ViewState::NotFound => StatusCode::NOT_FOUND,
        ViewState::Loading => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    let age = view.age().unwrap_or_default().as_secs().to_string();
    let headers = [
        (AGE, age),
        (HeaderName::from_static("x-state"), view.state.as_str().to_owned()),
        (CONTENT_TYPE, "application/json".to_owned()),
    ];
    let body = view.body.filter(|_| status == StatusCode::OK).map_or_else(|| "null".into(), |body| body.to_json());
    (status, headers, body).into_response()
}

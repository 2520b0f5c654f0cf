//! A web server that answers from the store of a requery client. The header `Age` says how old an answer can be.
//! `cargo run --example axum_state -- http://127.0.0.1:7373 127.0.0.1:8080` serves `/overview` and `/tasks/<id>`.

use std::{error::Error, io::Write, time::Duration};

use axum::response::{IntoResponse, Response};
use axum::{Router, extract::Path, http::StatusCode, routing::get};
use requery::client::{AgentSource, BodyValue, Client, ClientConfig, HeldState, WatchHandle};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "http://127.0.0.1:7373".to_owned());
    let listener = tokio::net::TcpListener::bind(arguments.next().as_deref().unwrap_or("127.0.0.1:8080")).await?;
    let client = Client::connect(ClientConfig::new(server))?;
    let overview = client.overview(); // Kept current, so that a page needs no request to the requery server.
    let task = async move |Path(id): Path<String>| match id.parse() {
        Ok(id) => answer(client.task(id)).await,
        Err(_) => (StatusCode::BAD_REQUEST, "not a task id").into_response(),
    };
    let overview = get(async move || answer(overview.clone()).await);
    let app = Router::new().route("/tasks/{id}", get(task)).route("/overview", overview);
    writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    Ok(axum::serve(listener, app).await?)
}

async fn answer<T: BodyValue<AgentSource> + serde::Serialize>(mut watch: WatchHandle<T>) -> Response {
    // A longer wait means that the server is away. Then an older body has to do.
    let fresh = watch.wait_for(|view| matches!(view.state, HeldState::Fresh | HeldState::Gone));
    let _ = tokio::time::timeout(Duration::from_secs(1), fresh).await;
    let (view, json) = (watch.view(), [("content-type", "application/json")]);
    let headers = [("age", view.age().unwrap_or_default().as_secs().to_string()), ("x-state", view.state.to_string())];
    let status = match view.state {
        HeldState::Gone => StatusCode::NOT_FOUND,
        _ if view.value.is_none() => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    (status, headers, json, serde_json::to_string(&view.value.as_deref()).unwrap_or_default()).into_response()
}

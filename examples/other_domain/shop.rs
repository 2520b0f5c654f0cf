//! A small server of another domain: orders and customers. Each write adds a notice to the stream.
//!
//! It keeps three rules of the wire contract: a write and its notice are one step, a stream subscribes before it reads
//! its first cursor, and a read takes its cursor and its rows together.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::timeout;

/// A stream without a notice says in this interval that it works.
const HEARTBEAT: Duration = Duration::from_secs(15);

#[derive(Clone)]
pub struct Shop {
    rows: Arc<Mutex<Rows>>,
    notices: broadcast::Sender<String>,
}

#[derive(Default)]
struct Rows {
    orders: Vec<Value>,
    /// The names of the customers, and how much each of them has spent.
    customers: BTreeMap<String, u64>,
    /// The number of writes.
    writes: u64,
}

impl Rows {
    /// The cursor of a database with one writer: the number of the next write, twice.
    fn cursor(&self) -> String {
        format!("shop:{0}:{0}:", self.writes + 1)
    }
}

impl Shop {
    /// Serves an empty shop on a free port.
    pub async fn serve() -> io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shop = Self { rows: Arc::default(), notices: broadcast::Sender::new(64) };
        let app = Router::new()
            .route("/api/orders", get(orders))
            .route("/api/customers/{name}", get(customer))
            .route("/api/v1/stream", get(frames))
            .with_state(shop.clone());
        tokio::spawn(axum::serve(listener, app).into_future());
        Ok((shop, address))
    }

    /// Places an order and returns its number.
    pub fn place(&self, customer: &str, amount: u64) -> usize {
        let mut rows = self.rows();
        let id = rows.orders.len();
        rows.orders.push(json!({"id": id, "customer": customer, "amount": amount}));
        *rows.customers.entry(customer.to_owned()).or_default() += amount;
        self.notify(&mut rows, "order.placed", json!({"customer": customer}));
        id
    }

    /// Removes all customers.
    #[allow(dead_code, reason = "the tests use it")]
    pub fn remove_customers(&self) {
        let mut rows = self.rows();
        rows.customers.clear();
        self.notify(&mut rows, "customers.removed", json!({}));
    }

    /// Reports a write while its rows are locked, so that the notices have the order of the writes.
    fn notify(&self, rows: &mut Rows, kind: &str, payload: Value) {
        rows.writes += 1;
        // Without a stream the notice is of no use.
        let _ = self.notices.send(frame(kind, payload, &rows.cursor()));
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn frame(kind: &str, payload: Value, cursor: &str) -> String {
    json!({"type": kind, "payload": payload, "cursor": cursor}).to_string()
}

async fn orders(State(shop): State<Shop>) -> Response {
    let rows = shop.rows();
    answer(StatusCode::OK, &json!(rows.orders), &rows)
}

async fn customer(State(shop): State<Shop>, Path(name): Path<String>) -> Response {
    let rows = shop.rows();
    match rows.customers.get(&name) {
        Some(spent) => answer(StatusCode::OK, &json!({"name": name, "spent": spent}), &rows),
        // The cursor tells the client that the customer is gone, and not the server.
        None => answer(StatusCode::NOT_FOUND, &Value::Null, &rows),
    }
}

fn answer(status: StatusCode, body: &Value, rows: &Rows) -> Response {
    let headers = [(CONTENT_TYPE.as_str(), "application/json".to_owned()), ("requery-cursor", rows.cursor())];
    (status, headers, body.to_string()).into_response()
}

async fn frames(State(shop): State<Shop>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let notices = shop.notices.subscribe();
    let first = frame("snapshot", json!({"heartbeat_ms": HEARTBEAT.as_millis()}), &shop.rows().cursor());
    let later = stream::unfold((notices, shop), |(mut notices, shop)| async move {
        let text = match timeout(HEARTBEAT, notices.recv()).await {
            Ok(Ok(notice)) => notice,
            Ok(Err(RecvError::Lagged(_))) => frame("resync", json!({"reason": "lag"}), &shop.rows().cursor()),
            Ok(Err(RecvError::Closed)) => return None,
            // A heartbeat promises no notice that a later one may still bring, so it takes the queue first.
            Err(_) => match notices.try_recv() {
                Ok(notice) => notice,
                Err(_) => frame("heartbeat", json!({}), &shop.rows().cursor()),
            },
        };
        Some((text, (notices, shop)))
    });
    Sse::new(stream::iter([first]).chain(later).map(|text| Ok(Event::default().data(text))))
}

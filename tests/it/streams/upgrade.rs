//! The upgrade to a WebSocket: requests that are refused, a message that comes with the request, and a first frame that
//! fails.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::app::{App, PATIENCE, by_engine};

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
const UPGRADE: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n";

#[tokio::test]
async fn a_request_that_is_no_upgrade_is_refused_with_the_reason() {
    let app = App::start().await;
    let valid = format!("{UPGRADE}{VERSION}{KEY}");
    let without_key = |key: &str| format!("{UPGRADE}{VERSION}{key}");
    let cases = [
        ("GET /ws HTTP/1.0", valid.clone(), "proxy_http_version 1.1"),
        ("GET /ws HTTP/1.1", format!("{VERSION}{KEY}"), "Upgrade: websocket"),
        ("GET /ws HTTP/1.1", format!("{UPGRADE}{KEY}"), "Sec-WebSocket-Version is not 13"),
        ("GET /ws HTTP/1.1", format!("{UPGRADE}Sec-WebSocket-Version: 8\r\n{KEY}"), "Sec-WebSocket-Version is not 13"),
        ("GET /ws HTTP/1.1", without_key(""), "Sec-WebSocket-Key is missing"),
        ("GET /ws HTTP/1.1", without_key("Sec-WebSocket-Key: abc\r\n"), "16 bytes"),
        ("GET /ws HTTP/1.1", without_key("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n"), "16 bytes"),
        ("GET /ws HTTP/1.1", without_key("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j*Q==\r\n"), "16 bytes"),
        ("GET /ws HTTP/1.1", without_key("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTE=\r\n"), "16 bytes"),
        ("GET /ws HTTP/1.1", without_key(&format!("{KEY}{KEY}")), "16 bytes"),
    ];
    for (line, headers, reason) in cases {
        let answer = answer(&app, line, &headers).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(head.split(' ').nth(1), Some("400"), "{line} {headers} {answer}");
        assert!(head.contains("application/problem+json") && head.contains("sec-websocket-version: 13"), "{head}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert!(body["detail"].as_str().unwrap().contains(reason), "{body}");
    }
    // The answer to `HEAD` has no body and no upgrade.
    assert!(answer(&app, "HEAD /ws HTTP/1.1", &valid).await.starts_with("HTTP/1.1 400 "));
}

/// The message is in one packet with the request, so the server can read it before it sends its first frame.
#[tokio::test]
async fn a_message_with_the_upgrade_is_answered_after_the_first_frame() {
    let app = App::start().await;
    let watch = json!({"type": "watch", "payload": {"read_models": ["overview"]}}).to_string();
    let request = format!("GET /ws HTTP/1.1\r\nHost: {}\r\n{UPGRADE}{VERSION}{KEY}\r\n", app.address);
    // A frame of text with a mask of zeros.
    let head = [0x81, 0x80 | u8::try_from(watch.len()).unwrap(), 0, 0, 0, 0];
    for _ in 0..30 {
        let mut socket = TcpStream::connect(app.address).await.unwrap();
        socket.write_all(&[request.as_bytes(), &head, watch.as_bytes()].concat()).await.unwrap();
        let mut text = String::new();
        while !text.contains("\"watching\"") {
            text += &String::from_utf8_lossy(&read(&mut socket).await);
        }
        assert!(text.find("\"snapshot\"").is_some_and(|at| at < text.find("\"watching\"").unwrap()), "{text}");
    }
}

#[tokio::test]
async fn an_upgrade_past_a_limit_is_answered_with_the_time_to_wait() {
    let app = App::start_with(|config| config.max_streams = 1).await;
    let mut only = app.ws("").await;
    only.frame().await;
    let refused = answer(&app, "GET /ws HTTP/1.1", &format!("{UPGRADE}{VERSION}{KEY}")).await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("\r\nretry-after: 1\r\n"), "{refused}");
    let events = reqwest::get(app.url("/api/v1/stream")).await.unwrap();
    assert_eq!((events.status().as_u16(), &events.headers()["retry-after"]), (503, &"1".parse().unwrap()));
}

/// Every row can be read. A sum of figures that another program wrote fails, because it is over 64 bits.
#[tokio::test]
async fn a_stream_whose_first_frame_fails_ends_at_once() {
    let app = App::start().await;
    app.sql(by_engine("delete from folded", "update folded set next = 'x'"));
    let mut ws = app.ws("").await;
    assert_eq!(ws.closed().await, (1011, "the first frame could not be read".to_owned()));
    let events = reqwest::get(app.url("/api/v1/stream")).await.unwrap();
    assert_eq!(events.status(), 500);
    assert_eq!(events.headers()["content-type"], "application/problem+json");
}

/// The answer of the server to a request with this first line and these headers.
async fn answer(app: &App, line: &str, headers: &str) -> String {
    let mut socket = TcpStream::connect(app.address).await.unwrap();
    let request = format!("{line}\r\nHost: {}\r\n{headers}\r\n", app.address);
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !(text.ends_with('}') || text.contains(" 101 ") || line.starts_with("HEAD") && text.ends_with("\r\n\r\n")) {
        text += &String::from_utf8_lossy(&read(&mut socket).await);
    }
    text
}

async fn read(socket: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 * 1024);
    let length = timeout(PATIENCE, socket.read_buf(&mut bytes)).await.expect("bytes in time").unwrap();
    assert!(length > 0, "the server ended the connection");
    bytes
}

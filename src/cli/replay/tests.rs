//! Replays against an HTTP server that answers with a given list of statuses.

use std::path::Path;
use std::sync::{Arc, Mutex};

use poem::listener::TcpAcceptor;
use poem::{EndpointExt, Request, Response, Server};

use super::recording::Recording;
use super::{AgentRuntime, Api, Progress, Replay, ReplaySpeed, ReplayTally, runtime_of_file};

/// Replays `lines` to a server that answers with the statuses in `answers`, and with 204 afterwards. Returns the
/// requests that the server saw, with numbers in place of the delivery ids, and the tally.
async fn play(lines: &str, answers: &[u16]) -> (Vec<String>, ReplayTally) {
    let answers: Arc<Mutex<Vec<u16>>> = Arc::new(Mutex::new(answers.iter().rev().copied().collect()));
    let seen: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let endpoint = poem::endpoint::make({
        let seen = seen.clone();
        move |mut request: Request| {
            let (answers, seen) = (answers.clone(), seen.clone());
            async move {
                let delivery = request.header("requery-delivery").unwrap_or("none").to_owned();
                let body = request.take_body().into_string().await.expect("a body");
                seen.lock().expect("unpoisoned").push((delivery, format!("{} {body}", request.uri().path())));
                let status = answers.lock().expect("unpoisoned").pop().unwrap_or(204);
                let status = poem::http::StatusCode::from_u16(status).expect("a status");
                Response::builder().status(status).body(r#"{"title":"t","detail":"the detail"}"#)
            }
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let acceptor = TcpAcceptor::from_tokio(listener).expect("an acceptor");
    tokio::spawn(Server::new_with_acceptor(acceptor).run(endpoint.map_to_response()));

    let mut replay = Replay {
        api: Api::at(&format!("http://{address}")).expect("a URL"),
        speed: ReplaySpeed(None),
        runtime: AgentRuntime::ClaudeCode,
        give_up_after: None,
        progress: Progress::new(lines.len() as u64),
        tally: ReplayTally::default(),
    };
    replay.play(Recording::new(lines.as_bytes())).await.expect("played");
    let seen = seen.lock().expect("unpoisoned").clone();
    let mut deliveries: Vec<String> = Vec::new();
    let requests = seen.into_iter().map(|(delivery, request)| {
        let at = deliveries.iter().position(|known| *known == delivery).unwrap_or_else(|| {
            deliveries.push(delivery);
            deliveries.len() - 1
        });
        format!("{at} {request}")
    });
    (requests.collect(), replay.tally)
}

#[tokio::test]
async fn a_record_is_sent_again_with_the_same_delivery_id_until_it_is_accepted() {
    let (requests, tally) = play("{\"body\":1}\n{\"source\":\"codex\",\"body\":2}\n", &[503, 429]).await;
    assert_eq!(
        requests,
        [
            "0 /api/v1/hooks/claude-code 1",
            "0 /api/v1/hooks/claude-code 1",
            "0 /api/v1/hooks/claude-code 1",
            "1 /api/v1/hooks/codex 2",
        ]
    );
    assert_eq!(tally, ReplayTally { sent: 2, failed: 0, retried: 2 });
}

#[tokio::test]
async fn a_refused_or_broken_line_is_counted_and_not_sent_again() {
    let lines = "{\"body\":1}\nnonsense\n{\"source\":\"other\",\"body\":1}\n{\"body\":2}\n";
    let (requests, tally) = play(lines, &[422]).await;
    assert_eq!(requests, ["0 /api/v1/hooks/claude-code 1", "1 /api/v1/hooks/claude-code 2"]);
    assert_eq!(tally, ReplayTally { sent: 1, failed: 3, retried: 0 });
}

#[test]
fn the_speed_factor_divides_the_recorded_time() {
    let due = |speed: &str| ReplaySpeed::parse(speed).map(|speed| speed.due(Some(1500.0)).as_millis());
    assert_eq!(due("1"), Ok(1500));
    assert_eq!(due("20"), Ok(75));
    assert_eq!(due("0.5"), Ok(3000));
    assert_eq!(due("0"), Ok(0));
    assert_eq!(due("max"), Ok(0));
    for wrong in ["-1", "fast", "inf", "NaN", ""] {
        assert!(due(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_file_name_selects_the_runtime() {
    assert_eq!(runtime_of_file(Path::new("/codex/busy-day.jsonl")), AgentRuntime::ClaudeCode);
    assert_eq!(runtime_of_file(Path::new("Codex-two-sessions.jsonl")), AgentRuntime::Codex);
}

//! A feed as server-sent events. `data:` is the frame, `id:` the cursor from which a browser resumes.
//!
//! There is no `event:` field, since a browser drops named events that have no listener. A frame that is followed by
//! others with the same cursor has no `id:`: a client must not resume from a cursor before it has all its frames.

use bytes::Bytes;
use futures_util::StreamExt;
use poem::http::header;
use poem::{Body, Response};
use tokio_stream::Stream;

use crate::server::feed::{Feed, Outgoing};
use crate::server::hub::FeedLine;
use crate::server::metrics::StreamTransportName;

/// The response that carries `feed`. `held` is dropped when the stream ends.
pub fn response<H: Send + Sync + 'static>(feed: Feed, held: H) -> Response {
    Response::builder()
        .header(header::CONTENT_TYPE, "text/event-stream")
        .header(header::CACHE_CONTROL, "no-store")
        // A proxy that buffers responses would hold notices back.
        .header("x-accel-buffering", "no")
        .body(Body::from_bytes_stream(events(feed, held)))
}

fn events<H>(feed: Feed, held: H) -> impl Stream<Item = std::io::Result<Bytes>> {
    feed.map(move |outgoing| {
        let _ = &held;
        Ok(match outgoing {
            Outgoing::First(first) => text(&[first.line()]),
            Outgoing::Line(line) | Outgoing::Heartbeat(line) => text(&[line]),
            Outgoing::Burst(burst) => burst.wire(StreamTransportName::Events, text),
            Outgoing::Last(line, retry) => {
                let pause = share(u64::try_from(retry.as_millis()).unwrap_or(u64::MAX));
                [format!("retry: {pause}\n").as_bytes(), &text(&[line])].concat().into()
            }
            // The hub writes to no socket of server-sent events.
            Outgoing::Rest => Bytes::new(),
        })
    })
}

/// A random share of the longest pause. A browser waits exactly for the time that it was told, so each stream is told
/// another one. A browser repeats a failed attempt after the same time, so the share is not below an eighth.
fn share(longest: u64) -> u64 {
    fastrand::u64(longest / 8..=longest)
}

fn text(lines: &[FeedLine]) -> Bytes {
    let mut text = String::new();
    lines.iter().for_each(|line| event(&mut text, line));
    text.into()
}

fn event(text: &mut String, line: &FeedLine) {
    // The JSON has no line breaks, so the frame fits into one data line.
    text.push_str("data: ");
    text.push_str(&line.text);
    if let Some(cursor) = &line.cursor {
        text.push_str(&format!("\nid: {cursor}"));
    }
    text.push_str("\n\n");
}

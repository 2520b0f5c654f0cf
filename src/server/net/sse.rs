//! A feed as server-sent events. `data:` is the frame, `id:` the cursor from which a browser resumes.
//!
//! There is no `event:` field, since a browser drops named events that have no listener. A frame that is followed by
//! others with the same cursor has no `id:`: a client must not resume from a cursor before it has all its frames.

use futures_util::StreamExt;
use poem::http::header;
use poem::{Body, Response};
use tokio_stream::Stream;

use crate::server::feed::{Feed, Outgoing};
use crate::server::hub::FeedLine;

/// The response that carries `feed`. `held` is dropped when the stream ends.
pub fn response<H: Send + Sync + 'static>(feed: Feed, held: H) -> Response {
    Response::builder()
        .header(header::CONTENT_TYPE, "text/event-stream")
        .header(header::CACHE_CONTROL, "no-store")
        // A proxy that buffers responses would hold notices back.
        .header("x-accel-buffering", "no")
        .body(Body::from_bytes_stream(events(feed, held)))
}

fn events<H>(feed: Feed, held: H) -> impl Stream<Item = std::io::Result<Vec<u8>>> {
    feed.map(move |outgoing| {
        let _ = &held;
        let mut text = String::new();
        match outgoing {
            Outgoing::First(first) => event(&mut text, &first.line()),
            Outgoing::Line(line) | Outgoing::Heartbeat(line) => event(&mut text, &line),
            Outgoing::Burst(burst) => burst.lines().iter().for_each(|line| event(&mut text, line)),
            Outgoing::Last(line, retry) => {
                text.push_str(&format!("retry: {}\n", retry.as_millis()));
                event(&mut text, &line);
            }
            // The hub writes to no socket of server-sent events.
            Outgoing::Rest => {}
        }
        Ok(text.into_bytes())
    })
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

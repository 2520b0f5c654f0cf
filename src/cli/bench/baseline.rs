//! The baseline: a bare broadcast in this process.

use std::time::Duration;

use requery::protocol::Cursor;
use requery::server::BareBroadcast;
use reqwest::Url;
use tokio::time::Instant;

use super::BenchArgs;
use super::load::begin_at;
use super::watchers::{WatchedFigures, Watchers};

/// The longest time of the baseline.
const LONGEST: Duration = Duration::from_secs(10);
/// How long the last frames may take.
const ARRIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends the frames of the run again: as many watchers, a notice of the same text, and as many sends a second as the
/// server made flushes.
pub async fn measure(args: &BenchArgs, watched: &WatchedFigures, took: Duration) -> anyhow::Result<WatchedFigures> {
    let broadcast = BareBroadcast::start().await?;
    let url: Url = format!("http://{}/ws", broadcast.address).parse()?;
    let flushes = watched.arrived.flushes;
    let pace = flushes as f64 / took.as_secs_f64();
    let lasts = took.min(LONGEST);
    // A flush of the server had so many frames for each watcher.
    let frames = (watched.frames as f64 / (flushes.max(1) as f64 * f64::from(args.watchers))).round().max(1.0);
    let sends = (pace * lasts.as_secs_f64()).ceil().max(1.0) as u32;
    let watchers = Watchers::open(&url, args.watchers, false, sends.into()).await?;
    let delays = watchers.delays();
    let began = Instant::now();
    for number in 1..=sends {
        let cursor = Cursor::counter("baseline", number.into());
        let last = with_cursor(&watched.arrived.sample, &cursor);
        let earlier = with_more(&last);
        let at = begin_at(began + Duration::from_secs_f64(f64::from(number) / pace.max(1.0))).await;
        if delays.begin(at) {
            delays.end(at, Some(&cursor));
        }
        // As on the server, a watcher has the cursor with the last frame of the flush.
        for _ in 1..frames as u32 {
            broadcast.send(&earlier);
        }
        broadcast.send(&last);
        delays.settle();
    }
    watchers.wait_for(&Cursor::counter("baseline", sends.into()), ARRIVE_TIMEOUT).await;
    let watched = watchers.end();
    broadcast.stop().await;
    Ok(watched)
}

/// The frame with the mark of a frame that others follow.
fn with_more(frame: &str) -> String {
    match frame.strip_suffix('}') {
        Some(fields) => format!(r#"{fields},"more":true}}"#),
        None => frame.to_owned(),
    }
}

/// The frame with another cursor.
fn with_cursor(frame: &str, cursor: &Cursor) -> String {
    const NAME: &str = "\"cursor\":\"";
    let found = frame.find(NAME).and_then(|at| {
        let start = at + NAME.len();
        Some((start, start + frame[start..].find('"')?))
    });
    match found {
        Some((start, end)) => format!("{}{cursor}{}", &frame[..start], &frame[end..]),
        // The run had no notice of an event.
        None => format!(r#"{{"type":"event.logged","payload":{{}},"cursor":"{cursor}"}}"#),
    }
}

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

/// The figures of the baseline.
pub struct Baseline {
    pub watched: WatchedFigures,
    /// The milliseconds from a send to each watcher.
    pub delays: Vec<f64>,
}

/// Sends the frames of the run again: as many watchers, a notice of the same text, and as many sends a second as the
/// server made flushes.
pub async fn measure(args: &BenchArgs, watched: &WatchedFigures, took: Duration) -> anyhow::Result<Baseline> {
    let broadcast = BareBroadcast::start().await?;
    let url: Url = format!("http://{}/ws", broadcast.address).parse()?;
    let watchers = Watchers::open(&url, args.watchers, false).await?;
    let pace = watched.flushes() as f64 / took.as_secs_f64();
    let lasts = took.min(LONGEST);
    // A flush of the server had so many frames for each watcher.
    let frames =
        (watched.frames as f64 / (watched.flushes().max(1) as f64 * f64::from(args.watchers))).round().max(1.0);
    let sends = (pace * lasts.as_secs_f64()).ceil().max(1.0) as u32;
    let mut sent = Vec::new();
    let began = Instant::now();
    for number in 1..=sends {
        let cursor = Cursor::counter("baseline", number.into());
        let text = with_cursor(&watched.sample, &cursor);
        sent.push((cursor, begin_at(began + Duration::from_secs_f64(f64::from(number) / pace.max(1.0))).await));
        for _ in 0..frames as u32 {
            broadcast.send(&text);
        }
    }
    if let Some((last, _)) = sent.last() {
        watchers.wait_for(last, ARRIVE_TIMEOUT).await;
    }
    let watched = watchers.end();
    broadcast.stop().await;
    let delays = watched.delays(&sent);
    Ok(Baseline { watched, delays })
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

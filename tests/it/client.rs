//! The client module against real servers: transports, doors, typed views, and other domains.

mod changes;
mod connection;
mod domains;
mod doors;
mod gate;
mod narrowing;
mod overlays;
mod views;

use std::time::Duration;

use requery::client::{BodyValue, Client, ClientConfig, HeldState, Source, View, WatchHandle};
use requery::engine::EngineSettings;
use requery::protocol::Cursor;
use tokio::time::timeout;

use crate::app::PATIENCE;
use crate::rest::Answer;
use crate::viewer::without_safety_refetch;

/// Settings with short waits after a failure, so that a test takes no seconds.
fn quick() -> EngineSettings {
    let mut settings = without_safety_refetch(EngineSettings::default());
    (settings.backoff_first, settings.backoff_most) = (Duration::from_millis(20), Duration::from_millis(50));
    settings
}

fn connect(server: &str, settings: EngineSettings) -> Client {
    Client::connect(ClientConfig::new(server).with_settings(settings)).unwrap()
}

/// Waits for a view with this property.
async fn until<T: BodyValue<S>, S: Source>(
    watch: &mut WatchHandle<T, S>,
    property: impl FnMut(&View<T>) -> bool,
) -> View<T> {
    let view = timeout(PATIENCE, watch.wait_for(property)).await;
    view.expect("the view never had the property").expect("the client has not ended")
}

async fn until_fresh<T: BodyValue<S>, S: Source>(watch: &mut WatchHandle<T, S>) -> View<T> {
    until(watch, |view| view.state == HeldState::Fresh).await
}

/// The cursor of a write.
fn cursor_of(answer: &Answer) -> Cursor {
    answer.header("requery-cursor").parse().unwrap()
}

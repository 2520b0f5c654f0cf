//! The tools of each actor in the demo: access to the server, random numbers, and pauses that can be sped up.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tracing::{debug, warn};

use crate::cli::api::{Api, CallError};

/// The pause before a request is sent again to a server that is away.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// The tools of one actor: an agent or the person.
pub struct DemoStage {
    api: Api,
    speed: f64,
    /// The random numbers. Each actor has its own generator, so that no actor changes the work of another.
    pub dice: fastrand::Rng,
}

impl DemoStage {
    /// The tools of an actor with its own random numbers.
    pub fn new(api: Api, speed: f64, seed: u64) -> Self {
        Self { api, speed, dice: fastrand::Rng::with_seed(seed) }
    }

    /// Waits for a random time between `from` and `to` seconds, divided by the speed.
    pub async fn pause(&mut self, from: f64, to: f64) {
        let seconds = from + (to - from) * self.dice.f64();
        tokio::time::sleep(Duration::from_secs_f64(seconds / self.speed)).await;
    }

    /// Returns `true` with a probability of `percent` percent.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.dice.u32(0..100) < percent
    }

    /// A random element of `choices`.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.dice.usize(0..choices.len())]
    }

    /// A random id with a prefix, in the form that runtimes use.
    pub fn id(&mut self, prefix: &str) -> String {
        format!("{prefix}{:016x}", self.dice.u64(..))
    }

    /// A UUID of version 4, made from the actor's random numbers so that a seed reproduces it.
    pub fn uuid(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.dice.u128(..).to_be_bytes()).into_uuid().hyphenated().to_string()
    }

    /// Sends the input of a hook until the server accepts or rejects it.
    pub async fn hook(&mut self, source: &str, body: &Value) {
        let delivery = self.uuid();
        loop {
            match self.api.hook(source, &delivery, body.to_string()).await {
                Ok(()) => return,
                Err(CallError::Away { why, .. }) => {
                    debug!("the demo waits for its server: {why}");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(refused @ CallError::Refused { .. }) => {
                    warn!("the server refused a hook of the demo: {refused}");
                    return;
                }
            }
        }
    }

    /// Calls the API. `None` if the server refuses the request: the person may have deleted its task.
    pub async fn call(&mut self, method: Method, path: &str, body: Value) -> Option<Value> {
        loop {
            match self.api.call(method.clone(), path, &body).await {
                Ok(answer) => return Some(answer),
                Err(CallError::Away { why, .. }) => {
                    debug!("the demo waits for its server: {why}");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(CallError::Refused { status, .. }) if matches!(status.as_u16(), 404 | 409) => return None,
                Err(refused @ CallError::Refused { .. }) => {
                    warn!("the server refused {method} {path} of the demo: {refused}");
                    return None;
                }
            }
        }
    }
}

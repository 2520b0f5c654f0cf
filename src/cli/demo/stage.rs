//! What everyone in the demo has: the server, dice, and time that can be sped up.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tracing::{debug, warn};

use crate::cli::api::{Api, CallError};

/// How long to wait for a server that is away.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Someone's place in the demo.
pub struct DemoStage {
    api: Api,
    speed: f64,
    /// The dice. Each actor has its own, so that one does not change another's work.
    pub dice: fastrand::Rng,
}

impl DemoStage {
    /// A place with dice of its own.
    pub fn new(api: Api, speed: f64, seed: u64) -> Self {
        Self { api, speed, dice: fastrand::Rng::with_seed(seed) }
    }

    /// Takes its time, between two numbers of seconds.
    pub async fn pause(&mut self, from: f64, to: f64) {
        let seconds = from + (to - from) * self.dice.f64();
        tokio::time::sleep(Duration::from_secs_f64(seconds / self.speed)).await;
    }

    /// Whether something happens that does so many times out of a hundred.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.dice.u32(0..100) < percent
    }

    /// One of several.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.dice.usize(0..choices.len())]
    }

    /// An id as runtimes make them.
    pub fn id(&mut self, prefix: &str) -> String {
        format!("{prefix}{:016x}", self.dice.u64(..))
    }

    /// A UUID of its own, of version 4 by the look of it.
    pub fn uuid(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.dice.u128(..).to_be_bytes()).into_uuid().hyphenated().to_string()
    }

    /// Reports what a hook was given, until the server takes or refuses it.
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
                    warn!("a hook of the demo was refused: {refused}");
                    return;
                }
            }
        }
    }

    /// Asks the API; the answer, or none if it refused: what was asked about may be gone by now.
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
                    warn!("{method} {path} of the demo was refused: {refused}");
                    return None;
                }
            }
        }
    }
}

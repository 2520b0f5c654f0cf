//! What the answers of models cost, and what became of the transcripts that say so.

use serde::{Deserialize, Serialize};

/// Tokens and cost, as far as transcripts tell. Nothing here is worked out from a list of prices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Usage {
    /// How many answers of models are counted; with none, nothing is known.
    pub answers: u64,
    /// Tokens that were sent and not kept in a cache.
    pub input_tokens: u64,
    /// Tokens that were answered.
    pub output_tokens: u64,
    /// Tokens that were sent before and read from the cache.
    pub cache_read_tokens: u64,
    /// Tokens that were sent and written to the cache.
    pub cache_write_tokens: u64,
    /// What the answers that state a cost cost together, in dollars; none does: `null`. It is all there is only where
    /// `answers_with_cost` is `answers`.
    pub cost_usd: Option<f64>,
    /// How many of the answers state a cost.
    pub answers_with_cost: u64,
}

/// The usage of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct ModelUsage {
    /// The model, as its runtime calls it; `null`: it did not say.
    pub model: Option<String>,
    /// What its answers cost.
    pub usage: Usage,
}

/// What became of the lines of transcripts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Imported {
    /// How many lines there were that are not blank.
    pub lines: u64,
    /// How many of them say nothing that is shown, such as snapshots of files.
    pub passed_over: u64,
    /// How many of them cannot be taken.
    pub skipped: u64,
    /// Why, of the first 20 of these.
    pub reasons: Vec<SkippedLine>,
    /// How many tasks are new.
    pub tasks: u64,
    /// How many events are new.
    pub events: u64,
    /// The usage that was not counted before.
    pub usage: Usage,
}

/// A line that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct SkippedLine {
    /// Its number, the first being 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

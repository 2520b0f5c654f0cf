//! The usage of models as transcripts report it, and the result of an import of transcripts.

use serde::{Deserialize, Serialize};

/// The tokens and the cost of the answers of models that transcripts report. No cost is computed from a list of prices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Usage {
    /// The number of counted answers; 0 means that no usage is known.
    pub answers: u64,
    /// Tokens that were sent without the cache.
    pub input_tokens: u64,
    /// Tokens of the answers.
    pub output_tokens: u64,
    /// Tokens that were read from the cache.
    pub cache_read_tokens: u64,
    /// Tokens that were sent and written to the cache.
    pub cache_write_tokens: u64,
    /// The sum of the costs that answers state, in dollars; `null` if no answer states one. The sum is complete only if
    /// `answers_with_cost` equals `answers`.
    pub cost_usd: Option<f64>,
    /// The number of answers that state a cost.
    pub answers_with_cost: u64,
}

/// The usage of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct ModelUsage {
    /// The name that the runtime gives the model; `null` if unknown.
    pub model: Option<String>,
    /// The usage of the model.
    pub usage: Usage,
}

/// The result of an import of transcripts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct Imported {
    /// The number of lines that are not blank.
    pub lines: u64,
    /// The number of lines without content to show, such as snapshots of files.
    pub passed_over: u64,
    /// The number of lines that cannot be imported.
    pub skipped: u64,
    /// The reasons for the first 20 lines that cannot be imported.
    pub reasons: Vec<SkippedLine>,
    /// The number of new tasks.
    pub tasks: u64,
    /// The number of new events.
    pub events: u64,
    /// The usage that was not counted before.
    pub usage: Usage,
}

/// A line that cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(poem_openapi::Object))]
#[non_exhaustive]
pub struct SkippedLine {
    /// The number of the line; the first line is 1.
    pub line: u64,
    /// The reason why the line cannot be imported.
    pub reason: String,
}

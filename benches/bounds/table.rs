//! The table of results, with one row for each figure.

use std::fmt;

/// A figure that was measured in several rounds.
pub struct Row {
    name: String,
    rounds: Vec<f64>,
    unit: &'static str,
    limit: Limit,
}

/// The bound of a figure.
#[derive(Clone, Copy)]
pub enum Limit {
    AtMost(f64),
    AtLeast(f64),
    /// The figure has no bound.
    Open,
}

impl Row {
    pub fn new(name: impl Into<String>, rounds: Vec<f64>, unit: &'static str, limit: Limit) -> Self {
        assert!(!rounds.is_empty(), "a figure without a round");
        Self { name: name.into(), rounds, unit, limit }
    }

    pub fn is_missed(&self) -> bool {
        let median = median(&self.rounds);
        match self.limit {
            Limit::AtMost(most) => median > most,
            Limit::AtLeast(least) => median < least,
            Limit::Open => false,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, median) = (self.unit, number(median(&self.rounds)));
        let (least, most) = (number(quantile(&self.rounds, 0.0)), number(quantile(&self.rounds, 1.0)));
        let bound = match self.limit {
            Limit::AtMost(most) => format!("≤ {}{unit}", number(most)),
            Limit::AtLeast(least) => format!("≥ {}{unit}", number(least)),
            Limit::Open => "-".to_owned(),
        };
        let verdict = match self.limit {
            Limit::Open => "",
            Limit::AtMost(_) | Limit::AtLeast(_) if self.is_missed() => "MISSED",
            Limit::AtMost(_) | Limit::AtLeast(_) => "ok",
        };
        write!(f, "| {:76} | {median}{unit} | {least} to {most} | {bound} | {verdict} |", self.name)
    }
}

pub fn print_head() {
    println!("| {:76} | median | least to most | bound | |", "figure");
    println!("| {:-<76} | --- | --- | --- | --- |", "");
}

pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value that this share of the values does not exceed.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// The value with three significant digits.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        large if large >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

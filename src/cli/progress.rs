//! The progress of a long command: a bar on a terminal, lines elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A progress bar.
pub struct Progress {
    /// The bar.
    pub bar: ProgressBar,
}

impl Progress {
    /// A bar for `size` bytes.
    pub fn new(size: u64) -> Self {
        let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {elapsed}, {eta} left");
        // The bar is drawn on stderr. If stderr is not a terminal, the bar is hidden.
        let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr());
        Self { bar: bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())) }
    }

    /// Prints a line above the bar.
    pub fn print(&self, line: &str) {
        self.bar.suspend(|| super::print_error(line));
    }
}

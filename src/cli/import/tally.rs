//! The summary of an import.

use std::fmt::Write;

use requery::protocol::model::Imported;

use crate::cli::counted::{counted, number};

/// The number of skipped lines that the summary lists with their reason.
const MAX_LISTED_REASONS: usize = 20;

/// The number of paths without a transcript that the summary lists.
const MAX_LISTED_FOREIGN: usize = 20;

/// The counts of an import.
#[derive(Default)]
pub struct ImportTally {
    /// The number of files that were read.
    pub files: u64,
    /// The number of bytes that were read.
    pub bytes: u64,
    /// The number of paths that could not be read.
    pub unreadable: u64,
    sum: Imported,
    /// The number of lines that are longer than the server accepts.
    too_long: u64,
    /// The paths that are no transcript or hold none, and how many there are.
    foreign: Vec<String>,
    foreign_paths: u64,
    is_named_path_foreign: bool,
    reasons: Vec<String>,
}

impl ImportTally {
    /// Adds the server's answer to a stretch.
    pub fn add(&mut self, imported: &Imported) {
        let (sum, usage) = (&mut self.sum, &imported.usage);
        sum.lines += imported.lines;
        sum.passed_over += imported.passed_over;
        sum.skipped += imported.skipped;
        sum.tasks += imported.tasks;
        sum.events += imported.events;
        sum.usage.answers += usage.answers;
        sum.usage.input_tokens += usage.input_tokens;
        sum.usage.output_tokens += usage.output_tokens;
        sum.usage.cache_read_tokens += usage.cache_read_tokens;
        sum.usage.cache_write_tokens += usage.cache_write_tokens;
        sum.usage.answers_with_cost += usage.answers_with_cost;
        if let Some(cost) = usage.cost_usd {
            *sum.usage.cost_usd.get_or_insert_default() += cost;
        }
    }

    /// Notes why the server skipped a line. The server's answer counts the line.
    pub fn skip(&mut self, file: &str, line: u64, reason: &str) {
        if self.reasons.len() < MAX_LISTED_REASONS {
            self.reasons.push(format!("{file}:{line}: {reason}"));
        }
    }

    /// Counts a line that was too long to be sent.
    pub fn skip_too_long(&mut self, file: &str, line: u64, reason: &str) {
        self.too_long += 1;
        self.skip(file, line, reason);
    }

    /// Notes a file that is no transcript, or a folder without any. `is_named`: the person named this path.
    pub fn note_foreign(&mut self, path: &str, is_named: bool) {
        self.foreign_paths += 1;
        self.is_named_path_foreign |= is_named;
        if self.foreign.len() < MAX_LISTED_FOREIGN {
            self.foreign.push(path.to_owned());
        }
    }

    /// Whether a path that the person named holds no transcript.
    pub fn is_named_path_foreign(&self) -> bool {
        self.is_named_path_foreign
    }

    /// The summary as lines of text.
    pub fn summary(&self, dry: bool, sessions: usize) -> String {
        let (sum, usage) = (&self.sum, &self.sum.usage);
        let lines = sum.lines + self.too_long;
        let mut text = format!("{} of {}, {}", counted(self.files, "file"), size(self.bytes), counted(lines, "line"));
        if dry {
            let _ = write!(text, ": {}, {}", counted(sessions as u64, "session"), counted(sum.events, "event"));
        } else {
            let _ = write!(text, ": {}, {}", counted(sum.tasks, "new task"), counted(sum.events, "new event"));
            if usage.answers > 0 {
                let sent = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
                let _ = write!(
                    text,
                    "\n{}: {} tokens sent ({} of them from the cache), {} answered",
                    counted(usage.answers, "new answer"),
                    number(sent),
                    number(usage.cache_read_tokens),
                    number(usage.output_tokens)
                );
            }
            if let Some(cost) = usage.cost_usd {
                let state =
                    if usage.answers_with_cost == 1 { "states its cost" } else { "state what they cost, together" };
                let _ = write!(text, "; {} of them {state} ${cost:.2}", usage.answers_with_cost);
            }
        }
        text.push('\n');
        let skipped = sum.skipped + self.too_long;
        if skipped > 0 {
            let _ = writeln!(text, "skipped {}:", counted(skipped, "line"));
            for reason in &self.reasons {
                let _ = writeln!(text, "  {reason}");
            }
            if skipped > self.reasons.len() as u64 {
                text += "  ...\n";
            }
        }
        if sum.passed_over > 0 {
            let _ = writeln!(text, "passed over {} without words or calls", counted(sum.passed_over, "record"));
        }
        for path in &self.foreign {
            let _ = writeln!(text, "no transcript of Claude Code in {path}");
        }
        if self.foreign_paths > self.foreign.len() as u64 {
            text += "  ...\n";
        }
        if self.unreadable > 0 {
            let _ = writeln!(text, "could not read {}", counted(self.unreadable, "path"));
        }
        text
    }
}

fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use requery::protocol::model::Imported;

    use super::ImportTally;

    #[test]
    fn a_summary_leaves_out_unknown_figures() {
        let mut tally = ImportTally { files: 1, bytes: 2048, ..ImportTally::default() };
        assert_eq!(tally.summary(false, 0), "1 file of 2.00 KiB, 0 lines: 0 new tasks, 0 new events\n");
        let mut imported = Imported::default();
        (imported.lines, imported.skipped, imported.tasks, imported.events) = (3, 1, 1, 2);
        (imported.usage.answers, imported.usage.input_tokens) = (1234, 1);
        (imported.usage.output_tokens, imported.usage.cache_read_tokens) = (2, 1000);
        tally.add(&imported);
        tally.skip("a.jsonl", 2, "not an object");
        tally.skip_too_long("a.jsonl", 9, "longer than 8 MiB");
        let expected = "1 file of 2.00 KiB, 4 lines: 1 new task, 2 new events\n\
            1,234 new answers: 1,001 tokens sent (1,000 of them from the cache), 2 answered\n\
            skipped 2 lines:\n  a.jsonl:2: not an object\n  a.jsonl:9: longer than 8 MiB\n";
        assert_eq!(tally.summary(false, 0), expected);
        let mut with_cost = Imported::default();
        (with_cost.usage.cost_usd, with_cost.usage.answers_with_cost) = (Some(0.125), 1);
        tally.add(&with_cost);
        let costly = expected.replace("2 answered\n", "2 answered; 1 of them states its cost $0.12\n");
        assert_eq!(tally.summary(false, 0), costly);
    }
}

//! What became of the transcripts, in words.

use std::fmt::Write;

use requery::protocol::model::Imported;

/// How many lines that were skipped are told one by one.
const TOLD: usize = 20;

/// What became of the transcripts.
#[derive(Default)]
pub struct Tally {
    /// How many files were read.
    pub files: u64,
    /// How long they are together.
    pub bytes: u64,
    /// What could not be read.
    pub unreadable: u64,
    told: Imported,
    /// Lines longer than the server would take.
    too_long: u64,
    reasons: Vec<String>,
}

impl Tally {
    /// Adds what became of a stretch.
    pub fn add(&mut self, imported: &Imported) {
        let (told, usage) = (&mut self.told, &imported.usage);
        told.lines += imported.lines;
        told.skipped += imported.skipped;
        told.tasks += imported.tasks;
        told.events += imported.events;
        told.usage.answers += usage.answers;
        told.usage.input_tokens += usage.input_tokens;
        told.usage.output_tokens += usage.output_tokens;
        told.usage.cache_read_tokens += usage.cache_read_tokens;
        told.usage.cache_write_tokens += usage.cache_write_tokens;
        told.usage.answers_with_cost += usage.answers_with_cost;
        if let Some(cost) = usage.cost_usd {
            *told.usage.cost_usd.get_or_insert_default() += cost;
        }
    }

    /// Notes why a line is skipped; the server counts it.
    pub fn skip(&mut self, file: &str, line: u64, reason: &str) {
        if self.reasons.len() < TOLD {
            self.reasons.push(format!("{file}:{line}: {reason}"));
        }
    }

    /// Counts a line that is not sent.
    pub fn skip_too_long(&mut self, file: &str, line: u64, reason: &str) {
        self.too_long += 1;
        self.skip(file, line, reason);
    }

    /// All of it, in lines.
    pub fn summary(&self, dry: bool, sessions: usize) -> String {
        let (told, usage) = (&self.told, &self.told.usage);
        let lines = told.lines + self.too_long;
        let mut text = format!("{} of {}, {}", count(self.files, "file"), size(self.bytes), count(lines, "line"));
        if dry {
            let _ = write!(text, ": {}, {}", count(sessions as u64, "session"), count(told.events, "event"));
        } else {
            let _ = write!(text, ": {}, {}", count(told.tasks, "new task"), count(told.events, "new event"));
            if usage.answers > 0 {
                let sent = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
                let _ = write!(
                    text,
                    "\n{}: {} tokens sent ({} of them from the cache), {} answered",
                    count(usage.answers, "new answer"),
                    number(sent),
                    number(usage.cache_read_tokens),
                    number(usage.output_tokens)
                );
            }
            if let Some(cost) = usage.cost_usd {
                let _ = write!(text, "; {} of them state what they cost, together ${cost:.2}", usage.answers_with_cost);
            }
        }
        text.push('\n');
        let skipped = told.skipped + self.too_long;
        if skipped > 0 {
            let _ = writeln!(text, "skipped {}:", count(skipped, "line"));
            for reason in &self.reasons {
                let _ = writeln!(text, "  {reason}");
            }
            if skipped > self.reasons.len() as u64 {
                text += "  ...\n";
            }
        }
        if self.unreadable > 0 {
            let _ = writeln!(text, "could not read {}", count(self.unreadable, "path"));
        }
        text
    }
}

fn count(count: u64, what: &str) -> String {
    format!("{} {what}{}", number(count), if count == 1 { "" } else { "s" })
}

/// With a comma between thousands.
fn number(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use requery::protocol::model::Imported;

    use super::Tally;

    #[test]
    fn a_summary_says_what_is_known_and_no_more() {
        let mut tally = Tally { files: 1, bytes: 2048, ..Tally::default() };
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
        let costly = expected.replace("2 answered\n", "2 answered; 1 of them state what they cost, together $0.12\n");
        assert_eq!(tally.summary(false, 0), costly);
    }
}

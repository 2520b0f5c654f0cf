//! Commits, pushes and pull requests that a command of the terminal made.
//!
//! A row is made only of a command that ended well. Where other commands follow, the result of the line does not tell
//! the result of the command, so its output has to.

use serde_json::{Map, Value};

use super::command_line::{Command, commands};
use crate::agent::hook_catalogue::HookName;
use crate::protocol::limits;
use crate::protocol::model::ToolFamily;
use crate::server::agents::hooks::record::HookRecord;
use crate::server::agents::hooks::timeline_row::TimelineRow;
use crate::server::agents::hooks::tool;
use crate::server::text;

/// The rows that one command line makes at most. The others are left out: a script that commits a hundred times is
/// one row for a person.
const MAX_ROWS: usize = 8;
/// The longest name of a branch, in bytes.
const MAX_BRANCH_BYTES: usize = 512;
/// The longest address, in bytes.
const MAX_ADDRESS_BYTES: usize = 1000;

/// The outcome of a record in version control.
#[derive(Default)]
pub struct GitOutcome {
    /// The rows for the timeline, in the order of the commands.
    pub rows: Vec<TimelineRow>,
    /// The branch that is known now.
    pub branch: Option<String>,
    /// The hash of the last commit.
    pub commit: Option<String>,
    /// The address of the last pull request.
    pub pull_request: Option<String>,
}

impl GitOutcome {
    /// The outcome of a record. Most records have none.
    pub fn of(record: &HookRecord) -> Self {
        let mut outcome = Self::default();
        let Some(line) = command_that_ended_well(record) else { return outcome };
        let steps: Vec<_> = commands(line).into_iter().filter_map(Step::of).collect();
        if steps.is_empty() {
            return outcome;
        }
        let output = TimelineRow::of(record).body.unwrap_or_default();
        let mut commits = output.lines().filter_map(Committed::read);
        let mut addresses = output.split_whitespace().filter(|word| is_pull_request(word));
        for step in steps {
            if outcome.rows.len() == MAX_ROWS {
                break;
            }
            match step.verb {
                Verb::Commit => outcome.take_commit(&step, commits.next()),
                Verb::Push => outcome.take_push(&step, &output),
                Verb::PullRequest => outcome.take_pull_request(&step, addresses.next()),
                Verb::Switch => outcome.branch = switched_to(&output).or(outcome.branch.take()),
            }
        }
        outcome
    }

    fn take_commit(&mut self, step: &Step, made: Option<Committed<'_>>) {
        if made.is_none() && !step.command.is_certain {
            return;
        }
        let hash = made.as_ref().map(|made| made.hash);
        let branch = made.as_ref().and_then(|made| made.branch);
        let subject = made.as_ref().map(|made| made.subject).or_else(|| step.value(&["-m", "--message"]));
        let title = match (hash, subject) {
            (Some(hash), Some(subject)) => format!("{hash} {subject}"),
            (None, Some(subject)) => subject.to_owned(),
            (Some(text), None) => text.to_owned(),
            (None, None) => "Commit".to_owned(),
        };
        self.rows.push(row("git.commit", &title, &[("commit", hash), ("branch", branch)]));
        self.commit = hash.map(str::to_owned).or(self.commit.take());
        self.branch = branch.map(str::to_owned).or(self.branch.take());
    }

    fn take_push(&mut self, step: &Step, output: &str) {
        let pushed = output.lines().find_map(Pushed::read);
        if pushed.is_none() && (!step.command.is_certain || output.contains("Everything up-to-date")) {
            return;
        }
        let mut named = step.words_without_options();
        let remote = named.next().filter(|remote| !remote.contains("://"));
        let named = named.next().map(|named| named.rsplit(':').next().unwrap_or(named)).filter(|it| *it != "HEAD");
        let branch = pushed.as_ref().and_then(|pushed| pushed.branch).or(named);
        let hash = pushed.as_ref().and_then(|pushed| pushed.hash);
        let title = [remote, branch].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let title = if title.is_empty() { "Push" } else { &title };
        self.rows.push(row("git.push", title, &[("remote", remote), ("branch", branch), ("commit", hash)]));
        let is_of_a_branch = pushed.as_ref().is_some_and(|pushed| pushed.branch.is_some());
        self.branch =
            branch.filter(|_| is_of_a_branch).filter(|it| is_branch(it)).map(str::to_owned).or(self.branch.take());
    }

    fn take_pull_request(&mut self, step: &Step, address: Option<&str>) {
        if address.is_none() && !step.command.is_certain {
            return;
        }
        let number = address.and_then(|address| address.rsplit('/').next());
        let title = match (number, step.value(&["-t", "--title"])) {
            (Some(number), Some(title)) => format!("#{number} {title}"),
            (Some(number), None) => format!("Pull request #{number}"),
            (None, title) => title.unwrap_or("Pull request").to_owned(),
        };
        self.rows.push(row("pull_request", &title, &[("url", address), ("number", number)]));
        self.pull_request = address.map(str::to_owned).or(self.pull_request.take());
    }
}

/// The command line of a terminal call that ended, and ended well.
fn command_that_ended_well(record: &HookRecord) -> Option<&str> {
    let is_terminal = record.text("tool_name").and_then(tool::family) == Some(ToolFamily::Terminal);
    let response = record.value("tool_response");
    let is = |field: &str| response.and_then(|it| it.get(field)).is_some_and(|it| *it != false && !it.is_null());
    let ended_well = record.hook == HookName::PostToolUse
        && !is("interrupted")
        && !is("backgroundTaskId")
        && tool::facts(record).get("exit_status").is_none_or(|status| *status == 0);
    record.value("tool_input").filter(|_| is_terminal && ended_well)?.get("command")?.as_str()
}

enum Verb {
    Commit,
    Push,
    PullRequest,
    Switch,
}

/// A command of version control.
struct Step {
    verb: Verb,
    command: Command,
    /// The place of the first word behind the verb.
    behind: usize,
}

impl Step {
    fn of(command: Command) -> Option<Self> {
        let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
        let (verb, behind) = match words[..] {
            ["git", ..] => {
                let mut at = 1;
                while let Some(word) = words.get(at).filter(|word| word.starts_with('-')) {
                    at += if matches!(*word, "-C" | "-c" | "--git-dir" | "--work-tree") { 2 } else { 1 };
                }
                let verb = match *words.get(at)? {
                    "commit" => Verb::Commit,
                    "push" => Verb::Push,
                    "switch" | "checkout" | "status" => Verb::Switch,
                    _ => return None,
                };
                (verb, at + 1)
            }
            ["gh", "pr", "create", ..] | ["glab", "mr", "create", ..] => (Verb::PullRequest, 3),
            _ => return None,
        };
        let changes_nothing = ["--dry-run", "--help", "-h", "--delete"];
        let is_dry = words[behind..].iter().any(|word| changes_nothing.contains(word))
            || (matches!(verb, Verb::Push) && words[behind..].iter().any(|word| matches!(*word, "-n" | "-d")));
        (!is_dry).then_some(Self { verb, command, behind })
    }

    /// The value of an option in its first line: `-m text`, `-am text` or `--message=text`. A text that the shell makes
    /// is not known.
    fn value(&self, names: &[&str; 2]) -> Option<&str> {
        let words = &self.command.words[self.behind..];
        let short = names[0].trim_start_matches('-');
        let value = words.iter().enumerate().find_map(|(at, word)| {
            let is_short = word.starts_with('-') && !word.starts_with("--") && word.ends_with(short);
            if is_short || word == names[1] {
                return words.get(at + 1).map(String::as_str);
            }
            word.strip_prefix(names[1])?.strip_prefix('=')
        });
        value
            .filter(|value| !value.contains("$(") && !value.contains('`'))?
            .lines()
            .find(|line| !line.trim().is_empty())
    }

    /// The words behind the verb that are neither options nor redirections.
    fn words_without_options(&self) -> impl Iterator<Item = &str> {
        let words = self.command.words[self.behind..].iter().map(String::as_str);
        words.filter(|word| !word.starts_with('-') && !word.contains(['>', '<', '$', '`', ')']))
    }
}

/// A line of `git commit`, as in `[main 3f9d2c1] Round the total`.
struct Committed<'a> {
    branch: Option<&'a str>,
    hash: &'a str,
    subject: &'a str,
}

impl<'a> Committed<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (place, subject) = line.trim().strip_prefix('[')?.split_once("] ")?;
        let mut words = place.split_whitespace();
        let (first, hash) = (words.next()?, words.next_back()?);
        // Without a branch two words say so, and the second is `HEAD` in each language.
        let branch = Some(first).filter(|branch| words.next() != Some("HEAD") && is_branch(branch));
        is_hash(hash).then_some(Self { branch, hash, subject: subject.trim() })
    }
}

/// A line of `git push`, as in `1a2b3c4..5d6e7f8  main -> main`.
struct Pushed<'a> {
    branch: Option<&'a str>,
    hash: Option<&'a str>,
}

impl<'a> Pushed<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let line = line.trim();
        let (before, behind) = line.split_once(" -> ").filter(|_| !line.starts_with('!'))?;
        let target = behind.split_whitespace().next()?;
        let (moved, is_new) = match before.strip_prefix("* [new ") {
            Some(new) => (new, true),
            None => (before.trim_start_matches('+').trim_start(), false),
        };
        let hash = moved.split_whitespace().next()?.rsplit("..").next()?.trim_start_matches('.');
        let hash = Some(hash).filter(|hash| !is_new && is_hash(hash));
        let is_tag = is_new && !moved.starts_with("branch]");
        (is_new || hash.is_some()).then_some(Self { branch: Some(target).filter(|_| !is_tag), hash })
    }
}

/// The branch that `git switch`, `git checkout` or `git status` tells.
fn switched_to(output: &str) -> Option<String> {
    let told = |line: &'_ str| -> Option<String> {
        let line = line.trim();
        let quoted =
            line.strip_prefix("Switched to a new branch '").or_else(|| line.strip_prefix("Switched to branch '"));
        let branch = quoted.and_then(|quoted| quoted.strip_suffix('\'')).or_else(|| line.strip_prefix("On branch "))?;
        is_branch(branch).then(|| branch.to_owned())
    };
    output.lines().filter_map(told).next_back()
}

fn is_branch(text: &str) -> bool {
    (1..=MAX_BRANCH_BYTES).contains(&text.len()) && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn is_hash(text: &str) -> bool {
    (4..=64).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a word is the address of a pull request: the path ends with its number.
fn is_pull_request(word: &str) -> bool {
    let has_number = |mark: &str| {
        word.split_once(mark)
            .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit()))
    };
    let is_address = word.starts_with("https://") || word.starts_with("http://");
    is_address
        && word.len() <= MAX_ADDRESS_BYTES
        && !word.contains('@')
        && (has_number("/pull/") || has_number("/merge_requests/"))
}

fn row(kind: &'static str, title: &str, facts: &[(&str, Option<&str>)]) -> TimelineRow {
    let facts = facts.iter().filter_map(|(name, value)| Some(((*name).to_owned(), Value::from((*value)?))));
    TimelineRow {
        kind,
        family: None,
        title: text::one_line(title, limits::LINE_CHARACTERS),
        body: None,
        truncated: None,
        metadata: facts.collect::<Map<_, _>>(),
    }
}

#[cfg(test)]
mod tests;

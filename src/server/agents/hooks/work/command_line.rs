//! A command line of the terminal as the commands in it, each as its words.
//!
//! This is no shell. It knows quotes, backslashes, comments and here-documents, so that a word inside of a text is no
//! command, and the operators between two commands, so that the result of the whole line tells the result of a command.

/// A command of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// The words, without quotes.
    pub words: Vec<String>,
    /// Whether the command ran and ended well if the line ended well: only `&&` stands between the commands.
    pub is_certain: bool,
}

/// The longest line that is read, in bytes. A longer one is a script, and no command of a person.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// The commands of a line, in their order.
pub fn commands(line: &str) -> Vec<Command> {
    if line.len() > MAX_LINE_BYTES {
        return Vec::new();
    }
    let mut reader = Reader { rest: line.chars().peekable(), found: Vec::new(), words: Vec::new(), word: None };
    let is_certain = reader.read();
    let words = reader.found.into_iter().map(words_of_command).filter(|words| !words.is_empty());
    words.map(|words| Command { words, is_certain }).collect()
}

/// The words of a command without settings of the environment and without commands that run another one.
fn words_of_command(words: Vec<String>) -> Vec<String> {
    let runs_another = |word: &&String| {
        let is_setting = word
            .split_once('=')
            .is_some_and(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
        is_setting || matches!(word.as_str(), "sudo" | "env" | "time" | "command" | "exec" | "nice" | "(" | "{" | "!")
    };
    let skipped = words.iter().take_while(runs_another).count();
    words.into_iter().skip(skipped).collect()
}

struct Reader<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    found: Vec<Vec<String>>,
    words: Vec<String>,
    word: Option<String>,
}

impl Reader<'_> {
    /// Reads the whole line. Returns whether only `&&` stands between its commands.
    fn read(&mut self) -> bool {
        let mut only_and = true;
        let mut ends_of_documents: Vec<String> = Vec::new();
        let mut has_ended = false;
        while let Some(c) = self.rest.next() {
            // A command behind `;` or a line end makes the result of the line its own.
            if has_ended && !matches!(c, ' ' | '\t' | '\r' | '\n' | ';' | '#') {
                only_and = false;
            }
            match c {
                '\'' => self.quoted('\''),
                '"' => self.quoted('"'),
                '\\' => match self.rest.next() {
                    Some('\n') | None => {}
                    Some(escaped) => self.push(escaped),
                },
                '#' if self.word.is_none() => while self.rest.next_if(|c| *c != '\n').is_some() {},
                ' ' | '\t' | '\r' => self.end_word(),
                '(' | ')' if self.word.is_none() => only_and = false,
                '\n' => {
                    self.end_command();
                    for end in ends_of_documents.drain(..) {
                        self.skip_document(&end);
                    }
                    has_ended = true;
                }
                ';' => {
                    self.end_command();
                    has_ended = true;
                }
                '&' if self.rest.next_if_eq(&'&').is_some() => self.end_command(),
                '&' if self.word.as_deref().is_some_and(|word| word.ends_with('>')) => self.push('&'),
                '&' if self.rest.peek() == Some(&'>') => self.push('&'),
                '&' | '|' => {
                    only_and = false;
                    let _ = self.rest.next_if(|c| matches!(c, '|' | '&'));
                    self.end_command();
                }
                '<' if self.rest.next_if_eq(&'<').is_some() => {
                    if self.rest.next_if_eq(&'<').is_none() {
                        ends_of_documents.extend(self.end_of_document());
                    }
                }
                c => self.push(c),
            }
        }
        self.end_command();
        only_and
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }

    fn end_command(&mut self) {
        self.end_word();
        self.found.push(std::mem::take(&mut self.words));
    }

    fn quoted(&mut self, quote: char) {
        self.word.get_or_insert_default();
        while let Some(c) = self.rest.next() {
            match c {
                c if c == quote => return,
                '\\' if quote == '"' => {
                    if let Some(escaped) = self.rest.next() {
                        self.push(escaped);
                    }
                }
                c => self.push(c),
            }
        }
    }

    /// The word at which a here-document ends.
    fn end_of_document(&mut self) -> Option<String> {
        self.end_word();
        let _ = self.rest.next_if_eq(&'-');
        while self.rest.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        let mut end = String::new();
        while let Some(c) = self.rest.next_if(|c| !c.is_whitespace() && !matches!(c, ';' | '&' | '|' | ')' | '>')) {
            if !matches!(c, '\'' | '"' | '\\') {
                end.push(c);
            }
        }
        (!end.is_empty()).then_some(end)
    }

    fn skip_document(&mut self, end: &str) {
        loop {
            let mut line = String::new();
            while let Some(c) = self.rest.next_if(|c| *c != '\n') {
                line.push(c);
            }
            let is_last = self.rest.next().is_none();
            if is_last || line.trim() == end {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::commands;

    #[test]
    fn a_line_is_read_as_commands_of_words() {
        for (line, expected) in [
            ("git commit -m 'a && b; c'", "git|commit|-m|a && b; c +"),
            ("git add -A && git commit -m \"say \\\"x\\\"\"", "git|add|-A + git|commit|-m|say \"x\" +"),
            ("A=1 sudo git push", "git|push +"),
            ("git commit -m x; echo done", "git|commit|-m|x - echo|done -"),
            ("git push;\n", "git|push +"),
            ("git push\n# said\n", "git|push +"),
            ("git push 2>&1 | tail -n 2", "git|push|2>&1 - tail|-n|2 -"),
            ("false || git push", "false - git|push -"),
            ("git push &", "git|push -"),
            ("echo 'git push' # git push", "echo|git push +"),
            ("cat > notes <<'END'\ngit push\nEND\ngit status", "cat|>|notes - git|status -"),
            ("cat > notes <<END\ngit push\nEND\n", "cat|>|notes +"),
            ("cat <<", "cat +"),
            (
                "git commit -m \"$(cat <<'EOF'\nfix: x\n\nmore\nEOF\n)\"",
                "git|commit|-m|$(cat <<'EOF'\nfix: x\n\nmore\nEOF\n) +",
            ),
            ("(cd web; git push)", "cd|web - git|push) -"),
            ("git push 'a", "git|push|a +"),
            ("", ""),
        ] {
            let found: Vec<String> = commands(line)
                .into_iter()
                .map(|command| format!("{} {}", command.words.join("|"), if command.is_certain { "+" } else { "-" }))
                .collect();
            assert_eq!(found.join(" "), expected, "{line}");
        }
        assert_eq!(commands(&"git push; ".repeat(10_000)), Vec::new());
    }
}

//! The command that an agent runs: quoted for a shell, and recognised again.

use std::path::Path;

use requery::agent::runtime::AgentRuntime;

/// The command of one of our hooks, as words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledCommand {
    /// The program.
    pub program: String,
    /// The server it names.
    pub server: Option<String>,
}

/// The command that runs `program` for an agent.
pub fn write(program: &Path, agent: AgentRuntime, options: &[(&str, &str)]) -> anyhow::Result<String> {
    let Some(program) = program.to_str() else {
        anyhow::bail!("the path {} is not UTF-8, so a settings file cannot hold it", program.display());
    };
    let mut words = vec![quoted(program), "hook".to_owned(), agent.as_str().to_owned()];
    for (option, value) in options {
        words.extend([(*option).to_owned(), quoted(value)]);
    }
    Ok(words.join(" "))
}

/// Reads a command. `None` if it is not one of ours. The folder of the program is not compared, since the program may
/// have moved.
pub fn read(command: &str, agent: AgentRuntime) -> Option<InstalledCommand> {
    let words = words(command)?;
    let [program, hook, of, options @ ..] = words.as_slice() else { return None };
    let name = program.rsplit(['/', '\\']).next().unwrap_or_default();
    if !name.starts_with("requery") || hook != "hook" || of != agent.as_str() {
        return None;
    }
    let server = options.iter().position(|word| word == "--server").and_then(|at| options.get(at + 1));
    Some(InstalledCommand { program: program.clone(), server: server.cloned() })
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The words of a command. `None` if the command has shell syntax, such as a pipe.
fn words(command: &str) -> Option<Vec<String>> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => word.push(chars.next()?),
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            ';' | '|' | '&' | '\n' | '<' | '>' | '(' | ')' | '`' => return None,
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use requery::agent::runtime::AgentRuntime;

    use super::{read, write};

    #[test]
    fn a_written_command_is_recognised_again() {
        for program in ["/usr/bin/requery", "/home/a b/it's \"here\"/requery", "/été/$HOME/`x`/requery-2"] {
            let options = [("--server", "http://h:1")];
            let command = write(Path::new(program), AgentRuntime::Codex, &options).expect("written");
            let known = read(&command, AgentRuntime::Codex).expect("ours");
            assert_eq!((known.program.as_str(), known.server.as_deref()), (program, Some("http://h:1")));
            assert_eq!(read(&command, AgentRuntime::ClaudeCode), None);
        }
        assert_eq!(write(Path::new("/a/requery"), AgentRuntime::Codex, &[]).expect("written"), "/a/requery hook codex");
    }

    #[test]
    fn commands_of_the_user_are_not_ours() {
        for command in [
            "notify requery hook codex",
            "/usr/bin/requery watch",
            "/usr/bin/requery hook codex; rm x",
            "/usr/bin/requery hook codex | tee log",
            "/usr/bin/other hook codex",
            "'unfinished",
            "",
        ] {
            assert_eq!(read(command, AgentRuntime::Codex), None, "{command}");
        }
    }
}

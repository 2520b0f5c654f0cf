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
    /// The spool it names.
    pub spool: Option<String>,
}

/// The words in front of the program, in a check that the program is there. A hook that fails is shown to the person,
/// or keeps the agent from working, and a removed program would fail with every hook.
const CHECK: &str = "test ! -x ";
/// The words between the check and the command. The shell becomes the program, which stays a child of the agent.
const CHECKED: &str = " || exec ";

/// The command that runs `program` for an agent.
pub fn write(program: &Path, agent: AgentRuntime, options: &[(&str, &str)]) -> anyhow::Result<String> {
    let Some(program) = program.to_str() else {
        anyhow::bail!("the path {} is not UTF-8, so a settings file cannot hold it", program.display());
    };
    let mut words = vec![quoted(program), "hook".to_owned(), agent.as_str().to_owned()];
    for (option, value) in options {
        words.extend([(*option).to_owned(), quoted(value)]);
    }
    Ok(format!("{CHECK}{}{CHECKED}{}", words[0], words.join(" ")))
}

/// Reads a command, with or without its check. `None` if it is not one of ours. The folder of the program is not
/// compared, since the program may have moved.
pub fn read(command: &str, agent: AgentRuntime) -> Option<InstalledCommand> {
    let Some(checked) = command.strip_prefix(CHECK) else { return read_unchecked(command, agent) };
    // The path of the program may contain the words, too.
    checked.match_indices(CHECKED).find_map(|(at, between)| {
        let [program] = words(&checked[..at])?.try_into().ok()?;
        let command = read_unchecked(&checked[at + between.len()..], agent)?;
        (command.program == program).then_some(command)
    })
}

fn read_unchecked(command: &str, agent: AgentRuntime) -> Option<InstalledCommand> {
    let words = words(command)?;
    let [program, hook, of, options @ ..] = words.as_slice() else { return None };
    let name = program.rsplit(['/', '\\']).next().unwrap_or_default();
    if !name.starts_with("requery") || hook != "hook" || of != agent.as_str() {
        return None;
    }
    let option = |name: &str| options.iter().position(|word| word == name).and_then(|at| options.get(at + 1)).cloned();
    Some(InstalledCommand { program: program.clone(), server: option("--server"), spool: option("--spool") })
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
        for program in
            ["/usr/bin/requery", "/home/a b/it's \"here\"/requery", "/été/$HOME/`x`/requery-2", "/a || exec b/requery"]
        {
            let options = [("--server", "http://h:1"), ("--spool", "/a spool")];
            let command = write(Path::new(program), AgentRuntime::Codex, &options).expect("written");
            let known = read(&command, AgentRuntime::Codex).expect("ours");
            assert_eq!((known.program.as_str(), known.server.as_deref()), (program, Some("http://h:1")));
            assert_eq!(known.spool.as_deref(), Some("/a spool"));
            assert_eq!(read(&command, AgentRuntime::ClaudeCode), None);
        }
        let command = write(Path::new("/a/requery"), AgentRuntime::Codex, &[]).expect("written");
        assert_eq!(command, "test ! -x /a/requery || exec /a/requery hook codex");
        assert!(read("/a/requery hook codex", AgentRuntime::Codex).is_some(), "the command of an older version");
    }

    #[test]
    fn commands_of_the_user_are_not_ours() {
        for command in [
            "notify requery hook codex",
            "/usr/bin/requery watch",
            "/usr/bin/requery hook codex; rm x",
            "/usr/bin/requery hook codex | tee log",
            "test ! -x /usr/bin/other || exec /usr/bin/requery hook codex",
            "test ! -x /usr/bin/requery || exec /usr/bin/requery hook codex; rm x",
            "/usr/bin/other hook codex",
            "'unfinished",
            "",
        ] {
            assert_eq!(read(command, AgentRuntime::Codex), None, "{command}");
        }
    }
}

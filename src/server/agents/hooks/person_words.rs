//! The words of the person in a prompt: the one rule for hooks, transcripts and titles.
//!
//! Clients put texts of their own into a prompt: the file that an editor shows, a reminder, the notice that background
//! work has ended, the prompt of a schedule. Such a text is an element with a known name, and it is cut out. In a
//! transcript a slash command is a list of elements; it becomes the command and its arguments, as the person typed it.
//! An element in quotes or in a block of code stays, because a person quotes it.

use std::borrow::Cow;

/// The names of the elements that clients write. A name with a `*` stands for all names with this beginning.
const ELEMENTS_OF_CLIENTS: &[&str] = &[
    "system-reminder",
    "task-notification",
    "scheduled-task",
    "ide_*",
    "local-command-*",
    "bash-input",
    "bash-stdout",
    "bash-stderr",
    "user-memory-input",
    "user-prompt-submit-hook",
    "new-diagnostics",
    "teammate-message",
    "cross-session-message",
];

/// The beginnings of lines that clients write.
const LINES_OF_CLIENTS: &[&str] = &["Caveat: The messages below were generated", "[Request interrupted by user"];

/// The elements of a slash command.
const COMMAND_NAME: &str = "command-name";
const COMMAND_ARGUMENTS: &str = "command-args";
const COMMAND_ELEMENTS: [&str; 4] = [COMMAND_NAME, COMMAND_ARGUMENTS, "command-message", "command-contents"];

/// The commands that the client carries out itself: the agent gets no prompt.
const COMMANDS_OF_CLIENTS: &[&str] = &[
    "add-dir",
    "agents",
    "background",
    "bashes",
    "branch",
    "bug",
    "clear",
    "color",
    "compact",
    "config",
    "context",
    "copy",
    "cost",
    "diff",
    "doctor",
    "effort",
    "exit",
    "export",
    "extra-usage",
    "fast",
    "feedback",
    "fork",
    "help",
    "hooks",
    "ide",
    "install-github-app",
    "keybindings",
    "login",
    "logout",
    "mcp",
    "memory",
    "model",
    "output-style",
    "permissions",
    "plugin",
    "privacy-settings",
    "quit",
    "release-notes",
    "reload-plugins",
    "remote-control",
    "rename",
    "resume",
    "rewind",
    "sandbox",
    "skills",
    "stats",
    "status",
    "tasks",
    "terminal-setup",
    "theme",
    "todos",
    "upgrade",
    "usage",
    "vim",
];

/// The words of the person in a prompt. None: the client wrote all of it, or it is blank.
pub fn of_prompt(prompt: &str) -> Option<Cow<'_, str>> {
    let words = without_elements_of_clients(prompt.trim());
    let words = match slash_command(words.trim()) {
        SlashCommand::None => words,
        SlashCommand::OfClient => return None,
        SlashCommand::Typed(command) => Cow::Owned(command),
    };
    let is_of_client = |line: &str| LINES_OF_CLIENTS.iter().any(|start| line.starts_with(start));
    let mut rest = words.trim();
    while is_of_client(rest) {
        rest = rest.split_once('\n').map_or("", |(_, behind)| behind.trim_start());
    }
    match rest {
        "" => None,
        rest if rest.len() == prompt.trim().len() => Some(Cow::Borrowed(prompt)),
        rest => Some(Cow::Owned(rest.to_owned())),
    }
}

/// Whether the client wrote all of a prompt. A blank prompt has no words, so the client did not write it either.
pub fn is_of_client(prompt: &str) -> bool {
    !prompt.trim().is_empty() && of_prompt(prompt).is_none()
}

/// How many elements of a prompt are looked at. Clients write one to three. The bound keeps a hostile prompt from
/// costing the square of its length.
const MAX_ELEMENTS: usize = 64;

/// An element of a text.
pub struct Element<'a> {
    /// The name.
    pub name: &'a str,
    /// The text between its tags. An element without an end reaches to the end of the text.
    pub inside: &'a str,
    /// The place behind the element, in the text around it.
    pub end: usize,
    is_closed: bool,
}

/// The text without the elements of clients. An element without an end is one only at the start of the text.
fn without_elements_of_clients(text: &str) -> Cow<'_, str> {
    let (mut kept, mut from, mut at, mut looked_at) = (String::new(), 0, 0, 0);
    while let Some(start) = text[at..].find('<').map(|found| at + found).filter(|_| looked_at < MAX_ELEMENTS) {
        at = start + 1;
        let Some(element) = element_at(text, start, is_of_clients) else { continue };
        looked_at += 1;
        let before = &text[from..start];
        let is_first = before.trim().is_empty() && kept.trim().is_empty();
        if !(element.is_closed || is_first) || is_quoted(text, start, element.end) {
            continue;
        }
        kept.push_str(before.trim_end_matches([' ', '\t']));
        (from, at) = (element.end, element.end);
    }
    if from == 0 {
        return Cow::Borrowed(text);
    }
    kept.push_str(&text[from..]);
    Cow::Owned(kept)
}

fn is_of_clients(name: &str) -> bool {
    ELEMENTS_OF_CLIENTS.iter().any(|known| match known.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == *known,
    })
}

/// Whether the element stands in quotes or in a block of code.
fn is_quoted(text: &str, start: usize, end: usize) -> bool {
    let fence = "```";
    let (before, behind) = (&text[..start], &text[end..]);
    before.ends_with(['`', '"', '\'', '“', '‘', '«'])
        || (before.matches(fence).count() % 2 == 1 && behind.contains(fence))
}

/// The element that begins at this place, if its name is known. An element of the same name may stand inside it.
pub fn element_at(text: &str, start: usize, is_known: impl Fn(&str) -> bool) -> Option<Element<'_>> {
    let behind = text[start..].strip_prefix('<')?;
    let length = behind.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')).count();
    let (name, attributes) = behind.split_at(length);
    if !attributes.starts_with(['>', ' ', '\t', '\r', '\n']) || !is_known(name) {
        return None;
    }
    let body = start + 1 + length + attributes.find('>')? + 1;
    let inside = &text[body..];
    Some(match end_of(inside, name) {
        Some(at) => Element { name, inside: &inside[..at], end: body + at + name.len() + "</>".len(), is_closed: true },
        None => Element { name, inside, end: text.len(), is_closed: false },
    })
}

/// The place of the end of the element, or of its first end if elements of the same name inside it have none.
fn end_of(inside: &str, name: &str) -> Option<usize> {
    let (opening, closing) = (format!("<{name}"), format!("</{name}>"));
    let (mut depth, mut first) = (0_usize, None);
    for (at, _) in inside.match_indices('<') {
        if inside[at..].starts_with(&closing) {
            if depth == 0 {
                return Some(at);
            }
            depth -= 1;
            first = first.or(Some(at));
        } else if inside[at..].starts_with(&opening) {
            depth += 1;
        }
    }
    first
}

enum SlashCommand {
    /// The text is no slash command.
    None,
    /// A command that the client carries out itself.
    OfClient,
    /// The command and the rest of the text, as a person types them.
    Typed(String),
}

/// The slash command that a text of a transcript begins with.
fn slash_command(text: &str) -> SlashCommand {
    let (mut rest, mut first) = (text, None);
    let (mut name, mut arguments) = (None, "");
    for _ in 0..MAX_ELEMENTS {
        let Some(element) = element_at(rest, 0, |name| COMMAND_ELEMENTS.contains(&name)) else { break };
        first = first.or(Some(element.name));
        match element.name {
            _ if !element.is_closed => return SlashCommand::OfClient,
            COMMAND_NAME => name = Some(element.inside.trim().trim_start_matches('/')),
            COMMAND_ARGUMENTS => arguments = element.inside.trim(),
            _ => {}
        }
        rest = rest[element.end..].trim_start();
    }
    let Some(first) = first else { return SlashCommand::None };
    let Some(name) = name.filter(|name| !name.is_empty() && !name.contains([' ', '\n', '<'])) else {
        return SlashCommand::OfClient;
    };
    // The client writes the name first only for a command that is its own or that it carries out itself.
    if first == COMMAND_NAME && COMMANDS_OF_CLIENTS.contains(&name) {
        return SlashCommand::OfClient;
    }
    let mut typed = format!("/{name}");
    for (separator, more) in [(" ", arguments), ("\n", rest)] {
        if !more.is_empty() {
            typed += separator;
            typed += more;
        }
    }
    SlashCommand::Typed(typed)
}

#[cfg(test)]
mod tests {
    use super::of_prompt;

    #[track_caller]
    fn check(prompt: &str, expected: Option<&str>) {
        assert_eq!(of_prompt(prompt).as_deref(), expected, "{prompt}");
    }

    #[test]
    fn texts_of_the_client_are_cut_out() {
        check("plant a tree", Some("plant a tree"));
        check(" \n ", None);
        check("<ide_opened_file>The file a.ts is open.</ide_opened_file>\nplant a tree", Some("plant a tree"));
        check("<ide_selection>line 1\nline 2</ide_selection>plant it", Some("plant it"));
        check("<system-reminder>Mind.</system-reminder>\nplant\n\nwater", Some("plant\n\nwater"));
        check("plant a tree\n\n<system-reminder>Mind.</system-reminder>", Some("plant a tree"));
        check("plant <system-reminder>Mind.</system-reminder> a tree", Some("plant a tree"));
        check("<task-notification>\n<status>completed</status>\n</task-notification>", None);
        check("<task-notification>a</task-notification>\n<task-notification>b</task-notification>", None);
        check("<scheduled-task name=\"morning\" id=\"4\">look again</scheduled-task>\nand water", Some("and water"));
        check("<system-reminder>a <system-reminder>b</system-reminder> c</system-reminder>\nplant", Some("plant"));
        check("<task-notification>the text was cut", None);
        check("[Request interrupted by user for tool use]", None);
        check("[Request interrupted by user]\nplant a tree", Some("plant a tree"));
        check("<local-command-stdout>Set model</local-command-stdout>", None);
    }

    #[test]
    fn words_about_an_element_stay() {
        for prompt in [
            "where does <system-reminder> come from?",
            "read `<system-reminder>x</system-reminder>` aloud",
            "mend this:\n```\n<task-notification>x</task-notification>\n```",
            "<b>plant</b> <!-- a tree -->",
            "<system-reminders>mine</system-reminders>",
            "a < b > c",
            "the tag <command-name>/plan</command-name> is odd",
            "<",
        ] {
            check(prompt, Some(prompt));
        }
    }

    #[test]
    fn a_slash_command_keeps_its_arguments() {
        let command = |message: &str, name: &str, arguments: &str| {
            format!(
                "<command-message>{message}</command-message>\n<command-name>{name}</command-name>\n\
                <command-args>{arguments}</command-args>"
            )
        };
        check(&command("plan is running…", "/plan", "a press"), Some("/plan a press"));
        check(&command("tidy", "tidy", ""), Some("/tidy"));
        check(&command("status", "/status", "of the press"), Some("/status of the press"));
        check(&command("x", "/garden:prune", "two\nlines"), Some("/garden:prune two\nlines"));
        check(
            &format!("<system-reminder>Mind.</system-reminder>\n{}", command("x", "/plan", "a press")),
            Some("/plan a press"),
        );
        check("<command-name>/review</command-name>\n<command-args>12</command-args>", Some("/review 12"));
        check("<command-name>/model</command-name>\n<command-message>model</command-message>", None);
        check("<command-name>/clear</command-name>\n            <command-args></command-args>", None);
        check("<command-message>tidy</command-message>", None);
    }

    #[test]
    fn a_hostile_text_costs_little() {
        let unclosed = "<ide_a>".repeat(20_000);
        let nested = format!("{}{}", "<ide_a>".repeat(10_000), "</ide_a>".repeat(10_000));
        check(&unclosed, None);
        check(&nested, None);
        assert!(of_prompt(&"<command-name>".repeat(20_000)).is_none());
        assert!(of_prompt(&format!("plant {unclosed}")).is_some());
    }

    /// The time of a text with many elements is not the square of its length.
    #[test]
    fn a_long_text_of_elements_is_read_once() {
        for element in ["<command-name>", "<system-reminder>", "<command-name></command-name>"] {
            let text = element.repeat(300_000);
            let words = of_prompt(&text);
            assert!(words.is_none_or(|words| words.len() <= text.len()));
        }
    }
}

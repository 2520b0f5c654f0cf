//! Adds our hooks to the text of a settings file and removes them again. The rest of the text stays, byte for byte.
//!
//! No I/O here. A hook is one line, with the line ends and the indentation of the file.

use std::collections::BTreeSet;

use requery::agent::runtime::AgentRuntime;

use super::json::{JsonNode, SettingsFlaw};

/// One of our hooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookCommand {
    /// The agent's name of the event.
    pub event: String,
    /// The command that the agent runs at the event.
    pub command: String,
    /// How long the command may take, in seconds.
    pub timeout: u32,
}

/// One of our hooks in a text, with its place in the lists of the event: the number of the group, and of the hook in
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedHook {
    /// The hook.
    pub hook: HookCommand,
    /// The number of the group.
    pub group: usize,
    /// The number of the hook in its group.
    pub number: usize,
}

/// The user's own containers, which stay although they are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptContainers {
    hooks: bool,
    events: BTreeSet<String>,
}

impl KeptContainers {
    /// The containers of a text from before our hooks were added.
    pub fn of(text: &str) -> Self {
        let hooks = JsonNode::parse(text).ok().and_then(|root| root.get("hooks"));
        Self {
            hooks: hooks.is_some(),
            events: hooks.iter().flat_map(JsonNode::members).map(|member| member.key).collect(),
        }
    }
}

/// The hooks in a text whose command is one of ours, in order.
///
/// # Errors
/// The text is not JSON.
pub fn find(text: &str, ours: impl Fn(&str) -> bool) -> Result<Vec<PlacedHook>, SettingsFlaw> {
    let mut found = Vec::new();
    if text_is_blank(text) {
        return Ok(found);
    }
    for member in JsonNode::parse(text)?.get("hooks").iter().flat_map(JsonNode::members) {
        for (group, entries) in member.value.items().iter().map(|group| group.get("hooks")).enumerate() {
            for (number, entry) in entries.iter().flat_map(JsonNode::items).enumerate() {
                let command = entry.get("command").and_then(|node| node.string());
                let Some(command) = command.filter(|command| ours(command)) else { continue };
                let timeout = entry.get("timeout").and_then(|node| node.source.parse().ok()).unwrap_or_default();
                let hook = HookCommand { event: member.key.clone(), command, timeout };
                found.push(PlacedHook { hook, group, number });
            }
        }
    }
    Ok(found)
}

/// Checks that the agent would run hooks in this file.
///
/// # Errors
/// The agent ignores such a file, so that hooks in it would never run.
pub fn check_read_by_agent(text: &str, agent: AgentRuntime) -> Result<(), SettingsFlaw> {
    if agent != AgentRuntime::Codex {
        return Ok(());
    }
    if text.starts_with('\u{feff}') {
        return Err(SettingsFlaw::at(
            0,
            "Codex ignores a file that begins with a byte order mark: save it without one",
        ));
    }
    if text_is_blank(text) {
        return Ok(());
    }
    let root = JsonNode::parse(text)?;
    let members = root.members();
    if let Some(other) = members.iter().find(|member| member.key != "hooks") {
        let reason = format!("Codex ignores a file with a member besides `hooks`, as `{}`: remove it", other.key);
        return Err(SettingsFlaw::at(other.value.start, reason));
    }
    match members.iter().filter(|member| member.key == "hooks").nth(1) {
        Some(second) => {
            Err(SettingsFlaw::at(second.value.start, "Codex ignores a file with two `hooks`: join the two"))
        }
        None => Ok(()),
    }
}

/// The text with these hooks added. A blank text becomes an object.
///
/// # Errors
/// The text is not JSON, or a value of another type stands in the place of a container of hooks.
pub fn add(text: &str, hooks: &[HookCommand]) -> Result<String, SettingsFlaw> {
    let mut text = text.to_owned();
    if text_is_blank(&text) {
        let mark = if text.starts_with('\u{feff}') { "\u{feff}" } else { "" };
        text = format!("{mark}{{}}{}", line_end(&text));
    }
    for hook in hooks {
        let root = JsonNode::parse(&text)?;
        expect_object(&root, "the settings")?;
        let layout = Layout::of(&text, &root);
        if root.get("hooks").is_none() {
            text = append(&text, &root, "\"hooks\": {}", &layout, 1);
        }
        let root = JsonNode::parse(&text)?;
        let all = root.get("hooks").ok_or_else(|| SettingsFlaw::at(root.start, "there are no hooks"))?;
        expect_object(&all, "hooks")?;
        let group = format!(
            r#"{{ "hooks": [{{ "type": "command", "command": {}, "timeout": {} }}] }}"#,
            serde_json::Value::from(hook.command.as_str()),
            hook.timeout
        );
        match all.get(&hook.event) {
            None => {
                let member = format!("{}: [{group}]", serde_json::Value::from(hook.event.as_str()));
                text = append(&text, &all, &member, &layout, 2);
            }
            Some(groups) if groups.is_array() => {
                text = append(&text, &groups, &group, &Layout { indent: None, ..layout }, 3);
            }
            Some(other) => return Err(SettingsFlaw::at(other.start, format!("hooks.{} is not a list", hook.event))),
        }
    }
    Ok(text)
}

/// The text without our hooks and without the containers that are empty then, except the ones in `kept`.
///
/// # Errors
/// The text is not JSON.
pub fn remove(text: &str, ours: impl Fn(&str) -> bool, kept: &KeptContainers) -> Result<String, SettingsFlaw> {
    let mut text = text.to_owned();
    if text_is_blank(&text) {
        return Ok(text);
    }
    while let Some(shorter) = remove_one(&text, &JsonNode::parse(&text)?, &ours, kept) {
        text = shorter;
    }
    Ok(text)
}

/// Whether a text is blank or an object without members.
pub fn is_empty(text: &str) -> bool {
    text_is_blank(text) || JsonNode::parse(text).is_ok_and(|root| root.is_object() && root.members().is_empty())
}

fn text_is_blank(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim_ascii().is_empty()
}

fn expect_object(node: &JsonNode, what: &str) -> Result<(), SettingsFlaw> {
    if node.is_object() { Ok(()) } else { Err(SettingsFlaw::at(node.start, format!("{what}: expected an object"))) }
}

/// The layout of a text.
struct Layout {
    line_end: &'static str,
    /// The indentation of one level. None: the first member stands on the line of the opening bracket.
    indent: Option<String>,
}

impl Layout {
    fn of(text: &str, root: &JsonNode) -> Self {
        let indent = match root.parts().first() {
            None => Some("  ".to_owned()),
            Some((first, _)) => text[root.start + 1..*first].rsplit_once('\n').map(|(_, indent)| indent.to_owned()),
        };
        Self { line_end: line_end(text), indent }
    }
}

fn line_end(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// Adds an item behind the last item of a container. The text between the last two items, or in front of the only one,
/// is the pattern for the text in front of the new one.
fn append(text: &str, container: &JsonNode, item: &str, layout: &Layout, depth: usize) -> String {
    let parts = container.parts();
    let Some((start, end)) = parts.last().copied() else {
        let (open, close) = (&text[..=container.start], &text[container.end - 1..]);
        return match &layout.indent {
            Some(indent) => {
                let line = |depth| format!("{}{}", layout.line_end, indent.repeat(depth));
                format!("{open}{}{item}{}{close}", line(depth), line(depth - 1))
            }
            None => format!("{open}{item}{close}"),
        };
    };
    let before = match parts.len() {
        1 => container.start + 1,
        more => parts[more - 2].1,
    };
    let between = text[before..start].trim_start_matches(|c: char| c.is_ascii_whitespace() && parts.len() > 1);
    let between = between.strip_prefix(',').unwrap_or(&text[before..start]);
    format!("{},{between}{item}{}", &text[..end], &text[end..])
}

/// Removes the first of our hooks, and the containers that are empty then.
fn remove_one(text: &str, root: &JsonNode, ours: impl Fn(&str) -> bool, kept: &KeptContainers) -> Option<String> {
    let settings = root.members();
    let at = settings.iter().rposition(|member| member.key == "hooks")?;
    let hooks = &settings[at].value;
    for (in_hooks, member) in hooks.members().iter().enumerate() {
        for (in_event, group) in member.value.items().iter().enumerate() {
            let Some(entries) = group.get("hooks") else { continue };
            let is_ours = |entry: &JsonNode| {
                entry.get("command").and_then(|node| node.string()).is_some_and(|command| ours(&command))
            };
            let Some(in_group) = entries.items().iter().position(is_ours) else { continue };
            return Some(if entries.items().len() > 1 {
                cut(text, &entries, in_group)
            } else if member.value.items().len() > 1 || kept.events.contains(&member.key) {
                cut(text, &member.value, in_event)
            } else if hooks.members().len() > 1 || kept.hooks {
                cut(text, hooks, in_hooks)
            } else {
                cut(text, root, at)
            });
        }
    }
    None
}

/// Cuts an item out of its container: the inverse of [`append`].
fn cut(text: &str, container: &JsonNode, item: usize) -> String {
    let parts = container.parts();
    let (from, to) = match (item.checked_sub(1), parts.get(item + 1)) {
        (Some(before), None) => (parts[before].1, parts[item].1),
        (_, Some(next)) => (parts[item].0, next.0),
        (None, None) => (container.start + 1, container.end - 1),
    };
    format!("{}{}", &text[..from], &text[to..])
}

#[cfg(test)]
mod tests;

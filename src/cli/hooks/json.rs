//! JSON values with their places in the text. An edit can so change one place and leave the rest of the text as it is.
//!
//! `serde_json` decides whether a text is JSON and where it is not. It accepts exactly the files that the agents
//! accept: Claude Code reads its settings with JavaScript's `JSON.parse`, Codex reads its `hooks.json` with
//! `serde_json`. A parser that accepts more would put our hooks into a file that the agent then ignores, and no error
//! would reach us.
//!
//! Comments and trailing commas are refused for that reason. Each client was run offline on 26 November 2026, once for
//! each file, with a `SessionStart` hook that creates a file:
//!
//! | file | Claude Code 2.1.197 and 2.1.332 | Codex 0.169.0 |
//! | --- | --- | --- |
//! | plain JSON | runs the hook | runs the hook |
//! | a `//` comment, before or inside the object | ignores the file | ignores the file |
//! | a `/* */` comment | ignores the file | ignores the file |
//! | a trailing comma, in an array or in an object | ignores the file | ignores the file |
//!
//! The results were the same for the user's file and for the project's file. An ignored file costs Claude Code all
//! other settings in it, too. Codex and Claude Code 2.1.332 print a warning; Claude Code 2.1.197 prints none.
//!
//! The crate `jsonc-parser` was tried and does not fit. When a hook is added and removed again, its syntax tree does
//! not restore the files `minified`, `on-one-line`, `trailing-spaces` and `two-of-a-name` of `tests/fixtures/settings`.
//! It writes each hook over ten lines. With all of its options off it still accepts comments (in the syntax tree), line
//! breaks inside strings, and space characters that JSON does not allow.

use serde::Deserializer;
use serde::de::{Deserialize, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value of a text.
#[derive(Clone, Copy, Debug)]
pub struct JsonNode<'a> {
    /// The byte of the text at which the value begins.
    pub start: usize,
    /// The byte of the text behind the value.
    pub end: usize,
    /// The value as it stands in the text.
    pub source: &'a str,
}

/// A member of an object.
#[derive(Clone, Debug)]
pub struct JsonMember<'a> {
    /// The byte of the text at which the key begins.
    pub start: usize,
    /// The key, without its escapes.
    pub key: String,
    /// The value.
    pub value: JsonNode<'a>,
}

/// The reason why a text is no settings file, and the place of the flaw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsFlaw {
    /// The byte offset in the text.
    pub at: usize,
    /// The reason.
    pub reason: String,
}

impl SettingsFlaw {
    /// The flaw at the byte offset `at`.
    pub fn at(at: usize, reason: impl Into<String>) -> Self {
        Self { at, reason: reason.into() }
    }

    /// The flaw that the parser reports. A comment and a trailing comma get their own reason, because many editors
    /// accept both in a settings file.
    fn of_syntax(json: &str, error: &serde_json::Error) -> Self {
        if error.is_eof() {
            return Self::at(json.len(), "the text ends too early");
        }
        let line_start: usize = json.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
        let at = json.floor_char_boundary(line_start + error.column().saturating_sub(1));
        let (before, rest) = json.as_bytes().split_at(at);
        if rest.starts_with(b"//") || rest.starts_with(b"/*") {
            return Self::at(at, "a comment, which JSON does not allow");
        }
        let before = before.trim_ascii_end();
        if (rest.starts_with(b"}") || rest.starts_with(b"]")) && before.ends_with(b",") {
            return Self::at(before.len() - 1, "a trailing comma, which JSON does not allow");
        }
        // The parser names the line at the end of its message; a flaw has its own place.
        let message = error.to_string();
        Self::at(at, message.split(" at line ").next().unwrap_or_default())
    }
}

impl<'a> JsonNode<'a> {
    /// The value of a whole text. A byte order mark in front of it is passed over.
    ///
    /// # Errors
    /// The text is not JSON.
    pub fn parse(text: &'a str) -> Result<Self, SettingsFlaw> {
        let json = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mark = text.len() - json.len();
        let raw: &RawValue = serde_json::from_str(json).map_err(|error| {
            let flaw = SettingsFlaw::of_syntax(json, &error);
            SettingsFlaw { at: flaw.at + mark, ..flaw }
        })?;
        Ok(Self { start: 0, end: text.len(), source: text }.child(raw))
    }

    /// The value of the last member of that key: `JSON.parse` lets the last of several win.
    pub fn get(&self, key: &str) -> Option<Self> {
        self.members().into_iter().rev().find(|member| member.key == key).map(|member| member.value)
    }

    /// The text of a string, without its escapes.
    pub fn string(&self) -> Option<String> {
        serde_json::from_str(self.source).ok()
    }

    /// Whether the value is an object.
    pub fn is_object(&self) -> bool {
        self.source.starts_with('{')
    }

    /// Whether the value is an array.
    pub fn is_array(&self) -> bool {
        self.source.starts_with('[')
    }

    /// The values of an array; none of any other value.
    pub fn items(&self) -> Vec<Self> {
        let items: Vec<&RawValue> = serde_json::from_str(self.source).unwrap_or_default();
        items.into_iter().map(|item| self.child(item)).collect()
    }

    /// The members of an object; none of any other value.
    pub fn members(&self) -> Vec<JsonMember<'a>> {
        let RawMembers(members) = serde_json::from_str(self.source).unwrap_or_default();
        let member = |(key, value)| {
            let key = self.child(key);
            // Half of a surrogate pair is legal in a file, but no string of Rust holds it. None of our keys has one.
            let name = key.string().unwrap_or_else(|| key.source.to_owned());
            JsonMember { start: key.start, key: name, value: self.child(value) }
        };
        members.into_iter().map(member).collect()
    }

    /// The places of the items or members: from the first byte to the byte behind the last.
    pub fn parts(&self) -> Vec<(usize, usize)> {
        let members = self.members().into_iter().map(|member| (member.start, member.value.end));
        members.chain(self.items().into_iter().map(|item| (item.start, item.end))).collect()
    }

    /// A value inside of this one. The parser borrows it from the text, so its address says where it stands.
    fn child(&self, raw: &'a RawValue) -> Self {
        let source = raw.get();
        let start = self.start + (source.as_ptr().addr() - self.source.as_ptr().addr());
        Self { start, end: start + source.len(), source }
    }
}

/// The keys and values of an object in order, several of one key included.
#[derive(Default)]
struct RawMembers<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for RawMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = RawMembers<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(RawMembers(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

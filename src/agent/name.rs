//! The name of the agent that sent a hook: a known runtime, or another program that sends hooks of the same form.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::runtime::AgentRuntime;

/// The longest name of an agent, in characters: as long as the contract allows a `source` to be.
pub const LONGEST_NAME: usize = 64;

/// The name of an agent on the wire: in `tasks.source` and in the path of its hooks. It has 1 to 64 characters from
/// `a-z`, `0-9`, `.`, `_` and `-`, and begins with a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AgentName(Cow<'static, str>);

/// A text that is no name of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must have 1 to {} characters from a-z, 0-9, `.`, `_` and `-`, and begin with a letter or a digit",
    LONGEST_NAME
)]
pub struct AgentNameError;

impl AgentName {
    /// The name as it is on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The runtime, if this program knows the agent. No fact but the form of the hooks is known of another agent.
    pub fn runtime(&self) -> Option<AgentRuntime> {
        self.0.parse().ok()
    }
}

impl From<AgentRuntime> for AgentName {
    fn from(runtime: AgentRuntime) -> Self {
        Self(Cow::Borrowed(runtime.as_str()))
    }
}

impl FromStr for AgentName {
    type Err = AgentNameError;

    fn from_str(text: &str) -> Result<Self, AgentNameError> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let begins = text.bytes().next().is_some_and(is_plain);
        let goes_on = text.bytes().all(|byte| is_plain(byte) || b"._-".contains(&byte));
        if begins && goes_on && text.len() <= LONGEST_NAME {
            Ok(Self(Cow::Owned(text.to_owned())))
        } else {
            Err(AgentNameError)
        }
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::AgentName;
    use crate::agent::runtime::AgentRuntime;

    #[test]
    fn a_name_is_a_short_word_in_lower_case() {
        let longest = "a".repeat(64);
        for name in ["qwen-code", "a", "0", "my_agent.2", "codex", &longest] {
            assert_eq!(name.parse::<AgentName>().map(|name| name.to_string()), Ok(name.to_owned()));
        }
        let too_long = "a".repeat(65);
        for text in ["", "-a", ".a", "_a", "Qwen", "a b", "a/b", "\u{e9}", "a\0", &too_long] {
            assert!(text.parse::<AgentName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_name_of_a_known_agent_has_its_runtime() {
        for runtime in AgentRuntime::ALL {
            assert_eq!(runtime.as_str().parse().ok(), Some(AgentName::from(runtime)));
            assert_eq!(AgentName::from(runtime).runtime(), Some(runtime));
        }
        assert_eq!("qwen-code".parse::<AgentName>().ok().and_then(|name| name.runtime()), None);
    }
}

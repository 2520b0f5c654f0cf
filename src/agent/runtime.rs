//! The coding agents that this program knows, each written once.
//!
//! The command line, the forwarder, the demo and the server derive their lists of agents from [`AgentRuntime::ALL`]. A
//! new agent is one variant and one row of facts; the compiler names the places that treat agents differently.

use std::fmt;
use std::str::FromStr;

/// A program that works as a coding agent and runs hooks.
///
/// The runtime follows from the endpoint of a record: the records of two runtimes look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AgentRuntime {
    /// Claude Code.
    ClaudeCode,
    /// Codex.
    Codex,
}

/// The facts of one runtime. No code outside this file needs to know which runtime has which facts.
struct RuntimeFacts {
    name: &'static str,
    product: &'static str,
    processes: &'static [&'static str],
    session_files: Option<&'static str>,
    folder_variable: &'static str,
    folder: &'static str,
    user_settings: &'static str,
    project_settings: &'static str,
    transcripts: Option<&'static str>,
}

const CLAUDE_CODE: RuntimeFacts = RuntimeFacts {
    name: "claude-code",
    product: "Claude Code",
    // The package of npm installs the program under the second name, and its background sessions run under that name.
    processes: &["claude", "claude.exe"],
    session_files: Some("sessions"),
    folder_variable: "CLAUDE_CONFIG_DIR",
    folder: ".claude",
    user_settings: "settings.json",
    project_settings: "settings.local.json",
    transcripts: Some("projects"),
};

const CODEX: RuntimeFacts = RuntimeFacts {
    name: "codex",
    product: "Codex",
    processes: &["codex"],
    session_files: None,
    folder_variable: "CODEX_HOME",
    folder: ".codex",
    user_settings: "hooks.json",
    project_settings: "hooks.json",
    // The transcripts of Codex have another format, which this program does not read.
    transcripts: None,
};

/// A text that names no known agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a known agent")]
pub struct UnknownRuntime(pub String);

impl AgentRuntime {
    /// Every known agent.
    pub const ALL: [Self; 2] = [Self::ClaudeCode, Self::Codex];

    fn facts(self) -> &'static RuntimeFacts {
        match self {
            Self::ClaudeCode => &CLAUDE_CODE,
            Self::Codex => &CODEX,
        }
    }

    /// The name on the wire: in `tasks.source`, in the endpoint of the hooks and on the command line.
    pub fn as_str(self) -> &'static str {
        self.facts().name
    }

    /// The name of the product, for people.
    pub fn product(self) -> &'static str {
        self.facts().product
    }

    /// The names of the agent's process, which the forwarder looks for above itself.
    pub fn process_names(self) -> &'static [&'static str] {
        self.facts().processes
    }

    /// The name of the agent's program, as a person types it.
    pub fn program(self) -> &'static str {
        self.facts().processes[0]
    }

    /// The folder in which each running session keeps a file with its status, in the agent's own folder. None: the
    /// agent keeps no such files.
    pub fn session_files_folder(self) -> Option<&'static str> {
        self.facts().session_files
    }

    /// The environment variable that names the agent's own folder.
    pub fn folder_variable(self) -> &'static str {
        self.facts().folder_variable
    }

    /// The name of the agent's own folder, in the home folder or in a project.
    pub fn folder_name(self) -> &'static str {
        self.facts().folder
    }

    /// The file of a person's hooks, in the agent's own folder.
    pub fn user_settings_file(self) -> &'static str {
        self.facts().user_settings
    }

    /// The file of a project's hooks, in the project's folder of that name. If the agent has a file that is not shared
    /// with other people, it is that file.
    pub fn project_settings_file(self) -> &'static str {
        self.facts().project_settings
    }

    /// The folder of the transcripts, in the agent's own folder. None: this program reads no transcripts of that agent.
    pub fn transcripts_folder(self) -> Option<&'static str> {
        self.facts().transcripts
    }
}

impl FromStr for AgentRuntime {
    type Err = UnknownRuntime;

    fn from_str(text: &str) -> Result<Self, UnknownRuntime> {
        Self::ALL.into_iter().find(|runtime| runtime.as_str() == text).ok_or_else(|| UnknownRuntime(text.to_owned()))
    }
}

impl fmt::Display for AgentRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::AgentRuntime;

    #[test]
    fn every_runtime_is_listed_and_parses_from_its_name() {
        // A variant that is missing from the list does not compile here.
        for (runtime, at) in AgentRuntime::ALL.into_iter().zip(0..) {
            let listed = match runtime {
                AgentRuntime::ClaudeCode => 0,
                AgentRuntime::Codex => 1,
            };
            assert_eq!(listed, at);
            assert_eq!(runtime.as_str().parse(), Ok(runtime));
        }
        assert!("Claude-Code".parse::<AgentRuntime>().is_err());
    }
}

//! The words by which a client picks events: the family of a tool and the lane. Notices name lanes, so the core without
//! `server` and `client` has them too.

use serde::Serialize;

use super::words::words;

words! {
    /// The family of a tool.
    ToolFamily {
        /// Runs commands.
        Terminal = "terminal",
        /// Changes files.
        File = "file",
        /// Reads and searches.
        Explore = "explore",
        /// Calls other agents.
        Agent = "agent",
        /// Calls a tool of an MCP server.
        Mcp = "mcp",
        /// Writes a todo list.
        Todo = "todo",
        /// Asks the person a question.
        Question = "question",
    }

    /// The row of a timeline in which an event is drawn.
    Lane {
        /// Messages of the person.
        User = "user",
        /// Answers of the agent.
        Assistant = "assistant",
        /// Reading and searching.
        Exploration = "exploration",
        /// Changes to files.
        Implementation = "implementation",
        /// Commands.
        Terminal = "terminal",
        /// Plans.
        Planning = "planning",
        /// Questions and requests for permission.
        Questions = "questions",
        /// Todo lists.
        Todos = "todos",
        /// Version control.
        Git = "git",
        /// Work of subagents.
        Background = "background",
        /// Calls to other agents and tools.
        Coordination = "coordination",
        /// All other events.
        System = "system",
    }
}

impl Lane {
    /// The lane of an event without a lane of its own.
    pub fn of(kind: &str, family: Option<ToolFamily>) -> Lane {
        match (kind, family) {
            ("user.message", _) => Lane::User,
            ("assistant.response" | "assistant.error", _) => Lane::Assistant,
            ("tool", Some(ToolFamily::Terminal)) => Lane::Terminal,
            ("tool", Some(ToolFamily::File)) => Lane::Implementation,
            ("tool", Some(ToolFamily::Explore)) => Lane::Exploration,
            ("tool", Some(ToolFamily::Agent | ToolFamily::Mcp) | None) => Lane::Coordination,
            ("tool", Some(ToolFamily::Todo)) | ("todo", _) => Lane::Todos,
            ("tool", Some(ToolFamily::Question)) => Lane::Questions,
            ("question" | "permission.requested" | "permission.denied", _) => Lane::Questions,
            ("plan", _) => Lane::Planning,
            ("subagent", _) => Lane::Background,
            ("git.status" | "git.commit" | "git.push" | "pull_request", _) => Lane::Git,
            _ => Lane::System,
        }
    }
}

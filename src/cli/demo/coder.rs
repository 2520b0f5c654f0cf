//! An agent that works on code and reports through its hooks, as Claude Code and Codex do.

use requery::agent::runtime::AgentRuntime;
use serde_json::{Value, json};

use super::stage::DemoStage;
use super::texts::{DemoProject, FOLLOW_UPS, PROJECTS, QUESTIONS, TODOS};

/// Runs one session after another. Claude Code has hooks for todos, questions and failed tools. Codex has none of them:
/// its failed commands report an exit code in their output.
pub async fn work(mut stage: DemoStage, runtime: AgentRuntime) {
    // The agents of a team start at different times.
    stage.pause(0.0, 4.0).await;
    loop {
        let project = &PROJECTS[stage.dice.usize(0..PROJECTS.len())];
        Session::start(&mut stage, runtime, project).await.play().await;
        stage.pause(3.0, 10.0).await;
    }
}

struct Session<'a> {
    stage: &'a mut DemoStage,
    runtime: AgentRuntime,
    project: &'static DemoProject,
    id: String,
    todos: usize,
}

impl<'a> Session<'a> {
    async fn start(stage: &'a mut DemoStage, runtime: AgentRuntime, project: &'static DemoProject) -> Self {
        let id = stage.uuid();
        let mut session = Self { stage, runtime, project, id, todos: 0 };
        session.report("SessionStart", json!({"source": "startup"})).await;
        session.stage.pause(1.0, 4.0).await;
        session
    }

    async fn play(mut self) {
        let (mut prompt, mut answer) = self.stage.one_of(self.project.jobs);
        loop {
            self.turn(prompt, answer).await;
            self.stage.pause(4.0, 12.0).await;
            if self.stage.chance(25) && self.runtime == AgentRuntime::ClaudeCode {
                let idle = json!({"notification_type": "idle_prompt", "message": "Claude is waiting for your input"});
                self.report("Notification", idle).await;
                self.stage.pause(2.0, 8.0).await;
            }
            if self.stage.chance(55) {
                break;
            }
            (prompt, answer) = self.stage.one_of(FOLLOW_UPS);
        }
        self.report("SessionEnd", json!({"reason": "prompt_input_exit"})).await;
    }

    /// One turn: from the prompt of the person to the answer of the agent.
    async fn turn(&mut self, prompt: &str, answer: &str) {
        self.report("UserPromptSubmit", json!({"prompt": prompt})).await;
        self.stage.pause(0.5, 2.0).await;
        let planned = self.runtime == AgentRuntime::ClaudeCode && self.stage.chance(50);
        if planned {
            self.plan().await;
        }
        self.explore(None).await;
        if self.stage.chance(30) {
            self.delegate().await;
        }
        if self.runtime == AgentRuntime::ClaudeCode && self.stage.chance(25) {
            self.ask().await;
        }
        self.change().await;
        if self.stage.chance(35) {
            self.run(self.project.test, Err("1 failed, 40 passed")).await;
            self.change().await;
        }
        self.run(self.project.test, Ok("41 passed")).await;
        if self.stage.chance(40) {
            self.run(self.project.lint, Ok("")).await;
        }
        if self.stage.chance(25) {
            self.run(self.project.build, Ok("done in 14.2 s")).await;
        }
        if self.stage.chance(15) {
            self.compact().await;
        }
        if self.stage.chance(45) && !self.push().await {
            return;
        }
        if planned {
            self.tick_off().await;
        }
        if self.runtime == AgentRuntime::ClaudeCode && self.stage.chance(10) {
            let overloaded = json!({"error": "overloaded", "last_assistant_message": "API Error: overloaded"});
            return self.report("StopFailure", overloaded).await;
        }
        let stop = json!({"stop_hook_active": false, "last_assistant_message": answer, "background_tasks": []});
        self.report("Stop", stop).await;
    }

    async fn explore(&mut self, agent: Option<&str>) {
        for _ in 0..self.stage.dice.usize(2..6) {
            let file = self.stage.one_of(self.project.files);
            let (tool, input) = match (self.runtime, self.stage.dice.usize(0..3)) {
                (AgentRuntime::Codex, _) => ("Bash", json!({"command": format!("sed -n 1,200p {file}")})),
                (AgentRuntime::ClaudeCode, 0) => ("Grep", json!({"pattern": "TODO|FIXME", "path": self.folder()})),
                (AgentRuntime::ClaudeCode, 1) => ("Glob", json!({"pattern": "**/*test*"})),
                (AgentRuntime::ClaudeCode, _) => ("Read", json!({"file_path": format!("{}/{file}", self.folder())})),
            };
            self.call(tool, input, Ok(json!("…")), agent, 0.3, 1.5).await;
        }
    }

    async fn change(&mut self) {
        let file = self.stage.one_of(self.project.files);
        let (tool, input) = match self.runtime {
            AgentRuntime::ClaudeCode => (
                "Edit",
                json!({"file_path": format!("{}/{file}", self.folder()), "old_string": "a", "new_string": "b"}),
            ),
            AgentRuntime::Codex => {
                let patch = format!("*** Begin Patch\n*** Update File: {file}\n@@\n-a\n+b\n*** End Patch\n");
                ("apply_patch", json!({"command": patch}))
            }
        };
        self.call(tool, input, Ok(json!({"success": true})), None, 0.5, 2.0).await;
    }

    async fn run(&mut self, command: &str, outcome: Result<&str, &str>) {
        let outcome = match (self.runtime, outcome) {
            (AgentRuntime::ClaudeCode, Ok(text)) => Ok(json!({"stdout": text, "stderr": "", "interrupted": false})),
            (AgentRuntime::ClaudeCode, Err(text)) => Err(format!("Exit code 1\n{text}")),
            (AgentRuntime::Codex, Ok(text)) => Ok(json!({"output": text, "metadata": {"exit_code": 0}})),
            (AgentRuntime::Codex, Err(text)) => Ok(json!({"output": text, "metadata": {"exit_code": 1}})),
        };
        self.call("Bash", json!({"command": command}), outcome, None, 2.0, 8.0).await;
    }

    /// Asks for permission to push. Returns `false` if the person refuses, which ends the turn.
    async fn push(&mut self) -> bool {
        let input = json!({"command": "git push -u origin HEAD", "description": "Push the branch"});
        let tool = json!({"tool_name": "Bash", "tool_input": input, "tool_use_id": self.stage.id("toolu_")});
        self.report("PreToolUse", tool.clone()).await;
        self.report("PermissionRequest", json!({"tool_name": "Bash", "tool_input": input})).await;
        self.stage.pause(4.0, 14.0).await;
        if self.stage.chance(20) {
            self.report("UserPromptSubmit", json!({"prompt": "Not yet, I want to look at it first."})).await;
            self.stage.pause(1.0, 3.0).await;
            let stop = json!({"last_assistant_message": "All right, nothing is pushed.", "background_tasks": []});
            self.report("Stop", stop).await;
            return false;
        }
        self.stage.pause(0.5, 2.0).await;
        self.report("PostToolUse", with(tool, json!({"tool_response": {"stdout": "branch pushed", "stderr": ""}})))
            .await;
        true
    }

    async fn ask(&mut self) {
        let (question, answer) = self.stage.one_of(QUESTIONS);
        let input = json!({"questions": [{"question": question, "header": "Choice", "options": [{"label": answer}]}]});
        self.call("AskUserQuestion", input, Ok(json!({"answers": {question: answer}})), None, 4.0, 12.0).await;
    }

    async fn delegate(&mut self) {
        let agent = self.stage.id("a");
        let input = json!({"description": "Look for other places", "subagent_type": "Explore"});
        let tool = json!({"tool_name": "Agent", "tool_input": input, "tool_use_id": self.stage.id("toolu_")});
        if self.runtime == AgentRuntime::ClaudeCode {
            self.report("PreToolUse", tool.clone()).await;
        }
        let agent_fields = json!({"agent_id": agent, "agent_type": "Explore"});
        self.report("SubagentStart", agent_fields.clone()).await;
        self.explore(Some(&agent)).await;
        let found = json!({"last_assistant_message": "Two more places do the same."});
        self.report("SubagentStop", with(agent_fields, found)).await;
        if self.runtime == AgentRuntime::ClaudeCode {
            self.report("PostToolUse", with(tool, json!({"tool_response": {"status": "completed"}}))).await;
        }
    }

    async fn plan(&mut self) {
        for (at, todo) in TODOS.iter().enumerate() {
            let id = (self.todos + at + 1).to_string();
            self.report("TaskCreated", json!({"task_id": id, "task_subject": todo})).await;
        }
        self.stage.pause(0.5, 1.5).await;
    }

    async fn tick_off(&mut self) {
        for todo in TODOS {
            self.todos += 1;
            self.report("TaskCompleted", json!({"task_id": self.todos.to_string(), "task_subject": todo})).await;
            self.stage.pause(0.1, 0.5).await;
        }
    }

    async fn compact(&mut self) {
        self.report("PreCompact", json!({"trigger": "auto"})).await;
        self.stage.pause(2.0, 5.0).await;
        self.report("PostCompact", json!({"trigger": "auto", "compact_summary": "The story so far."})).await;
    }

    async fn call(
        &mut self,
        name: &str,
        input: Value,
        outcome: Result<Value, String>,
        agent: Option<&str>,
        from: f64,
        to: f64,
    ) {
        let mut tool = json!({"tool_name": name, "tool_input": input, "tool_use_id": self.stage.id("toolu_")});
        if let Some(agent) = agent {
            tool = with(tool, json!({"agent_id": agent, "agent_type": "Explore"}));
        }
        self.report("PreToolUse", tool.clone()).await;
        self.stage.pause(from, to).await;
        let duration = json!({"duration_ms": self.stage.dice.u32(20..4000)});
        match outcome {
            Ok(response) => {
                self.report("PostToolUse", with(with(tool, duration), json!({"tool_response": response}))).await;
            }
            Err(error) => self.report("PostToolUseFailure", with(with(tool, duration), json!({"error": error}))).await,
        }
    }

    async fn report(&mut self, hook: &str, fields: Value) {
        let body = json!({
            "session_id": self.id,
            "transcript_path": null,
            "cwd": self.folder(),
            "permission_mode": "default",
            "hook_event_name": hook,
        });
        self.stage.hook(self.runtime.as_str(), &with(body, fields)).await;
    }

    fn folder(&self) -> String {
        format!("/home/dev/{}", self.project.name)
    }
}

/// Adds `fields` to an object.
fn with(mut object: Value, fields: Value) -> Value {
    if let (Value::Object(object), Value::Object(fields)) = (&mut object, fields) {
        object.extend(fields);
    }
    object
}

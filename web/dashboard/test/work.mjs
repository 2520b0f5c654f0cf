/** A task of an agent that is at work. Only hooks and SQL set the state of its work. */

/** The hooks of a session, with a folder that gives the task the project. */
export function agentOf(server, project, host = "north") {
  const hook = (hook_event_name, more = {}) =>
    server.hook(
      { session_id: project, cwd: `/home/dev/${project}`, hook_event_name, ...more },
      { "requery-host": host },
    );
  let calls = 0;
  const begin = async (tool_name, tool_input) => {
    calls += 1;
    const call = { tool_name, tool_input, tool_use_id: `call ${calls}` };
    await hook("PreToolUse", call);
    return call;
  };
  const end = (call, tool_response = {}) => hook("PostToolUse", { ...call, tool_response });
  const run = async (tool_name, tool_input, tool_response) => end(await begin(tool_name, tool_input), tool_response);
  return { hook, begin, end, run };
}

/** Work of each kind: a list, changed files, a branch with a commit and a pull request, and calls that run. */
export async function workOn(agent, { model = "opus", path = "src/totals.ts", entry = "Round the total" } = {}, cwd) {
  await agent.hook("SessionStart", { source: "startup", model });
  await agent.hook("UserPromptSubmit", { prompt: "Fix the rounding" });
  const todos = [
    { content: "Read the code", status: "completed" },
    { content: entry, status: "in_progress" },
    { content: "Run the tests", status: "pending" },
  ];
  await agent.run("TodoWrite", { todos });
  for (const text of ["a", "b"]) {
    await agent.run("Edit", { file_path: `${cwd}/${path}`, old_string: text, new_string: `${text}.` });
  }
  await agent.run(
    "Bash",
    { command: "git commit -m x && git push -u origin HEAD && gh pr create --fill" },
    {
      stdout:
        "[fix/x 3f9d2c1] x\nTo github.com:a/b.git\n * [new branch]      fix/x -> fix/x\nhttps://github.com/a/b/pull/7\n",
      stderr: "",
    },
  );
  const calls = [];
  for (const command of ["make the docs", "npm test", "npm run lint"])
    calls.push(await agent.begin("Bash", { command }));
  return calls;
}

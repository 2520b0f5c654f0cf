/** The coding agents: where each one runs, when it was last heard, its open sessions and its installation. */
import { useModel } from "../live";
import type { Agent } from "../rows";
import { count } from "../words";
import { Age } from "./age";
import { Belief } from "./belief";

export function Agents() {
  const { data } = useModel("agents");
  if (data === null || data.items.length === 0) return null;
  return (
    <section aria-labelledby="agents">
      <div class="heading">
        <h2 id="agents">Agents</h2>
        <Belief model="agents" />
      </div>
      <dl class="pairs agents">
        {data.items.map((agent) => (
          <div key={`${agent.source} ${agent.host}`}>
            <dt dir="auto">
              {agent.source}
              {agent.host === null ? "" : ` on ${agent.host}`}
            </dt>
            <dd>{agent.heard_at === null ? "not heard yet" : <Age time={agent.heard_at} />}</dd>
            <dd class="agent-state" dir="auto">
              {stateOf(agent)}
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

/**
 * The sessions of an agent are open, and not running: a session whose turn has ended is open too, and the figure
 * "running" counts tasks.
 */
function stateOf({ running, version, hooks }: Agent): string {
  const parts = [
    running > 0 ? count(running, "open session") : null,
    version === null ? null : `version ${version}`,
    hooks === null ? null : count(hooks, "hook"),
  ];
  return parts.filter((part) => part !== null).join(" · ");
}

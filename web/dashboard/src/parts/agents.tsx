/** The coding agents: where each one runs, its running sessions, and the minute in which it was last heard. */
import { useModel } from "../live";
import type { Agent } from "../rows";
import { number } from "../words";
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
      <dl class="pairs">
        {data.items.map((agent) => (
          <div key={`${agent.source} ${agent.host}`}>
            <dt dir="auto" title={installed(agent)}>
              {agent.source}
              {agent.host === null ? "" : ` on ${agent.host}`}
            </dt>
            <dd>
              {agent.running > 0 ? `${number(agent.running)} running · ` : ""}
              {agent.heard_at === null ? "not heard yet" : <Age time={agent.heard_at} />}
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function installed({ version, hooks }: Agent): string {
  const of = version === null ? "version not known" : `version ${version}`;
  return `${of}, ${hooks === null ? "hooks not known" : hooks === 1 ? "1 hook" : `${number(hooks)} hooks`}`;
}

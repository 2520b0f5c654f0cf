import { useQuery } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import type { components, Store } from "requery-client";
import { requeryKey, requeryOptions } from "requery-client/tanstack";

type Projects = components["schemas"]["ProjectPage"];

/** The overview is a read model, and the list of projects is a query that depends on it. */
export function Tasks({ store }: { store: Store }) {
  const { status } = store;
  const { name } = useSyncExternalStore(status.subscribe, status.getSnapshot);
  const overview = useQuery(requeryOptions(store, "overview"));
  const projects = useQuery({
    queryKey: requeryKey("overview", "projects"),
    queryFn: ({ signal }) => store.read<Projects>("api/v1/projects", "overview", signal),
    staleTime: Number.POSITIVE_INFINITY,
  });
  return (
    <main>
      <p id="status">{name}</p>
      <p id="projects">{projects.data?.items.map(({ project }) => project).join(", ")}</p>
      <ul id="tasks">
        {overview.data?.tasks.items.map((task) => (
          <li key={task.task_id}>
            {task.status}: {task.title}
          </li>
        ))}
      </ul>
      {overview.error && <p role="alert">{overview.error.message}</p>}
    </main>
  );
}

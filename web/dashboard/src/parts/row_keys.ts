/** The keys that act on the task of the focused row. */
import { deleteTask, finish, say } from "../actions";
import { useKeys } from "../keys";

export function useRowKeys(): void {
  useKeys([
    { key: "f", does: "finish the task of the row", group: "Tasks", run: () => onRow((id) => void finish(id)) },
    { key: "x", does: "delete the task of the row; u takes it back", group: "Tasks", run: () => onRow(deleteTask) },
  ]);
}

function onRow(act: (task_id: string, title: string) => void): void {
  const { row, task = row, title } = document.activeElement?.closest<HTMLElement>("[data-row]")?.dataset ?? {};
  if (task === undefined || title === undefined) say("Choose the row of a task first: j and k move between rows.");
  else act(task, title);
}

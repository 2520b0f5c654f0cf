/** The name of the shown task, for the title of the tab. */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

export const nameOfTask = signal<string | null>(null);

export function useTaskTitle(title: string | null): void {
  useEffect(() => {
    nameOfTask.value = title;
    return () => {
      nameOfTask.value = null;
    };
  }, [title]);
}

/** The screens and dialogs beside the first one. Their code is loaded on demand, or when the page has time. */
import { lazy } from "../parts/lazy";
import type { Screen } from "../route";

export const Tasks = lazy(() => import("./tasks").then((file) => file.Tasks));
export const TaskScreen = lazy(() => import("./task").then((file) => file.TaskScreen));
export const Bookmarks = lazy(() => import("./bookmarks").then((file) => file.Bookmarks));
export const Help = lazy(() => import("./help").then((file) => file.Help));
export const ProjectDialog = lazy(() => import("./projects").then((file) => file.ProjectDialog));

const OF_SCREENS = { tasks: Tasks, task: TaskScreen, bookmarks: Bookmarks };

export function screenCode(name: Screen["name"]): { load: () => Promise<void> } | null {
  return name === "now" || name === "absent" ? null : OF_SCREENS[name];
}

/** Loads the code of all screens, so that a step to another screen needs no server. */
export async function loadScreens(): Promise<void> {
  for (const screen of [Tasks, TaskScreen, Bookmarks, Help, ProjectDialog]) await screen.load();
}

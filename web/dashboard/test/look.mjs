/** How the tests find the parts of a screen: by role and name, as a person with a screen reader does. */
import assert from "node:assert/strict";
import { PATIENCE_MS, until } from "./stage.mjs";

export const needs = (page) => page.getByRole("region", { name: /need(s)? you/i }).getByRole("listitem");
export const section = (page, name) => page.getByRole("region", { name: new RegExp(`^${name}`) });
export const taskList = (page) => page.getByRole("list", { name: /^Tasks/ });
export const taskRows = (page) => taskList(page).locator("[data-row]");
export const timeline = (page) => page.getByRole("feed", { name: /^Timeline/ });
export const eventRows = (page) => timeline(page).locator("[data-row]");
export const panel = (page) => page.getByRole("article", { name: "Selected event" });
export const dialog = (page) => page.getByRole("dialog");

/** The sentence about the connection; empty while all is well. */
export const connection = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll("footer [role=status]")]
      .map((one) => one.textContent)
      .join(" ")
      .trim(),
  );

export const idsOf = (rows) => rows.evaluateAll((all) => all.map((row) => row.dataset.row));
export const titlesOf = (rows) => rows.evaluateAll((all) => all.map((row) => row.dataset.title));

/**
 * The list has the rows of the server: none is lost, none is doubled, and their order is the server's.
 *
 * The list may need a moment, so the comparison is repeated.
 */
export async function showsTruth(page, server, project, within = PATIENCE_MS) {
  let shown = [];
  let truth = [];
  try {
    await until(
      async () => {
        truth = (await server.tasks(project)).slice(0, 100).map(({ task_id, title }) => `${task_id} ${title}`);
        shown = await taskRows(page).evaluateAll((all) => all.map(({ dataset }) => `${dataset.row} ${dataset.title}`));
        return shown.length === truth.length && shown.every((row, index) => row === truth[index]);
      },
      "the list is that of the server",
      within,
    );
  } catch {
    assert.deepEqual(shown, truth);
  }
}

/** The loaded events of the timeline, in order, as far as they are elements. */
export async function endOfTimeline(page, count) {
  const ids = await idsOf(eventRows(page));
  assert.equal(new Set(ids).size, ids.length, "an event stands twice in the timeline");
  return ids.slice(-count);
}

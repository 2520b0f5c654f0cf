import { createStore } from "../../dist/index.js";

// `?watch=overview,task:<id>&tabs=alone`: the read models to show, and how the store connects.
const query = new URLSearchParams(location.search);
const store = createStore({ tabs: query.get("tabs") ?? "share" });
const show = (id, text) => {
  document.getElementById(id).textContent = text;
};
store.status.subscribe((status) => {
  show("status", status.name);
  show("text", status.text ?? status.reason ?? "");
});
for (const model of query.get("watch")?.split(",") ?? ["overview"]) {
  store.watch(model).subscribe(({ data, state, error }) => {
    const titles = data?.tasks?.items.map((task) => task.title).join(",") ?? data?.task?.title;
    show(model === "overview" ? "tasks" : "task", `${state}: ${titles ?? "-"}`);
    show("error", error ?? "");
  });
}
window.store = store;

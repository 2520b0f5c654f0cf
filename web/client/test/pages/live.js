import { createStore } from "../../dist/index.js";

const store = createStore();
const show = (id, text) => {
  document.getElementById(id).textContent = text;
};
store.status.subscribe((status) => show("status", status.name));
store.watch("overview").subscribe(({ data, state }) => {
  show("tasks", `${state}: ${data?.tasks.items.map((task) => task.title).join(",") ?? "-"}`);
});

import { run } from "../../build/test/vector_run.js";

const module = await WebAssembly.compileStreaming(fetch("../../wasm/requery_engine.wasm"));
const text = async (path) => (await fetch(path)).text();
const names = new URLSearchParams(location.search).get("names").split(",");
const wrong = [];
for (const name of names) {
  const script = await text(`../../vectors/${name}`);
  if (run(module, script) !== script) wrong.push(name);
}
document.title = `${names.length - wrong.length} right; wrong: ${wrong.join(",")}`;

// Writes the traces of the named scripts of `tests/vectors`, for a script that is being written.
import { readFile, writeFile } from "node:fs/promises";
import { run } from "../build/test/vector_run.js";

const module = new WebAssembly.Module(await readFile(new URL("../wasm/requery_engine.wasm", import.meta.url)));
for (const name of process.argv.slice(2)) {
  const file = new URL(`../../../tests/vectors/${name}.txt`, import.meta.url);
  await writeFile(file, run(module, await readFile(file, "utf8")));
}

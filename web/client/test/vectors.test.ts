import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { run } from "./vector_run.js";

const vectors = new URL("../../../../tests/vectors/", import.meta.url);
const wasm = new URL("../../wasm/requery_engine.wasm", import.meta.url);

test("every script gives the same trace as the native engine", async () => {
  const module = new WebAssembly.Module(await readFile(wasm));
  const scripts = (await readdir(vectors)).filter((name) => name.endsWith(".txt"));
  assert.ok(scripts.length > 100, `${scripts.length} scripts`);
  for (const name of scripts) {
    const script = await readFile(new URL(name, vectors), "utf8");
    assert.equal(run(module, script), script, name);
  }
});

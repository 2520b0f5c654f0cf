// Runs the module in a folder once, through its glue: connect, the first message, a fetch, its answer.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const folder = pathToFileURL(`${resolve(process.argv[2])}/`);
const { initSync, WebEngine } = await import(new URL("requery_engine.js", folder));
initSync({ module: await readFile(new URL("requery_engine.wasm", folder)) });
const engine = new WebEngine(new Float64Array(16).fill(-1, 0, 13).fill(64, 13, 15), 0, 1);

const [CONNECT, NARROW, FETCH] = [2, 3, 4];
const [SNAPSHOT, WATCHING] = [0, 4];
const [LIVE, CATCHING_UP] = [1, 2];
const FRESH = 0;
const MODEL = 7;

engine.watch(MODEL, 0);
assert.equal(engine.poll(0), CONNECT);
const id = engine.number(0);
engine.connected(id, true, 1);
engine.signal(id, SNAPSHOT, "epoch:7:9:7,8", false, -1, 20000, new Uint32Array(), 2);
assert.equal(engine.status(), CATCHING_UP);
assert.equal(engine.poll(2), NARROW);
assert.deepEqual(engine.take_list(), Uint32Array.of(MODEL));
engine.signal(id, WATCHING, "", false, -1, 0, new Uint32Array(), 3);
assert.equal(engine.poll(60), FETCH);
const ticket = engine.number(0);
assert.equal(engine.number(1), MODEL);
assert.equal(engine.take_text(), "epoch:7:9:7,8");
assert.equal(engine.fetched(ticket, FRESH, "epoch:9:9:", -1, 70), true);
assert.equal(engine.status(), LIVE);
assert.ok(engine.held(MODEL, 80) >= 0);
assert.ok(engine.explain(MODEL, 80) >= 0);
engine.free();

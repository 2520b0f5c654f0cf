// Runs the module once: connect, the first message, a fetch, its answer.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

const [, , path] = process.argv;
const { instance } = await WebAssembly.instantiate(await readFile(path), {});
const engine = instance.exports;
const encoder = new TextEncoder();

const settings = engine.engine_scratch();
const numbers = new Float64Array(engine.memory.buffer, settings, 16);
numbers.fill(-1);
numbers.set([6, 64, 0], 13);
const door = engine.engine_new(settings, 0, 1);

const give = (text) => {
  const bytes = encoder.encode(text);
  const place = engine.text_reserve(door, bytes.length);
  new Uint8Array(engine.memory.buffer, place, bytes.length).set(bytes);
};
const text = () => {
  const bytes = new Uint8Array(engine.memory.buffer, engine.text_pointer(door), engine.text_length(door));
  return new TextDecoder().decode(bytes);
};
const results = () => new Float64Array(engine.memory.buffer, engine.results_pointer(door), 8);

const [CONNECT, NARROW, FETCH] = [2, 3, 4];
const [SNAPSHOT, WATCHING] = [0, 4];
const [LIVE, CATCHING_UP] = [1, 2];
const FRESH = 0;
const MODEL = 7;

engine.engine_watch(door, MODEL, 0);
assert.equal(engine.engine_poll(door, 0), CONNECT);
const [id] = results();
engine.engine_connected(door, id, 1, 1);
give("epoch:7:9:7,8");
engine.engine_signal(door, id, SNAPSHOT, 0, -1, 20000, 2);
assert.equal(engine.engine_status(door), CATCHING_UP);
assert.equal(engine.engine_poll(door, 2), NARROW);
assert.deepEqual([engine.list_length(door), engine.list_at(door, 0)], [1, MODEL]);
give("");
engine.engine_signal(door, id, WATCHING, 0, -1, 0, 3);
assert.equal(engine.engine_poll(door, 60), FETCH);
const [ticket, model] = results();
assert.equal(model, MODEL);
assert.equal(text(), "epoch:7:9:7,8");
give("epoch:9:9:");
assert.equal(engine.engine_fetched(door, ticket, FRESH, -1, 70), 1);
assert.equal(engine.engine_status(door), LIVE);
assert.ok(engine.engine_held(door, MODEL, 80) >= 0);
assert.ok(engine.engine_explain(door, MODEL, 80) >= 0);
engine.engine_free(door);

// Prints the size of each entry point's own code, minified by nothing but compressed as a server would, and of the whole.
import { readdir, readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";

const dist = new URL("../dist/", import.meta.url);
const size = async (names) => {
  const texts = await Promise.all(names.map((name) => readFile(new URL(name, dist))));
  const all = Buffer.concat(texts);
  return `${all.length} bytes, ${gzipSync(all, { level: 9 }).length} with gzip`;
};
for (const [entry, names] of [
  ["react", ["react.js"]],
  ["tanstack", ["tanstack.js", "follow.js"]],
  ["swr", ["swr.js", "follow.js"]],
]) {
  console.log(`${entry}: ${await size(names)}`);
}
const own = ["react.js", "tanstack.js", "swr.js", "follow.js"];
const rest = (await readdir(dist, { recursive: true })).filter((name) => name.endsWith(".js") && !own.includes(name));
console.log(`the store: ${await size(rest)}`);
const wasm = await readFile(new URL("../wasm/requery_engine.wasm", import.meta.url));
console.log(`the engine: ${wasm.length} bytes, ${gzipSync(wasm, { level: 9 }).length} with gzip`);

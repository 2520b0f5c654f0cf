/** The content of the package, and the bounds of its parts. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { rolldown } from "rolldown";

const root = new URL("../../", import.meta.url);
const packageJson = JSON.parse(readFileSync(new URL("package.json", root), "utf8"));

test("the package holds its modules, their types, the engine, a README and licences, and no other file", () => {
  const options = { cwd: root, encoding: "utf8" } as const;
  const [packed] = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], options));
  const files: string[] = packed.files.map(({ path }: { path: string }) => path);
  const sources = readdirSync(new URL("src", root), { recursive: true, encoding: "utf8" });
  const modules = sources
    .filter((name) => /\.ts$/.test(name))
    .flatMap((name) => [`dist/${name.replace(/\.ts$/, ".js")}`, `dist/${name.replace(/\.ts$/, ".d.ts")}`]);
  const engine = readdirSync(new URL("wasm", root))
    .filter((name) => /\.(wasm|js|d\.ts)$/.test(name))
    .map((name) => `wasm/${name}`);
  const texts = ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "package.json", "wasm/LICENSES.txt"];
  assert.deepEqual(files.sort(), [...modules, ...engine, ...texts].sort());
  assert.ok(engine.some((name) => name.endsWith(".wasm")));
});

test("the package needs no other package, and each of its entries is there", () => {
  assert.equal(packageJson.dependencies, undefined);
  const entries = Object.values(packageJson.exports).flatMap((entry) =>
    typeof entry === "string" ? [entry] : Object.values(entry as Record<string, string>),
  );
  for (const entry of entries) {
    assert.ok(statSync(new URL(entry, root)).size > 0, entry);
  }
});

test("the entries for libraries have at most 1,536 bytes of own code each, minified", async () => {
  const entries = { react: ["react.js"], tanstack: ["tanstack.js", "follow.js"], swr: ["swr.js", "follow.js"] };
  for (const [entry, own] of Object.entries(entries)) {
    const bundle = await rolldown({
      input: new URL(`dist/${entry}.js`, root).pathname,
      external: (id, from) => from !== undefined && !own.some((name) => id.endsWith(`/${name}`)),
    });
    const { output } = await bundle.generate({ minify: true });
    const { length } = output[0].code;
    assert.ok(length <= 1_536, `${entry}: ${length} bytes`);
  }
});

test("the engine has at most 20 KB, compressed", () => {
  for (const name of readdirSync(new URL("wasm", root)).filter((name) => name.endsWith(".wasm"))) {
    assert.ok(gzipSync(readFileSync(new URL(`wasm/${name}`, root)), { level: 9 }).length <= 20_000, name);
  }
});

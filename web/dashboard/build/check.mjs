/**
 * Builds the dashboard into a folder of its own and compares it with the checked-in `dist`.
 *
 * Versions of Node compress differently, so a compressed file is right if it decodes to the file beside it.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliDecompressSync, gunzipSync } from "node:zlib";

const decoders = { ".br": brotliDecompressSync, ".gz": gunzipSync };
/** The first load of the page in bytes, compressed with gzip: all that the first screen needs to be live. */
const MOST_BYTES = 70_000;
/**
 * The other screens load after the first one. A browser without shared workers loads the host and not the larger file of
 * the worker.
 */
const LATER_OR_INSTEAD = /^assets\/(?:screens|host|load)-/;

const filesOf = (folder) =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => statSync(join(folder, name)).isFile())
    .sort();

const built = mkdtempSync(join(tmpdir(), "requery-dashboard-"));
const faults = [];
let sum = 0;
try {
  const arguments_ = ["vite", "build", "--logLevel", "warn", "--emptyOutDir", "--outDir", built];
  execFileSync("npx", arguments_, { stdio: ["ignore", "ignore", "inherit"] });
  const names = filesOf(built);
  for (const name of new Set([...names, ...filesOf("dist")])) {
    if (!names.includes(name)) faults.push(`dist/${name} is no part of the build`);
    else if (!filesOf("dist").includes(name)) faults.push(`dist/${name} is missing`);
    else {
      const bytes = readFileSync(join("dist", name));
      const decode = decoders[name.slice(-3)];
      const plain = readFileSync(join(built, decode ? name.slice(0, -3) : name));
      if (!plain.equals(decode ? decode(bytes) : bytes)) faults.push(`dist/${name} differs from the build`);
      if (name.endsWith(".gz") && name !== "LICENSES.txt.gz" && !LATER_OR_INSTEAD.test(name)) sum += bytes.length;
    }
  }
} finally {
  rmSync(built, { recursive: true });
}
if (sum > MOST_BYTES) faults.push(`the first load has ${sum} bytes, the bound is ${MOST_BYTES}`);
for (const fault of faults) console.error(fault);
if (faults.length > 0) console.error("npm run build --workspace requery-dashboard writes dist");
process.exitCode = faults.length > 0 ? 1 : 0;
if (faults.length === 0) console.log(`dist is the build of these sources; the first load has ${sum} bytes with gzip`);

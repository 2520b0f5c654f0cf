import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import type { Plugin } from "vite";

const WORTH_COMPRESSING = /\.(?:js|css|html|svg|wasm|txt)$/;
/** Below this size the headers weigh more than the bytes that a coding saves. */
const SMALLEST = 512;

/** Writes a `.br` and a `.gz` file beside each file that is worth compressing. */
export function codings(): Plugin {
  return {
    name: "codings",
    apply: "build",
    writeBundle(options) {
      const folder = options.dir;
      if (folder === undefined) return;
      for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
        if (!WORTH_COMPRESSING.test(name)) continue;
        const path = join(folder, name);
        const bytes = readFileSync(path);
        if (bytes.length < SMALLEST) continue;
        const gzip = gzipSync(bytes, { level: 9 });
        // The tenth byte names the system that compressed; a fixed one makes the build the same everywhere.
        gzip[9] = 255;
        writeFileSync(`${path}.gz`, gzip);
        writeFileSync(`${path}.br`, brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
      }
    },
  };
}

import { defineConfig } from "vite";
import { chunkOf, FIRST_READ } from "./build/chunks.ts";
import { codings } from "./build/codings.ts";
import { firstScript, plainImports } from "./build/first_script.ts";
import { licenses } from "./build/licenses.ts";

// REQUERY_URL is the running server whose rows the development page shows.
const target = process.env.REQUERY_URL ?? "http://127.0.0.1:7373";

/** The server answers 403 to a foreign origin, so the proxy names the origin of the server. */
const proxied = {
  target,
  changeOrigin: true,
  ws: true,
  headers: { origin: target },
};

const proxy = {
  "/api": proxied,
  "/ws": proxied,
  "/docs": proxied,
  "/openapi.json": proxied,
};

/** The policy of the server (`src/server/http/pages.rs`), so that a preview shows each breach of it. */
const policy =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; " +
  "connect-src 'self'; worker-src 'self'; font-src 'self'; media-src 'self'; manifest-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export default defineConfig({
  worker: { format: "es" },
  plugins: [firstScript(), plainImports(), licenses(), codings()],
  server: { proxy },
  preview: { proxy, headers: { "content-security-policy": policy } },
  build: {
    target: "es2022",
    // Browsers with `light-dark()`: without it each colour would be there twice.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    // The first screen has one script and one style sheet for all screens, so no loader of parts is needed.
    modulePreload: false,
    cssCodeSplit: false,
    // A data URL would break the content security policy of the server.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    rolldownOptions: { output: { codeSplitting: { groups: [FIRST_READ, { name: chunkOf, debugName: "chunks" }] } } },
  },
});

import { defineConfig } from "vite";

// The requery server whose rows the page shows.
const target = process.env.REQUERY_URL ?? "http://127.0.0.1:7373";

// A server answers 403 to a page of a foreign origin, so the proxy names the origin of the server. Without a server the
// proxy ends the connection, as the server's port does: the 500 that Vite answers looks like a server that refuses.
const proxied = {
  target,
  changeOrigin: true,
  ws: true,
  headers: { origin: target },
  configure: (proxy) => proxy.on("error", (_error, _request, response) => response.destroy()),
};

export default defineConfig({
  server: { proxy: { "/api": proxied, "/ws": proxied } },
  // The package finds its worker and its engine beside its own code, so Vite leaves that code where it is.
  optimizeDeps: { exclude: ["requery-client"] },
  worker: { format: "es" },
});

// Serves this folder, and passes the requests for `/api` and `/ws` to the requery server. It needs Node alone.
import { readFile } from "node:fs/promises";
import { createServer, request } from "node:http";
import { extname, normalize } from "node:path";

const target = process.env.REQUERY_URL ?? "http://127.0.0.1:7373";
const types = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

/** The request to the server. It names the server as its host and its origin, because the server refuses others. */
function pass(incoming) {
  const headers = { ...incoming.headers, host: new URL(target).host, origin: target };
  return request(target + incoming.url, { method: incoming.method, headers });
}

const server = createServer(async (incoming, outgoing) => {
  const { pathname } = new URL(incoming.url, target);
  if (pathname.startsWith("/api/")) {
    const passed = pass(incoming);
    passed.on("response", (answer) => answer.pipe(outgoing.writeHead(answer.statusCode, answer.headers)));
    passed.on("error", () => outgoing.destroy());
    outgoing.on("close", () => passed.destroy());
    incoming.pipe(passed);
    return;
  }
  const name = normalize(pathname === "/" ? "/index.html" : pathname);
  const type = types[extname(name)];
  const body = type ? await readFile(new URL(`.${name}`, import.meta.url)).catch(() => null) : null;
  outgoing.writeHead(body ? 200 : 404, type && { "content-type": type }).end(body ?? "not found");
});

server.on("upgrade", (incoming, client, head) => {
  const passed = pass(incoming);
  passed.on("upgrade", (answer, upstream, first) => {
    const lines = Object.entries(answer.headers).map(([name, value]) => `${name}: ${value}\r\n`);
    client.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join("")}\r\n`);
    client.write(first);
    upstream.on("error", () => client.destroy()).on("close", () => client.destroy());
    client.on("error", () => upstream.destroy()).on("close", () => upstream.destroy());
    upstream.pipe(client).pipe(upstream);
  });
  passed.on("response", () => client.destroy());
  passed.on("error", () => client.destroy());
  client.on("error", () => passed.destroy());
  passed.end(head);
});

server.listen(Number(process.env.PORT ?? 5174), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port} shows the rows of ${target}`);
});

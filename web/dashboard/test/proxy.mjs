/** A proxy before a server: it counts the requests, and it loses, holds or replaces answers on demand. */
import { createServer, request } from "node:http";
import { connect } from "node:net";
import { readFile, stat } from "node:fs/promises";
import { join, normalize } from "node:path";

/** A folder with a build of the pages, which stands for those in the program: a change needs no build of the program. */
const dist = process.env.REQUERY_DIST;
const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
  "worker-src 'self'; font-src 'self'; media-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'";
const TYPES = {
  html: "text/html",
  js: "text/javascript",
  css: "text/css",
  svg: "image/svg+xml",
  wasm: "application/wasm",
};

async function fileOf(path) {
  const name = normalize(`/${path.split("?")[0]}`);
  const file = join(dist, /\.\w+$/.test(name) ? name : "index.html");
  const body = await readFile(file);
  const sent = await stat(`${file}.br`).catch(() => ({ size: body.length }));
  return { type: TYPES[file.slice(file.lastIndexOf(".") + 1)] ?? "text/plain", body, sent: sent.size };
}

/** The names of the server, so that the server accepts a page that came through the proxy. */
function ownNames(headers, target) {
  const { host, origin } = new URL(target);
  return { ...headers, host, ...(headers.origin === undefined ? {} : { origin }) };
}

export class CountingProxy {
  static async start(target) {
    const server = createServer();
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new CountingProxy(server, target);
  }

  constructor(server, target) {
    this.server = server;
    this.target = target;
    this.url = `http://127.0.0.1:${server.address().port}`;
    /** Each request: its method, path, time and `Requery-At-Least`, and the status and the size of its answer. */
    this.requests = [];
    /** The bytes that came over the WebSocket connections, as text. */
    this.heard = "";
    /** The streams that are open now, and all that were opened. */
    this.streams = 0;
    this.opened = 0;
    /** The connections that ended at once. */
    this.refused = 0;
    /** `pass`; `drop`: each connection ends at once; `hold`: no byte goes in either direction. */
    this.mode = "pass";
    /** Gives another answer in place of the server's: `{status, type, body}`, or `null` for the server's own. */
    this.replace = () => null;
    this.blocksWebSocket = false;
    this.delay = () => 0;
    this.sockets = new Set();
    this.held = [];
    server.on("connection", (socket) => this.accept(socket));
    server.on("request", (incoming, outgoing) => this.pass(incoming, outgoing));
    server.on("upgrade", (incoming, client, head) => this.upgrade(incoming, client, head));
  }

  accept(socket) {
    if (this.mode === "drop") {
      this.refused += 1;
      return socket.destroy();
    }
    this.sockets.add(socket);
    socket.on("close", () => this.sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  }

  /** Runs `act` now, or when the proxy passes bytes again. */
  soon(act) {
    if (this.mode === "hold") this.held.push(act);
    else act();
  }

  async pass(incoming, outgoing) {
    const { method, url: path, headers } = incoming;
    const noted = { method, path, at: Date.now(), status: null, bytes: 0, atLeast: headers["requery-at-least"] };
    this.requests.push(noted);
    const other = this.replace(path, method);
    if (other) {
      noted.status = other.status;
      if (other.status === 0) return outgoing.destroy();
      outgoing.writeHead(other.status, { "content-type": other.type ?? "text/html" });
      return outgoing.end(other.body ?? "");
    }
    if (dist !== undefined && !/^\/(api|ws|docs|openapi|healthz|readyz)/.test(path)) {
      const { type, body, sent } = await fileOf(path);
      noted.status = 200;
      noted.bytes = sent;
      return outgoing.writeHead(200, { "content-type": type, "content-security-policy": POLICY }).end(body);
    }
    const wait = this.delay(path);
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    this.soon(() => {
      const isStream = path.startsWith("/api/v1/stream");
      const passed = request(this.target + path, { method, headers: ownNames(headers, this.target) }, (answer) => {
        noted.status = answer.statusCode;
        if (isStream) this.stream(outgoing);
        this.soon(() => {
          outgoing.writeHead(answer.statusCode, answer.headers);
          answer.on("data", (bytes) => {
            noted.bytes += bytes.length;
            this.soon(() => outgoing.write(bytes));
          });
          answer.on("end", () => this.soon(() => outgoing.end()));
        });
      });
      passed.on("error", () => {
        noted.status ??= 0;
        outgoing.destroy();
      });
      outgoing.on("close", () => passed.destroy());
      incoming.pipe(passed);
    });
  }

  stream(connection) {
    this.streams += 1;
    this.opened += 1;
    connection.on("close", () => {
      this.streams -= 1;
    });
  }

  upgrade(incoming, client, head) {
    this.requests.push({ method: "GET", path: incoming.url, at: Date.now(), status: 101, bytes: 0 });
    const other = this.replace(incoming.url, "GET");
    if (this.blocksWebSocket || other) {
      if (other?.status === 0) return client.destroy();
      return client.end(`HTTP/1.1 ${other?.status ?? 400} No\r\ncontent-length: 0\r\n\r\n`);
    }
    this.soon(() => {
      const { hostname, port } = new URL(this.target);
      const upstream = connect(Number(port), hostname, () => {
        const headers = Object.entries(ownNames(incoming.headers, this.target));
        const lines = headers.map(([name, value]) => `${name}: ${value}`);
        upstream.write(`GET ${incoming.url} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
        upstream.write(head);
        upstream.on("data", (bytes) =>
          this.soon(() => {
            this.heard += bytes.toString("latin1");
            client.write(bytes);
          }),
        );
        client.on("data", (bytes) => this.soon(() => upstream.write(bytes)));
      });
      this.stream(client);
      client.on("close", () => upstream.destroy());
      // The end of the server's side must not get past a hold: the page cannot know of it.
      upstream.on("close", () => this.soon(() => client.destroy()));
      for (const socket of [client, upstream]) socket.on("error", () => socket.destroy());
    });
  }

  /** Ends every connection. A new one gets as far as the mode allows. */
  drop() {
    this.mode = "drop";
    this.held = [];
    for (const socket of this.sockets) socket.destroy();
  }

  hold() {
    this.mode = "hold";
  }

  /** Passes bytes again, those that were held first. */
  heal() {
    this.mode = "pass";
    for (const act of this.held.splice(0)) act();
  }

  /** The requests of the API since the last call, as `METHOD path status`, without streams. */
  taken() {
    return this.requests
      .splice(0)
      .filter(({ path }) => path.startsWith("/api/v1/") && !path.startsWith("/api/v1/stream"))
      .map(({ method, path, status }) => `${method} ${path} ${status}`);
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }
}

/** The real server, and a proxy before it that also serves the built package. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { join, normalize } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** The program, if the environment names it. */
export const binary = process.env["REQUERY_BINARY"];

export async function serve(
  folder: string,
  port: number,
  ...more: string[]
): Promise<{ child: ChildProcess; url: string }> {
  const args = ["serve", "--database-url", join(folder, "requery.db"), "--listen", `127.0.0.1:${port}`, ...more];
  const child = spawn(binary ?? "", args, { stdio: ["ignore", "pipe", "pipe"] });
  const url = await new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream as NonNullable<typeof stream> }).on("line", (line) => {
        const [found] = /http:\/\/[\w.]+:\d+/.exec(line) ?? [];
        if (found) {
          resolve(found);
        }
      });
    }
    child.on("exit", (code) => reject(new Error(`the server ended with ${code}`)));
  });
  return { child, url };
}

export function stop(child: ChildProcess, signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
  return new Promise((resolve) => {
    child.removeAllListeners("exit");
    if (child.exitCode !== null || child.signalCode !== null) {
      resolve();
      return;
    }
    child.on("exit", () => resolve());
    child.kill(signal);
  });
}

/** A proxy that counts and fails on demand. It also serves `/app/`: the folder of the package, with `test/pages`. */
export class CountingProxy {
  /** The requests that came, other than for files. */
  readonly requests: string[] = [];
  /** The WebSocket connections, and the streams of server-sent events, that are open now. */
  sockets = 0;
  streams = 0;
  /** Refuses every upgrade, and answers requests for a stream as a proxy that collects the whole answer first. */
  blocksWebSocket = false;
  blocksSse = false;
  /** Answers the requests for read models in place of the server. */
  answers: ((path: string, outgoing: ServerResponse) => void) | null = null;
  target = "";
  readonly #server: Server;
  readonly #open = new Map<Socket, Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<CountingProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const proxy = new CountingProxy(server);
    server.on("request", (incoming, outgoing) => proxy.#pass(incoming, outgoing));
    server.on("upgrade", (incoming, client, head) => proxy.#upgrade(incoming, client as Socket, head));
    return proxy;
  }

  #pass(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const path = incoming.url ?? "/";
    if (path.startsWith("/app/")) {
      void file(path.slice(5)).then(
        ([type, body]) =>
          outgoing.writeHead(200, { "content-type": type, "content-security-policy": policy }).end(body),
        () => outgoing.writeHead(404).end(),
      );
      return;
    }
    this.requests.push(path);
    const isStream = path.startsWith("/api/v1/stream");
    if (isStream && this.blocksSse) {
      outgoing.writeHead(502).end();
      return;
    }
    if (this.answers) {
      this.answers(path, outgoing);
      return;
    }
    const { host } = new URL(this.target);
    const headers = { ...incoming.headers, host };
    const passed = request(this.target + path, { method: incoming.method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    if (isStream) {
      this.streams += 1;
      outgoing.on("close", () => (this.streams -= 1));
    }
    passed.on("error", () => outgoing.destroy());
    outgoing.on("close", () => passed.destroy());
    incoming.pipe(passed);
  }

  #upgrade(incoming: IncomingMessage, client: Socket, head: Buffer): void {
    if (this.blocksWebSocket || this.answers) {
      client.end("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
      return;
    }
    const { hostname, port, host } = new URL(this.target);
    const upstream = connect(Number(port), hostname, () => {
      const lines = Object.entries({ ...incoming.headers, host }).map(([name, value]) => `${name}: ${value}`);
      upstream.write(`GET ${incoming.url} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
      upstream.write(head);
      upstream.pipe(client).pipe(upstream);
    });
    this.sockets += 1;
    this.#open.set(upstream, client);
    client.on("close", () => {
      this.sockets -= 1;
      this.#open.delete(upstream);
      upstream.destroy();
    });
    upstream.on("close", () => client.destroy());
    for (const socket of [client, upstream]) {
      socket.on("error", () => socket.destroy());
    }
  }

  /** From now on no byte comes over the WebSocket connections that are open, and none of them ends. */
  freeze(): void {
    for (const [upstream, client] of this.#open) {
      upstream.unpipe(client);
    }
  }

  /** Ends the WebSocket connections that are open. */
  cut(): void {
    for (const client of this.#open.values()) {
      client.destroy();
    }
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Takes the requests for read models since the last call. */
  taken(): string[] {
    return this.requests.splice(0).filter((path) => path.startsWith("/api/v1/") && !path.startsWith("/api/v1/stream"));
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** The policy of the dashboard: the package works under it. */
const policy =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; worker-src 'self'; base-uri 'none'";

const folder = fileURLToPath(new URL("../../", import.meta.url));
const types: Record<string, string> = {
  html: "text/html",
  js: "text/javascript",
  wasm: "application/wasm",
  txt: "text/plain",
};

async function file(path: string): Promise<[string, Buffer]> {
  const name = normalize(`/${path.split("?")[0]}`);
  const vectors = name.startsWith("/vectors/");
  const place = vectors ? join(folder, "../../tests", name) : join(folder, name);
  if (!existsSync(place)) {
    throw new Error(`no file ${place}`);
  }
  return [types[name.slice(name.lastIndexOf(".") + 1)] ?? "text/plain", await readFile(place)];
}

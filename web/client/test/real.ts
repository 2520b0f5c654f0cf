/** The real server, and a proxy before it that also serves the built package. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, request, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
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

export function stop(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.removeAllListeners("exit");
    if (child.exitCode !== null || child.signalCode !== null) {
      resolve();
      return;
    }
    child.on("exit", () => resolve());
    child.kill("SIGTERM");
  });
}

/** A proxy that counts. It also serves `/app/`: the folder of the package, and the pages in `test/pages`. */
export class CountingProxy {
  readonly requests: string[] = [];
  /** The WebSocket connections that are open now. */
  sockets = 0;
  /** Refuses every upgrade. */
  blocksWebSocket = false;
  target = "";
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<CountingProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const proxy = new CountingProxy(server);
    server.on("request", (incoming, outgoing) => {
      const path = incoming.url ?? "/";
      if (path.startsWith("/app/")) {
        void file(path.slice(5)).then(
          ([type, body]) =>
            outgoing.writeHead(200, { "content-type": type, "content-security-policy": policy }).end(body),
          () => outgoing.writeHead(404).end(),
        );
        return;
      }
      proxy.requests.push(path);
      const { host } = new URL(proxy.target);
      const headers = { ...incoming.headers, host };
      const passed = request(proxy.target + path, { method: incoming.method, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      });
      passed.on("error", () => outgoing.destroy());
      outgoing.on("close", () => passed.destroy());
      incoming.pipe(passed);
    });
    server.on("upgrade", (incoming, client, head) => {
      if (proxy.blocksWebSocket) {
        client.end("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        return;
      }
      const { hostname, port, host } = new URL(proxy.target);
      const upstream = connect(Number(port), hostname, () => {
        const lines = Object.entries({ ...incoming.headers, host }).map(([name, value]) => `${name}: ${value}`);
        upstream.write(`GET ${incoming.url} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
        upstream.write(head);
        upstream.pipe(client).pipe(upstream);
      });
      proxy.sockets += 1;
      client.on("close", () => {
        proxy.sockets -= 1;
        upstream.destroy();
      });
      upstream.on("close", () => client.destroy());
      for (const socket of [client, upstream]) {
        socket.on("error", () => socket.destroy());
      }
    });
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Takes the requests for read models since the last call. */
  taken(): string[] {
    return this.requests.splice(0).filter((path) => path.startsWith("/api/v1/"));
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

/** The stream of the server: over WebSocket, or over server-sent events that a request reads. */
import type { Endpoint } from "./endpoint.js";
import type { Loss } from "./engine.js";
import type { Environment, Socket } from "./environment.js";
import { failure, foreign, notReached } from "./failures.js";
import { SseReader } from "./sse.js";

/** The largest message that is accepted, in characters. */
const mostMessage = 16 * 1024 * 1024;

/** The events of a stream. None comes after `ended`, and none after the stream was closed. */
export interface StreamEvents {
  connected(duplex: boolean): void;
  message(text: string): void;
  ended(loss: Loss, text: string): void;
}

/** An open stream, or an attempt to open one. */
export interface Stream {
  send(text: string): void;
  close(): void;
}

/** Opens a stream. A WebSocket cannot carry a token, so a stream with a token is one of server-sent events. */
export function openStream(
  environment: Environment,
  endpoint: Endpoint,
  sse: boolean,
  since: string | null,
  events: StreamEvents,
): Stream {
  const { WebSocket } = environment;
  if (sse || endpoint.token !== null || !WebSocket) {
    return openSse(environment, endpoint, since, events);
  }
  const abort = new AbortController();
  let open = false;
  let live = true;
  const end = (loss: Loss, text: string) => {
    if (live) {
      live = false;
      events.ended(loss, text);
    }
  };
  let socket: Socket;
  try {
    socket = new WebSocket(endpoint.url("ws", { since }).replace(/^http/, "ws"));
  } catch {
    // A page that came over https may not open an insecure WebSocket. The caller learns of the end after this call.
    queueMicrotask(() => end({ kind: "ended" }, "the browser forbids a WebSocket to this address"));
    return { send: () => {}, close: () => (live = false) };
  }
  socket.onopen = () => {
    open = true;
    if (live) {
      events.connected(true);
    }
  };
  socket.onmessage = ({ data }) => {
    if (live) {
      // The contract has no binary messages: one is unknown.
      events.message(typeof data === "string" ? data : "");
    }
  };
  socket.onclose = ({ code, reason }) => {
    if (code === 1008) {
      end({ kind: "refused", reason }, `the server closed the connection: ${reason}`);
    } else if (open) {
      end({ kind: "ended" }, "the server closed the connection");
    } else {
      // A browser does not tell a refused upgrade from a server that is away, and a request does.
      void probe(environment, endpoint, since, abort.signal).then(({ loss, text }) => end(loss, text));
    }
  };
  return {
    send: (text) => socket.send(text),
    close: () => {
      live = false;
      abort.abort();
      socket.close(1000);
    },
  };
}

/** Asks for a stream by a request, to learn why a WebSocket did not open. */
async function probe(
  environment: Environment,
  endpoint: Endpoint,
  since: string | null,
  closed: AbortSignal,
): Promise<{ loss: Loss; text: string }> {
  const abort = new AbortController();
  closed.addEventListener("abort", () => abort.abort());
  try {
    const refused = await requestSse(environment, endpoint, since, abort.signal);
    const text = "the server answers requests, and a WebSocket does not open: check the proxies on the way";
    return refused instanceof Response ? { loss: { kind: "ended" }, text } : refused;
  } finally {
    abort.abort();
  }
}

/** The answer to the request for a stream, or why there is none. */
async function requestSse(
  environment: Environment,
  endpoint: Endpoint,
  since: string | null,
  signal: AbortSignal,
): Promise<Response | { loss: Loss; text: string }> {
  const headers = endpoint.headers({ accept: "text/event-stream" });
  const url = endpoint.url("api/v1/stream", { since });
  let response: Response;
  try {
    response = await environment.fetch(url, { headers, cache: "no-store", redirect: "error", signal });
  } catch {
    return { loss: { kind: "not reached" }, text: notReached(url) };
  }
  if (response.ok && response.body && /^text\/event-stream\b/.test(response.headers.get("content-type") ?? "")) {
    return response;
  }
  if (response.ok) {
    return { loss: { kind: "ended" }, text: foreign("the answer is not a stream of events", url) };
  }
  const { status, retryAfter, message } = await failure(response, environment.now());
  if (status === 401 || status === 403) {
    return { loss: { kind: "refused", reason: message }, text: message };
  }
  const busy = (status === 503 || status === 429) && retryAfter !== null;
  return { loss: busy ? { kind: "busy", retryAfter } : { kind: "ended" }, text: message };
}

function openSse(environment: Environment, endpoint: Endpoint, since: string | null, events: StreamEvents): Stream {
  const abort = new AbortController();
  let live = true;
  let release: (() => void) | null = null;
  const leave = () => {
    live = false;
    abort.abort();
    release?.();
  };
  const end = (loss: Loss, text: string) => {
    if (live) {
      leave();
      events.ended(loss, text);
    }
  };
  const run = async () => {
    release = await environment.takeSlot(endpoint.host);
    if (!live) {
      release?.();
      return;
    }
    if (!release) {
      end({ kind: "ended" }, "other pages of this browser hold the streams of server-sent events: close some of them");
      return;
    }
    const response = await requestSse(environment, endpoint, since, abort.signal);
    if (!(response instanceof Response)) {
      end(response.loss, response.text);
      return;
    }
    if (live) {
      events.connected(false);
    }
    const sse = new SseReader();
    const [reader, decoder] = [(response.body as ReadableStream<Uint8Array>).getReader(), new TextDecoder()];
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) {
          end({ kind: "ended" }, "the stream ended");
          return;
        }
        for (const message of sse.read(decoder.decode(value, { stream: true }))) {
          if (live) {
            events.message(message);
          }
        }
        if (sse.size > mostMessage) {
          end({ kind: "ended" }, "a message is too large");
          return;
        }
      }
    } catch {
      end({ kind: "ended" }, "the connection broke");
    }
  };
  void run();
  return { send: () => {}, close: leave };
}

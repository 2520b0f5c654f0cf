/** The stream of the server: over WebSocket, or over server-sent events that a request reads. */
import type { Endpoint } from "./endpoint.js";
import { failure } from "./endpoint.js";
import type { Loss } from "./engine.js";
import type { Environment } from "./environment.js";
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
  let open = false;
  let live = true;
  const end = (loss: Loss, text: string) => {
    if (live) {
      live = false;
      events.ended(loss, text);
    }
  };
  const socket = new WebSocket(endpoint.url("ws", { since }).replace(/^http/, "ws"));
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
      // A browser does not tell a refused upgrade from a server that is away. The engine tells them by its fetches.
      end({ kind: "not reached" }, "could not reach the server");
    }
  };
  return {
    send: (text) => socket.send(text),
    close: () => {
      live = false;
      socket.close(1000);
    },
  };
}

function openSse(environment: Environment, endpoint: Endpoint, since: string | null, events: StreamEvents): Stream {
  const abort = new AbortController();
  let live = true;
  const end = (loss: Loss, text: string) => {
    if (live) {
      live = false;
      abort.abort();
      events.ended(loss, text);
    }
  };
  const run = async () => {
    const headers = endpoint.headers({ accept: "text/event-stream" });
    const url = endpoint.url("api/v1/stream", { since });
    let response: Response;
    try {
      response = await environment.fetch(url, { headers, cache: "no-store", redirect: "error", signal: abort.signal });
    } catch {
      end({ kind: "not reached" }, "could not reach the server");
      return;
    }
    if (!response.ok || !response.body) {
      const error = await failure(response, environment.now());
      if (error.status === 403) {
        end({ kind: "refused", reason: error.message }, error.message);
      } else if (error.status === 503 && error.retryAfter !== null) {
        end({ kind: "busy", retryAfter: error.retryAfter }, error.message);
      } else {
        end({ kind: "ended" }, error.message);
      }
      return;
    }
    if (live) {
      events.connected(false);
    }
    const sse = new SseReader();
    const [reader, decoder] = [response.body.getReader(), new TextDecoder()];
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
  return {
    send: () => {},
    close: () => {
      live = false;
      abort.abort();
    },
  };
}

/* tslint:disable */
/* eslint-disable */

/**
 * One engine, and the parts of its last result.
 */
export class WebEngine {
    free(): void;
    [Symbol.dispose](): void;
    /**
     * How long ago the held answer was last known to be true.
     */
    age(model: number, now: number): number;
    /**
     * The connection `id` is open. A duplex connection takes messages.
     */
    connected(id: number, duplex: boolean, now: number): void;
    /**
     * Ends the connection and all fetches until `enable`.
     */
    disable(): void;
    /**
     * The connection `id` ended. `loss` is 0 ended, 1 not reached, 2 busy (with the wait, if any), 3 refused (with the reason).
     */
    disconnected(id: number, loss: number, retry_after: number, reason: string, now: number): void;
    /**
     * Ends the effect of `disable`.
     */
    enable(now: number): void;
    /**
     * Why the read model is stale, and what it waits for: the state, or -1 for a read model that was never watched.
     */
    explain(model: number, now: number): number;
    /**
     * A fetch ended. `outcome` is 0 fresh, 1 not modified, 2 gone, 3 failed. Returns whether to show the answer.
     */
    fetched(ticket: number, outcome: number, cursor: string, retry_after: number, now: number): boolean;
    /**
     * The cursor that the application's own writes demand.
     */
    floor(): string;
    /**
     * The driver no longer holds the body of `model`.
     */
    forget(model: number): void;
    /**
     * The state of what is held, with numbers and the cursor; -1 for a read model that was never watched.
     */
    held(model: number, now: number): number;
    /**
     * The page is hidden.
     */
    hidden(): void;
    /**
     * A screen needs the changes of `model` up to `cursor`, which the application left out. Returns whether the text is a
     * cursor.
     */
    left_out(model: number, cursor: string, now: number): boolean;
    /**
     * `given` has 13 times, in the order below, and three numbers. The read models below `carried` are carried.
     */
    constructor(given: Float64Array | number[], carried: number, seed: number);
    /**
     * The first time after `now` at which the state of a held answer changes by itself.
     */
    next_expiry(now: number): number;
    /**
     * A number of the last result.
     */
    number(at: number): number;
    /**
     * The system has no network.
     */
    offline(): void;
    /**
     * The system has a network again.
     */
    online(now: number): void;
    /**
     * The next action: 0 none, 1 disconnect, 2 connect, 3 narrow, 4 fetch, 5 cancel.
     */
    poll(now: number): number;
    /**
     * The time of the next poll, unless an input comes before.
     */
    poll_timeout(): number;
    /**
     * A person wishes a new connection.
     */
    reconnect(now: number): void;
    /**
     * A person wishes a fetch of `model`.
     */
    refresh(model: number, now: number): void;
    /**
     * The driver holds a body of an earlier run, read at `cursor`.
     */
    restore(model: number, cursor: string, asked_at: number, now: number): void;
    /**
     * The first stream continues at `cursor`, the resume cursor of an earlier run.
     */
    resume_at(cursor: string): void;
    /**
     * The cursor at which the next stream continues.
     */
    resume_cursor(): string;
    /**
     * A message came. `kind` and `number` are as in `signals.rs`. Returns the read models whose carried bodies are to be shown.
     */
    signal(id: number, kind: number, cursor: string, more: boolean, spread_ms: number, number: number, places: Uint32Array | number[], now: number): Uint32Array;
    /**
     * The state of the connection, with numbers and a text.
     */
    status(): number;
    /**
     * The places of the last result.
     */
    take_list(): Uint32Array;
    /**
     * The text of the last result.
     */
    take_text(): string;
    /**
     * No screen shows `model` any more.
     */
    unwatch(model: number, now: number): void;
    /**
     * The page is visible again.
     */
    visible(now: number): void;
    /**
     * A screen shows `model` from now on.
     */
    watch(model: number, now: number): void;
    /**
     * The application wrote a change of `model`. Returns whether the text is a cursor.
     */
    wrote(model: number, cursor: string, now: number): boolean;
}

export type InitInput = RequestInfo | URL | Response | BufferSource | WebAssembly.Module;

export interface InitOutput {
    readonly memory: WebAssembly.Memory;
    readonly __wbg_webengine_free: (a: number, b: number) => void;
    readonly webengine_age: (a: number, b: number, c: number) => number;
    readonly webengine_connected: (a: number, b: number, c: number, d: number) => void;
    readonly webengine_disable: (a: number) => void;
    readonly webengine_disconnected: (a: number, b: number, c: number, d: number, e: number, f: number, g: number) => void;
    readonly webengine_enable: (a: number, b: number) => void;
    readonly webengine_explain: (a: number, b: number, c: number) => number;
    readonly webengine_fetched: (a: number, b: number, c: number, d: number, e: number, f: number, g: number) => number;
    readonly webengine_floor: (a: number) => [number, number];
    readonly webengine_forget: (a: number, b: number) => void;
    readonly webengine_held: (a: number, b: number, c: number) => number;
    readonly webengine_hidden: (a: number) => void;
    readonly webengine_left_out: (a: number, b: number, c: number, d: number, e: number) => number;
    readonly webengine_new: (a: number, b: number, c: number, d: number) => number;
    readonly webengine_next_expiry: (a: number, b: number) => number;
    readonly webengine_number: (a: number, b: number) => number;
    readonly webengine_offline: (a: number) => void;
    readonly webengine_online: (a: number, b: number) => void;
    readonly webengine_poll: (a: number, b: number) => number;
    readonly webengine_poll_timeout: (a: number) => number;
    readonly webengine_reconnect: (a: number, b: number) => void;
    readonly webengine_refresh: (a: number, b: number, c: number) => void;
    readonly webengine_restore: (a: number, b: number, c: number, d: number, e: number, f: number) => void;
    readonly webengine_resume_at: (a: number, b: number, c: number) => void;
    readonly webengine_resume_cursor: (a: number) => [number, number];
    readonly webengine_signal: (a: number, b: number, c: number, d: number, e: number, f: number, g: number, h: number, i: number, j: number, k: number) => [number, number];
    readonly webengine_status: (a: number) => number;
    readonly webengine_take_list: (a: number) => [number, number];
    readonly webengine_take_text: (a: number) => [number, number];
    readonly webengine_unwatch: (a: number, b: number, c: number) => void;
    readonly webengine_visible: (a: number, b: number) => void;
    readonly webengine_watch: (a: number, b: number, c: number) => void;
    readonly webengine_wrote: (a: number, b: number, c: number, d: number, e: number) => number;
    readonly __wbindgen_externrefs: WebAssembly.Table;
    readonly __wbindgen_malloc: (a: number, b: number) => number;
    readonly __wbindgen_realloc: (a: number, b: number, c: number, d: number) => number;
    readonly __wbindgen_free: (a: number, b: number, c: number) => void;
    readonly __wbindgen_start: () => void;
}

export type SyncInitInput = BufferSource | WebAssembly.Module;

/**
 * Instantiates the given `module`, which can either be bytes or
 * a precompiled `WebAssembly.Module`.
 *
 * @param {{ module: SyncInitInput }} module - Passing `SyncInitInput` directly is deprecated.
 *
 * @returns {InitOutput}
 */
export function initSync(module: { module: SyncInitInput } | SyncInitInput): InitOutput;

/**
 * If `module_or_path` is {RequestInfo} or {URL}, makes a request and
 * for everything else, calls `WebAssembly.instantiate` directly.
 *
 * @param {{ module_or_path: InitInput | Promise<InitInput> }} module_or_path - Passing `InitInput` directly is deprecated.
 *
 * @returns {Promise<InitOutput>}
 */
export default function __wbg_init (module_or_path: { module_or_path: InitInput | Promise<InitInput> } | InitInput | Promise<InitInput>): Promise<InitOutput>;

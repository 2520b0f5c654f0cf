/* @ts-self-types="./requery_engine.d.ts" */

/**
 * One engine, and the parts of its last result.
 */
export class WebEngine {
    __destroy_into_raw() {
        const ptr = this.__wbg_ptr;
        this.__wbg_ptr = 0;
        WebEngineFinalization.unregister(this);
        return ptr;
    }
    free() {
        const ptr = this.__destroy_into_raw();
        wasm.__wbg_webengine_free(ptr, 0);
    }
    /**
     * How long ago the held answer was last known to be true.
     * @param {number} model
     * @param {number} now
     * @returns {number}
     */
    age(model, now) {
        const ret = wasm.webengine_age(this.__wbg_ptr, model, now);
        return ret;
    }
    /**
     * The connection `id` is open. A duplex connection takes messages.
     * @param {number} id
     * @param {boolean} duplex
     * @param {number} now
     */
    connected(id, duplex, now) {
        wasm.webengine_connected(this.__wbg_ptr, id, duplex, now);
    }
    /**
     * Ends the connection and all fetches until `enable`.
     */
    disable() {
        wasm.webengine_disable(this.__wbg_ptr);
    }
    /**
     * The connection `id` ended. `loss` is 0 ended, 1 not reached, 2 busy (with the wait, if any), 3 refused (with the reason).
     * @param {number} id
     * @param {number} loss
     * @param {number} retry_after
     * @param {string} reason
     * @param {number} now
     */
    disconnected(id, loss, retry_after, reason, now) {
        const val2 = +id;
        const val3 = +loss;
        const val4 = +retry_after;
        const val5 = +now;
        const ptr0 = passStringToWasm0(reason, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
        const len0 = WASM_VECTOR_LEN;
        wasm.webengine_disconnected(this.__wbg_ptr, val2, val3, val4, ptr0, len0, val5);
    }
    /**
     * Ends the effect of `disable`.
     * @param {number} now
     */
    enable(now) {
        wasm.webengine_enable(this.__wbg_ptr, now);
    }
    /**
     * Why the read model is stale, and what it waits for: the state, or -1 for a read model that was never watched.
     * @param {number} model
     * @param {number} now
     * @returns {number}
     */
    explain(model, now) {
        const ret = wasm.webengine_explain(this.__wbg_ptr, model, now);
        return ret;
    }
    /**
     * A fetch ended. `outcome` is 0 fresh, 1 not modified, 2 gone, 3 failed. Returns whether to show the answer.
     * @param {number} ticket
     * @param {number} outcome
     * @param {string} cursor
     * @param {number} retry_after
     * @param {number} now
     * @returns {boolean}
     */
    fetched(ticket, outcome, cursor, retry_after, now) {
        const val2 = +ticket;
        const val3 = +outcome;
        const val4 = +retry_after;
        const val5 = +now;
        const ptr0 = passStringToWasm0(cursor, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
        const len0 = WASM_VECTOR_LEN;
        const ret = wasm.webengine_fetched(this.__wbg_ptr, val2, val3, ptr0, len0, val4, val5);
        return ret !== 0;
    }
    /**
     * The cursor that the application's own writes demand.
     * @returns {string}
     */
    floor() {
        let deferred1_0;
        let deferred1_1;
        try {
            const ret = wasm.webengine_floor(this.__wbg_ptr);
            deferred1_0 = ret[0];
            deferred1_1 = ret[1];
            return getStringFromWasm0(ret[0], ret[1]);
        } finally {
            wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
        }
    }
    /**
     * The driver no longer holds the body of `model`.
     * @param {number} model
     */
    forget(model) {
        wasm.webengine_forget(this.__wbg_ptr, model);
    }
    /**
     * The state of what is held, with numbers and the cursor; -1 for a read model that was never watched.
     * @param {number} model
     * @param {number} now
     * @returns {number}
     */
    held(model, now) {
        const ret = wasm.webengine_held(this.__wbg_ptr, model, now);
        return ret;
    }
    /**
     * The page is hidden.
     */
    hidden() {
        wasm.webengine_hidden(this.__wbg_ptr);
    }
    /**
     * A screen needs the changes of `model` up to `cursor`, which the application left out. Returns whether the text is a
     * cursor.
     * @param {number} model
     * @param {string} cursor
     * @param {number} now
     * @returns {boolean}
     */
    left_out(model, cursor, now) {
        const val2 = +model;
        const val3 = +now;
        const ptr0 = passStringToWasm0(cursor, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
        const len0 = WASM_VECTOR_LEN;
        const ret = wasm.webengine_left_out(this.__wbg_ptr, val2, ptr0, len0, val3);
        return ret !== 0;
    }
    /**
     * `given` has 13 times, in the order below, and three numbers. The read models below `carried` are carried.
     * @param {Float64Array | number[]} given
     * @param {number} carried
     * @param {number} seed
     */
    constructor(given, carried, seed) {
        const val2 = +carried;
        const val3 = +seed;
        const ptr0 = passArrayF64ToWasm0(given, wasm.__wbindgen_malloc);
        const len0 = WASM_VECTOR_LEN;
        const ret = wasm.webengine_new(ptr0, len0, val2, val3);
        this.__wbg_ptr = ret;
        WebEngineFinalization.register(this, this.__wbg_ptr, this);
        return this;
    }
    /**
     * The first time after `now` at which the state of a held answer changes by itself.
     * @param {number} now
     * @returns {number}
     */
    next_expiry(now) {
        const ret = wasm.webengine_next_expiry(this.__wbg_ptr, now);
        return ret;
    }
    /**
     * A number of the last result.
     * @param {number} at
     * @returns {number}
     */
    number(at) {
        const ret = wasm.webengine_number(this.__wbg_ptr, at);
        return ret;
    }
    /**
     * The system has no network.
     */
    offline() {
        wasm.webengine_offline(this.__wbg_ptr);
    }
    /**
     * The system has a network again.
     * @param {number} now
     */
    online(now) {
        wasm.webengine_online(this.__wbg_ptr, now);
    }
    /**
     * The next action: 0 none, 1 disconnect, 2 connect, 3 narrow, 4 fetch, 5 cancel.
     * @param {number} now
     * @returns {number}
     */
    poll(now) {
        const ret = wasm.webengine_poll(this.__wbg_ptr, now);
        return ret >>> 0;
    }
    /**
     * The time of the next poll, unless an input comes before.
     * @returns {number}
     */
    poll_timeout() {
        const ret = wasm.webengine_poll_timeout(this.__wbg_ptr);
        return ret;
    }
    /**
     * A person wishes a new connection.
     * @param {number} now
     */
    reconnect(now) {
        wasm.webengine_reconnect(this.__wbg_ptr, now);
    }
    /**
     * A person wishes a fetch of `model`.
     * @param {number} model
     * @param {number} now
     */
    refresh(model, now) {
        wasm.webengine_refresh(this.__wbg_ptr, model, now);
    }
    /**
     * The driver holds a body of an earlier run, read at `cursor`.
     * @param {number} model
     * @param {string} cursor
     * @param {number} asked_at
     * @param {number} now
     */
    restore(model, cursor, asked_at, now) {
        const val2 = +model;
        const val3 = +asked_at;
        const val4 = +now;
        const ptr0 = passStringToWasm0(cursor, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
        const len0 = WASM_VECTOR_LEN;
        wasm.webengine_restore(this.__wbg_ptr, val2, ptr0, len0, val3, val4);
    }
    /**
     * The first stream continues at `cursor`, the resume cursor of an earlier run.
     * @param {string} cursor
     */
    resume_at(cursor) {
        const ptr0 = passStringToWasm0(cursor, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
        const len0 = WASM_VECTOR_LEN;
        wasm.webengine_resume_at(this.__wbg_ptr, ptr0, len0);
    }
    /**
     * The cursor at which the next stream continues.
     * @returns {string}
     */
    resume_cursor() {
        let deferred1_0;
        let deferred1_1;
        try {
            const ret = wasm.webengine_resume_cursor(this.__wbg_ptr);
            deferred1_0 = ret[0];
            deferred1_1 = ret[1];
            return getStringFromWasm0(ret[0], ret[1]);
        } finally {
            wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
        }
    }
    /**
     * A message came. `kind` and `number` are as in `signals.rs`. Returns the read models whose carried bodies are to be shown.
     * @param {number} id
     * @param {number} kind
     * @param {string} cursor
     * @param {boolean} more
     * @param {number} spread_ms
     * @param {number} number
     * @param {Uint32Array | number[]} places
     * @param {number} now
     * @returns {Uint32Array}
     */
    signal(id, kind, cursor, more, spread_ms, number, places, now) {
        const val3 = +id;
        const val4 = +kind;
        const val5 = +more;
        const val6 = +spread_ms;
        const val7 = +number;
        const val8 = +now;
        let ptr0, len0, ptr1, len1;
        try {
            ptr0 = passStringToWasm0(cursor, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
            len0 = WASM_VECTOR_LEN;
            ptr1 = passArray32ToWasm0(places, wasm.__wbindgen_malloc);
            len1 = WASM_VECTOR_LEN;
        } catch (e) {
            if (ptr1) { wasm.__wbindgen_free(ptr1, len1 * 4, 4); }
            if (ptr0) { wasm.__wbindgen_free(ptr0, len0 * 1, 1); }
            throw e;
        }
        const ret = wasm.webengine_signal(this.__wbg_ptr, val3, val4, ptr0, len0, val5, val6, val7, ptr1, len1, val8);
        var v9 = getArrayU32FromWasm0(ret[0], ret[1]).slice();
        wasm.__wbindgen_free(ret[0], ret[1] * 4, 4);
        return v9;
    }
    /**
     * The state of the connection, with numbers and a text.
     * @returns {number}
     */
    status() {
        const ret = wasm.webengine_status(this.__wbg_ptr);
        return ret >>> 0;
    }
    /**
     * The places of the last result.
     * @returns {Uint32Array}
     */
    take_list() {
        const ret = wasm.webengine_take_list(this.__wbg_ptr);
        var v1 = getArrayU32FromWasm0(ret[0], ret[1]).slice();
        wasm.__wbindgen_free(ret[0], ret[1] * 4, 4);
        return v1;
    }
    /**
     * The text of the last result.
     * @returns {string}
     */
    take_text() {
        let deferred1_0;
        let deferred1_1;
        try {
            const ret = wasm.webengine_take_text(this.__wbg_ptr);
            deferred1_0 = ret[0];
            deferred1_1 = ret[1];
            return getStringFromWasm0(ret[0], ret[1]);
        } finally {
            wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
        }
    }
    /**
     * No screen shows `model` any more.
     * @param {number} model
     * @param {number} now
     */
    unwatch(model, now) {
        wasm.webengine_unwatch(this.__wbg_ptr, model, now);
    }
    /**
     * The page is visible again.
     * @param {number} now
     */
    visible(now) {
        wasm.webengine_visible(this.__wbg_ptr, now);
    }
    /**
     * A screen shows `model` from now on.
     * @param {number} model
     * @param {number} now
     */
    watch(model, now) {
        wasm.webengine_watch(this.__wbg_ptr, model, now);
    }
    /**
     * The application wrote a change of `model`. Returns whether the text is a cursor.
     * @param {number} model
     * @param {string} cursor
     * @param {number} now
     * @returns {boolean}
     */
    wrote(model, cursor, now) {
        const val2 = +model;
        const val3 = +now;
        const ptr0 = passStringToWasm0(cursor, wasm.__wbindgen_malloc, wasm.__wbindgen_realloc);
        const len0 = WASM_VECTOR_LEN;
        const ret = wasm.webengine_wrote(this.__wbg_ptr, val2, ptr0, len0, val3);
        return ret !== 0;
    }
}
if (Symbol.dispose) WebEngine.prototype[Symbol.dispose] = WebEngine.prototype.free;
function __wbg_get_imports() {
    const import0 = {
        __proto__: null,
        __wbg___wbindgen_throw_4c88d8bf264fd984: function(arg0, arg1) {
            throw new Error(getStringFromWasm0(arg0, arg1));
        },
        __wbindgen_init_externref_table: function() {
            const table = wasm.__wbindgen_externrefs;
            table.set(0, undefined);
            table.set(1024, undefined);
            table.set(1025, null);
            table.set(1026, true);
            table.set(1027, false);
        },
    };
    return {
        __proto__: null,
        "./requery_engine_bg.js": import0,
    };
}

const WebEngineFinalization = (typeof FinalizationRegistry === 'undefined')
    ? { register: () => {}, unregister: () => {} }
    : new FinalizationRegistry(ptr => wasm.__wbg_webengine_free(ptr, 1));

function getArrayU32FromWasm0(ptr, len) {
    ptr = ptr >>> 0;
    return getUint32ArrayMemory0().subarray(ptr / 4, ptr / 4 + len);
}

let cachedFloat64ArrayMemory0 = null;
function getFloat64ArrayMemory0() {
    if (cachedFloat64ArrayMemory0 === null || cachedFloat64ArrayMemory0.byteLength === 0) {
        cachedFloat64ArrayMemory0 = new Float64Array(wasm.memory.buffer);
    }
    return cachedFloat64ArrayMemory0;
}

function getStringFromWasm0(ptr, len) {
    ptr = ptr >>> 0;
    return decodeText(getUint8ArrayMemory0().subarray(ptr, ptr + len));
}

let cachedUint32ArrayMemory0 = null;
function getUint32ArrayMemory0() {
    if (cachedUint32ArrayMemory0 === null || cachedUint32ArrayMemory0.byteLength === 0) {
        cachedUint32ArrayMemory0 = new Uint32Array(wasm.memory.buffer);
    }
    return cachedUint32ArrayMemory0;
}

let cachedUint8ArrayMemory0 = null;
function getUint8ArrayMemory0() {
    if (cachedUint8ArrayMemory0 === null || cachedUint8ArrayMemory0.byteLength === 0) {
        cachedUint8ArrayMemory0 = new Uint8Array(wasm.memory.buffer);
    }
    return cachedUint8ArrayMemory0;
}

function passArray32ToWasm0(arg, malloc) {
    const ptr = malloc(arg.length * 4, 4) >>> 0;
    getUint32ArrayMemory0().set(arg, ptr / 4);
    WASM_VECTOR_LEN = arg.length;
    return ptr;
}

function passArrayF64ToWasm0(arg, malloc) {
    const ptr = malloc(arg.length * 8, 8) >>> 0;
    getFloat64ArrayMemory0().set(arg, ptr / 8);
    WASM_VECTOR_LEN = arg.length;
    return ptr;
}

function passStringToWasm0(arg, malloc, realloc) {
    if (realloc === undefined) {
        const buf = cachedTextEncoder.encode(arg);
        const ptr = malloc(buf.length, 1) >>> 0;
        getUint8ArrayMemory0().subarray(ptr, ptr + buf.length).set(buf);
        WASM_VECTOR_LEN = buf.length;
        return ptr;
    }

    let len = arg.length;
    let ptr = malloc(len, 1) >>> 0;

    const mem = getUint8ArrayMemory0();

    let offset = 0;

    for (; offset < len; offset++) {
        const code = arg.charCodeAt(offset);
        if (code > 0x7F) break;
        mem[ptr + offset] = code;
    }
    if (offset !== len) {
        if (offset !== 0) {
            arg = arg.slice(offset);
        }
        ptr = realloc(ptr, len, len = offset + arg.length * 3, 1) >>> 0;
        const view = getUint8ArrayMemory0().subarray(ptr + offset, ptr + len);
        const ret = cachedTextEncoder.encodeInto(arg, view);

        offset += ret.written;
        ptr = realloc(ptr, len, offset, 1) >>> 0;
    }

    WASM_VECTOR_LEN = offset;
    return ptr;
}

let cachedTextDecoder = new TextDecoder('utf-8', { ignoreBOM: true });
cachedTextDecoder.decode();
const MAX_SAFARI_DECODE_BYTES = 2146435072;
let numBytesDecoded = 0;
function decodeText(bytes) {
    numBytesDecoded += bytes.length;
    if (numBytesDecoded >= MAX_SAFARI_DECODE_BYTES) {
        cachedTextDecoder = new TextDecoder('utf-8', { ignoreBOM: true });
        cachedTextDecoder.decode();
        numBytesDecoded = bytes.length;
    }
    return cachedTextDecoder.decode(bytes);
}

const cachedTextEncoder = new TextEncoder();

if (!('encodeInto' in cachedTextEncoder)) {
    cachedTextEncoder.encodeInto = function (arg, view) {
        const buf = cachedTextEncoder.encode(arg);
        view.set(buf);
        return {
            read: arg.length,
            written: buf.length
        };
    };
}

let WASM_VECTOR_LEN = 0;

let wasmModule, wasmInstance, wasm;
function __wbg_finalize_init(instance, module) {
    wasmInstance = instance;
    wasm = instance.exports;
    wasmModule = module;
    cachedFloat64ArrayMemory0 = null;
    cachedUint32ArrayMemory0 = null;
    cachedUint8ArrayMemory0 = null;
    wasm.__wbindgen_start();
    return wasm;
}

async function __wbg_load(module, imports) {
    if (typeof Response === 'function' && module instanceof Response) {
        if (!module.ok) {
            throw new Error(`failed to fetch Wasm: ${module.status} ${module.statusText} fetching '${module.url}'`);
        }

        if (typeof WebAssembly.instantiateStreaming === 'function') {
            try {
                return await WebAssembly.instantiateStreaming(module, imports);
            } catch (e) {
                const validResponse = expectedResponseType(module.type);

                if (validResponse && module.headers.get('Content-Type') !== 'application/wasm') {
                    console.warn("`WebAssembly.instantiateStreaming` failed because your server does not serve Wasm with `application/wasm` MIME type. Falling back to `WebAssembly.instantiate` which is slower. Original error:\n", e);

                } else { throw e; }
            }
        }

        const bytes = await module.arrayBuffer();
        return await WebAssembly.instantiate(bytes, imports);
    } else {
        const instance = await WebAssembly.instantiate(module, imports);

        if (instance instanceof WebAssembly.Instance) {
            return { instance, module };
        } else {
            return instance;
        }
    }

    function expectedResponseType(type) {
        switch (type) {
            case 'basic': case 'cors': case 'default': return true;
        }
        return false;
    }
}

function initSync(module) {
    if (wasm !== undefined) return wasm;


    if (module !== undefined) {
        if (Object.getPrototypeOf(module) === Object.prototype) {
            ({module} = module)
        } else {
            console.warn('using deprecated parameters for `initSync()`; pass a single object instead')
        }
    }

    const imports = __wbg_get_imports();
    if (!(module instanceof WebAssembly.Module)) {
        module = new WebAssembly.Module(module);
    }
    const instance = new WebAssembly.Instance(module, imports);
    return __wbg_finalize_init(instance, module);
}

let __wbg_init_promise;
async function __wbg_init(module_or_path) {
    if (wasm !== undefined) return wasm;
    if (__wbg_init_promise === undefined) {
        __wbg_init_promise = __wbg_init_once(module_or_path);
        __wbg_init_promise.catch(() => { __wbg_init_promise = undefined; });
    }
    return __wbg_init_promise;
}

async function __wbg_init_once(module_or_path) {

    if (module_or_path !== undefined) {
        if (Object.getPrototypeOf(module_or_path) === Object.prototype) {
            ({module_or_path} = module_or_path)
        } else {
            console.warn('using deprecated parameters for the initialization function; pass a single object instead')
        }
    }


    const imports = __wbg_get_imports();

    if (typeof module_or_path === 'string' || (typeof Request === 'function' && module_or_path instanceof Request) || (typeof URL === 'function' && module_or_path instanceof URL)) {
        module_or_path = fetch(module_or_path);
    }

    const { instance, module } = await __wbg_load(await module_or_path, imports);

    return __wbg_finalize_init(instance, module);
}

export { initSync, __wbg_init as default };

/** Loads the engine, which lies beside the package's code. */

let loading: Promise<WebAssembly.Module> | null = null;

/** The compiled engine, once for a page. A failure is not kept, so a later store tries again. */
export function loadEngine(): Promise<WebAssembly.Module> {
  loading ??= load().catch((error: unknown) => {
    loading = null;
    throw error;
  });
  return loading;
}

async function load(): Promise<WebAssembly.Module> {
  // Bundlers know this form and copy the file.
  const url = new URL("../wasm/requery_engine.wasm", import.meta.url);
  if (url.protocol === "file:") {
    const { readFile } = await import(/* @vite-ignore */ "node:fs/promises" as string);
    return WebAssembly.compile(await readFile(url));
  }
  const response = await fetch(url);
  if (!response.ok) {
    throw new Error(`the engine is not at ${url.href}: the server answered ${response.status}`);
  }
  // A server may give the file another type than `application/wasm`, which `compileStreaming` refuses.
  return WebAssembly.compile(await response.arrayBuffer());
}

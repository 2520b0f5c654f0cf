// Copies the engine beside the compiled tests, which import its glue from there.
import { cp } from "node:fs/promises";

await cp(new URL("../wasm/", import.meta.url), new URL("../build/wasm/", import.meta.url), { recursive: true });

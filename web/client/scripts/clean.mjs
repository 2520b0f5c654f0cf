// Removes the folder of an earlier build.
import { rm } from "node:fs/promises";

await rm(new URL(`../${process.argv[2]}/`, import.meta.url), { recursive: true, force: true });

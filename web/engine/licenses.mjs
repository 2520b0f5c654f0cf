// Prints the licences of the crates that are compiled into the module.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const cargo = (...options) => execFileSync("cargo", [...options, "--locked"], { maxBuffer: 1 << 26 }).toString();
const tree = [
  "--package",
  "requery-web-engine",
  "--target",
  "wasm32-unknown-unknown",
  "--edges",
  "normal,no-proc-macro",
];
const compiled = new Set(cargo("tree", ...tree, "--prefix", "none", "--format", "{p}").split("\n"));
const { packages } = JSON.parse(cargo("metadata", "--format-version", "1"));

const line = `\n${"-".repeat(80)}\n\n`;
const parts = packages
  // A crate of this workspace has no source; the licences of this workspace lie beside the package.
  .filter(({ name, version, source }) => source !== null && compiled.has(`${name} v${version}`))
  .map(({ name, version, license, manifest_path }) => {
    const folder = dirname(manifest_path);
    const files = readdirSync(folder).filter((entry) => /^(licen[cs]e|copying)/i.test(entry));
    const file = files.find((entry) => /mit/i.test(entry)) ?? files[0];
    if (file === undefined) throw new Error(`${name} has no licence file`);
    return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
  });
const standard = "The standard library of Rust (MIT OR Apache-2.0): https://github.com/rust-lang/rust\n";
console.log([standard, ...parts].join(line).trimEnd());

// Builds the package. npm runs this script when the package is packed or installed from its folder, which can be that of a
// fresh clone: the compiler is installed first.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const web = new URL("../../", import.meta.url);

function npm(folder, ...args) {
  const shell = process.platform === "win32";
  const { status } = spawnSync("npm", args, { cwd: fileURLToPath(folder), stdio: ["ignore", 2, 2], shell });
  if (status !== 0) {
    process.exit(status ?? 1);
  }
}

if (!existsSync(new URL("node_modules/typescript/package.json", web))) {
  npm(web, "ci", "--ignore-scripts", "--install-links=false", "--no-fund", "--no-audit");
}
npm(new URL("client/", web), "run", "--silent", "build");

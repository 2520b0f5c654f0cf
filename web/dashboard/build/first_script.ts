import type { Plugin } from "vite";
import { FIRST_READ } from "./chunks.ts";

/** Names the script of the first read in the head of the page, before the script of the page: it runs as it arrives. */
export function firstScript(): Plugin {
  return {
    name: "first-script",
    apply: "build",
    transformIndexHtml: {
      order: "post",
      handler(html, { bundle }) {
        const file = Object.values(bundle ?? {}).find(({ fileName }) => fileName.includes(`/${FIRST_READ.name}-`));
        if (file === undefined) throw new Error(`the build has no script ${FIRST_READ.name}`);
        // Without the wait for it, the browser lays the bar out first, and the requests begin later.
        const attrs = { type: "module", async: true, blocking: "render", crossorigin: true, src: `/${file.fileName}` };
        // The first frame has the rows: a frame with the bar alone would come before them, and cost their time.
        const blocking = html.replace('<script type="module" ', '<script type="module" blocking="render" ');
        if (blocking === html) throw new Error("the build has no script of the page in the form that is expected");
        return {
          html: blocking,
          tags: [{ tag: "script", attrs, injectTo: "head-prepend" }],
        };
      },
    },
  };
}

/** No file of the build has files to load before it, so the loader that Vite adds for them is one call. */
export function plainImports(): Plugin {
  return {
    name: "plain-imports",
    apply: "build",
    enforce: "pre",
    load: (id) => (id === "\0vite/preload-helper.js" ? "export const __vitePreload = (load) => load();" : null),
  };
}

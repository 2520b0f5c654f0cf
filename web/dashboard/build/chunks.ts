/**
 * Puts the modules that the first screen needs into one file, and the other screens into another one: each further file
 * costs a slow machine milliseconds, and one file compresses better than several.
 */

interface Graph {
  getModuleInfo(id: string): { isEntry: boolean; importers: readonly string[] } | null;
}

const known = new Map<string, boolean>();

/** Whether the page imports a module at once, and not on demand. */
function isFirst(id: string, graph: Graph): boolean {
  const held = known.get(id);
  if (held !== undefined) return held;
  known.set(id, false);
  const module = graph.getModuleInfo(id);
  const first = module !== null && (module.isEntry || module.importers.some((importer) => isFirst(importer, graph)));
  known.set(id, first);
  return first;
}

/** The script that reads the first rows stands alone, because it runs before the others are there. */
export const FIRST_READ = { name: "first_read", test: /\/dashboard\/src\/first_read\.ts$/, priority: 1 };

export function chunkOf(id: string, graph: Graph): string | null {
  if (isFirst(id, graph)) return "first";
  return id.includes("/dashboard/src/") ? "screens" : null;
}

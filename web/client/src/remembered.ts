/** The bound of the bodies that no screen shows, in a host and in each page. */
import type { Body } from "./endpoint.js";

/** The bodies without a screen take at most this many characters: dozens of long tasks, and little for a browser. */
export const rememberedSize = 16 * 1024 * 1024;

/** The characters of a body. */
export function size(body: Body | null | undefined): number {
  return body ? body.sizes.reduce((sum, part) => sum + part, 0) : 0;
}

/** A document for tests of hooks. React looks for it when it is imported. */
import { Window } from "happy-dom";

const window = new Window({ url: "http://server.test/" });
const { document } = window;
Object.assign(globalThis, { window, document, IS_REACT_ACT_ENVIRONMENT: true });
// `navigator` of Node cannot be assigned.
Object.defineProperty(globalThis, "navigator", { value: window.navigator, configurable: true });

export function container(): Element {
  const element = document.createElement("div");
  document.body.append(element);
  // The element is one of happy-dom, which has the interface of a browser's.
  return element as unknown as Element;
}

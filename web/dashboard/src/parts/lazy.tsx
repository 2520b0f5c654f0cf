/** Screens that are loaded when they are first shown, so that the first rows do not wait for their code. */
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Failed, Waiting } from "./states";

type Loaded<P> = { screen: ComponentType<P> } | { error: string } | null;

export interface Lazy<P> {
  (props: P): preact.JSX.Element;
  /** Loads the code; a call for code that is there does no work. */
  load: () => Promise<void>;
}

export function lazy<P extends object>(fetchCode: () => Promise<ComponentType<P>>): Lazy<P> {
  let loaded: Loaded<P> = null;
  let loading: Promise<void> | null = null;
  const load = () => {
    loading ??= fetchCode().then(
      (screen) => {
        loaded = { screen };
      },
      () => {
        // A server that was replaced has other files, and a server that is away has none.
        loaded = { error: "The server does not have this screen of the page. Load the page again." };
        loading = null;
      },
    );
    return loading;
  };
  const Show: Lazy<P> = (props: P) => {
    const [now, show] = useState<Loaded<P>>(loaded);
    useEffect(() => {
      if (now === null || "error" in now) void load().then(() => show(loaded));
    }, []);
    if (now === null) return <Waiting />;
    if ("error" in now) return <Failed error={now.error} />;
    return <now.screen {...props} />;
  };
  Show.load = load;
  return Show;
}

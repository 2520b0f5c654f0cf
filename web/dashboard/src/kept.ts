/** The choices that a browser remembers. */

/** A stored choice of a person, and `other` without one. The page works on where storage is forbidden or full. */
export function kept(name: string, other = false): { read: () => boolean; write: (value: boolean) => void } {
  return {
    read: () => {
      try {
        const text = localStorage.getItem(name);
        return text === null ? other : text === "on";
      } catch {
        return other;
      }
    },
    write: (value) => {
      try {
        localStorage.setItem(name, value ? "on" : "off");
      } catch {
        // The choice then lasts as long as the page.
      }
    },
  };
}

/**
 * A list that makes elements only for the rows in view. Each row knows its height, so no row is measured and no row
 * jumps. The first row in view keeps its place when rows come before it, unless the list follows its end.
 */
import type { ComponentChildren, RefObject } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";

const AROUND = 12;
/** The distance to the end within which the list counts as at its end. */
const NEAR_PX = 24;
/** The distance to the begin at which older rows are asked for. */
const EARLY_PX = 1200;

/** The row at the upper edge of the view, and the pixels of it that are above the edge. */
export interface Anchor {
  id: string;
  offset: number;
}

export function VirtualList<T>({
  box,
  anchor,
  rows,
  idOf,
  heightOf,
  render,
  label,
  isFollowing,
  setFollowing,
  atBegin,
  inView,
  shown,
}: {
  box: RefObject<HTMLDivElement | null>;
  /** The place to begin at; later the place of the view. */
  anchor: { current: Anchor | null };
  rows: readonly T[];
  idOf: (row: T) => string;
  heightOf: (row: T) => number;
  render: (row: T) => ComponentChildren;
  label: string;
  isFollowing: boolean;
  setFollowing: (value: boolean) => void;
  atBegin: () => void;
  inView: (first: T, last: T) => void;
  /** The id of the row to bring into view, each time it changes. */
  shown: string | null;
}) {
  const [view, setView] = useState({ top: 0, height: 800 });
  /** The scroll position that this list set; a scroll event with another one comes from the person. */
  const own = useRef(0);
  const offsets = useMemo(() => {
    const sums = new Float64Array(rows.length + 1);
    rows.forEach((row, at) => {
      sums[at + 1] = (sums[at] ?? 0) + heightOf(row);
    });
    return sums;
  }, [rows]);
  const whole = offsets[rows.length] ?? 0;
  const first = Math.max(0, rowAt(offsets, view.top) - AROUND);
  const end = Math.min(rows.length, rowAt(offsets, view.top + view.height) + AROUND + 1);

  const keepAnchor = (top: number) => {
    const at = rowAt(offsets, top);
    const row = rows[at];
    anchor.current = row === undefined ? null : { id: idOf(row), offset: top - (offsets[at] ?? 0) };
  };
  const scrollTo = (top: number) => {
    const element = box.current;
    if (!element) return;
    element.scrollTop = top;
    own.current = element.scrollTop;
    keepAnchor(element.scrollTop);
    setView((held) =>
      held.top === element.scrollTop ? held : { top: element.scrollTop, height: element.clientHeight },
    );
  };

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    if (isFollowing) {
      scrollTo(whole);
      return;
    }
    const held = anchor.current;
    if (held === null) return;
    const at = rows.findIndex((row) => idOf(row) === held.id);
    if (at === -1) return;
    const top = (offsets[at] ?? 0) + held.offset;
    if (Math.abs(top - element.scrollTop) >= 1) scrollTo(top);
  }, [rows, isFollowing]);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setView({ top: element.scrollTop, height: element.clientHeight }));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const at = shown === null ? -1 : rows.findIndex((row) => idOf(row) === shown);
  useEffect(() => {
    const element = box.current;
    if (at === -1 || !element) return;
    const top = offsets[at] ?? 0;
    if (top < element.scrollTop || top + 28 > element.scrollTop + element.clientHeight) {
      setFollowing(false);
      scrollTo(top - element.clientHeight / 3);
    }
  }, [shown, at === -1]);

  useEffect(() => {
    const top = rows[rowAt(offsets, view.top)];
    const bottom = rows[rowAt(offsets, view.top + view.height)];
    if (top !== undefined && bottom !== undefined) inView(top, bottom);
  }, [rows, view]);

  const scrolled = () => {
    const element = box.current;
    if (!element) return;
    const top = element.scrollTop;
    if (top < EARLY_PX) atBegin();
    setView({ top, height: element.clientHeight });
    if (Math.abs(top - own.current) < 1) return;
    own.current = top;
    keepAnchor(top);
    setFollowing(whole - top - element.clientHeight < NEAR_PX);
  };

  return (
    <div
      class="virtual"
      ref={box}
      onScroll={scrolled}
      // A row with the focus must not move.
      onFocusIn={() => setFollowing(false)}
      role="feed"
      aria-label={label}
      aria-busy="false"
    >
      <div style={{ height: `${offsets[first] ?? 0}px` }} />
      {rows.slice(first, end).map((row) => (
        <article key={idOf(row)} style={{ height: `${heightOf(row)}px` }}>
          {render(row)}
        </article>
      ))}
      <div style={{ height: `${whole - (offsets[end] ?? whole)}px` }} />
    </div>
  );
}

/** The row at a distance from the begin, by halving. */
function rowAt(offsets: Float64Array, top: number): number {
  let low = 0;
  let high = Math.max(0, offsets.length - 2);
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((offsets[middle] ?? 0) <= top) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Cursors, as far as the package compares them: the contract defines covering alone. */

/** Whether `one` contains every change that `other` contains. */
export function covers(one: string, other: string): boolean {
  const [a, b] = [parse(one), parse(other)];
  if (!a || !b || a.epoch !== b.epoch) {
    return false;
  }
  const missed = new Set(b.open);
  for (let number = a.next; number < b.next; number += 1n) {
    // Each number has to be listed, and the list is short.
    if (!missed.has(number)) {
      return false;
    }
  }
  return a.open.every((number) => number >= b.next || missed.has(number));
}

/** The epoch of a cursor. */
export function epoch(cursor: string): string {
  return cursor.slice(0, cursor.indexOf(":"));
}

function parse(cursor: string): { epoch: string; next: bigint; open: bigint[] } | null {
  const [, epoch, next, open] = /^([\w-]+):\d+:(\d+):([\d,]*)$/.exec(cursor) ?? [];
  if (epoch === undefined || next === undefined) {
    return null;
  }
  return { epoch, next: BigInt(next), open: open ? open.split(",").filter(Boolean).map(BigInt) : [] };
}

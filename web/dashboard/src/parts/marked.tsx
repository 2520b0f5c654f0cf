/** A text with the marks of a search. Marks count code points, and the text is never markup. */
export function Marked({ text, marks }: { text: string; marks: readonly (readonly number[])[] }) {
  const points = [...text];
  const parts: preact.ComponentChildren[] = [];
  let at = 0;
  for (const [start = 0, end = 0] of marks) {
    if (start < at || end <= start) continue;
    parts.push(points.slice(at, start).join(""), <mark key={start}>{points.slice(start, end).join("")}</mark>);
    at = end;
  }
  parts.push(points.slice(at).join(""));
  return <>{parts}</>;
}

/** The body of an event as text. Lines of a diff have a colour; no text of an agent is ever markup. */

const DIFF = /^(?:diff --git |@@ -\d+|--- \S|\+\+\+ \S)/m;
/** A longer text is shown as one node: the colours of a diff cost one element for each line. */
const MOST_COLOURED_LINES = 2000;

export function TextBlock({ text }: { text: string }) {
  const lines = DIFF.test(text) ? text.split("\n") : [];
  if (lines.length === 0 || lines.length > MOST_COLOURED_LINES)
    return (
      <pre class="text" dir="auto">
        {text}
      </pre>
    );
  return (
    <pre class="text">
      {lines.map((line, at) => (
        <span key={at} class={classOf(line)}>{`${line}\n`}</span>
      ))}
    </pre>
  );
}

function classOf(line: string): string {
  if (line.startsWith("@@")) return "hunk";
  if (line.startsWith("+") && !line.startsWith("+++")) return "added";
  if (line.startsWith("-") && !line.startsWith("---")) return "removed";
  return "";
}

import { age, ageInWords, spanInWords } from "../clock";

/**
 * The time since `time`, in one unit. The whole time becomes its title under the pointer. With `isSpan` a screen reader
 * reads "for 5 minutes" in place of "5 minutes ago".
 */
export function Age({
  time,
  label,
  isSpan,
  saysAgo,
}: {
  time: string | number;
  label?: string;
  isSpan?: boolean;
  /** Adds the word "ago", because the row shows a second time. */
  saysAgo?: boolean;
}) {
  const iso = typeof time === "number" ? new Date(time).toISOString() : time;
  const short = age(time);
  const words = label === undefined ? short : short === "now" ? (isSpan ? label : "just now") : `${label} ${short}`;
  return (
    <time class="age" dateTime={iso}>
      <span aria-hidden="true">
        {words}
        {saysAgo && short !== "now" ? <span class="ago"> ago</span> : null}
      </span>
      <span class="unseen">
        {label === undefined ? "" : `${label} `}
        {isSpan ? spanInWords(time) : ageInWords(time)}
      </span>
    </time>
  );
}

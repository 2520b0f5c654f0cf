import { age, ageInWords } from "../clock";

/** The time since `time`, in one unit. The whole time becomes its title under the pointer. */
export function Age({ time, label }: { time: string | number; label?: string }) {
  const iso = typeof time === "number" ? new Date(time).toISOString() : time;
  const short = age(time);
  return (
    <time class="age" dateTime={iso}>
      <span aria-hidden="true">{label === undefined ? short : short === "now" ? "just now" : `${label} ${short}`}</span>
      <span class="unseen">
        {label === undefined ? "" : `${label}, `}
        {ageInWords(time)}
      </span>
    </time>
  );
}

import { age, ageInWords, fullTime } from "../clock";

/** The time since `time`, in one unit; the whole time is its title. */
export function Age({ time, label }: { time: string | number; label?: string }) {
  const iso = typeof time === "number" ? new Date(time).toISOString() : time;
  return (
    <time class="age" dateTime={iso} title={fullTime(time)}>
      {label === undefined ? null : `${label} `}
      <span aria-hidden="true">{age(time)}</span>
      <span class="unseen">{ageInWords(time)}</span>
    </time>
  );
}

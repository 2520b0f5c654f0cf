import { age, ageInWords, spanInWords } from "../clock";

/** A time with the words on the screen and the words of a screen reader. The whole time becomes its title. */
function Time({ time, shown, spoken }: { time: string | number; shown: preact.ComponentChildren; spoken: string }) {
  return (
    <time class="age" dateTime={typeof time === "number" ? new Date(time).toISOString() : time}>
      <span aria-hidden="true">{shown}</span>
      <span class="unseen">{spoken}</span>
    </time>
  );
}

/** The time since `time`, in one unit: `5m`, or with a label `began 5m`. */
export function Age({
  time,
  label,
  saysAgo,
}: {
  time: string | number;
  label?: string;
  /** Adds the word "ago", because the row shows a second time. */
  saysAgo?: boolean;
}) {
  const short = age(time);
  const ago = saysAgo && short !== "now" ? <span class="ago"> ago</span> : null;
  const shown = label === undefined ? short : short === "now" ? "just now" : `${label} ${short}`;
  return (
    <Time
      time={time}
      shown={
        <>
          {shown}
          {ago}
        </>
      }
      spoken={`${label === undefined ? "" : `${label} `}${ageInWords(time)}`}
    />
  );
}

/** A request that may be answered already: `permission asked 20s ago`. */
export function Asked({ time, request }: { time: string; request: string }) {
  const short = age(time);
  return (
    <Time
      time={time}
      shown={`${request} asked ${short === "now" ? "just now" : `${short} ago`}`}
      spoken={`${request} asked ${ageInWords(time)}`}
    />
  );
}

/** How long a state has lasted: `waits 5m`. A screen reader reads "waits for 5 minutes". */
export function Span({ since, state }: { since: string; state: string }) {
  const short = age(since);
  return (
    <Time
      time={since}
      shown={short === "now" ? state : `${state} ${short}`}
      spoken={`${state} ${spanInWords(since)}`}
    />
  );
}

/** The help: each key that works now, and the choices of sounds, notifications and keys. */
import { say } from "../actions";
import { isNotifying, isSounding, toggleNotify, toggleSound } from "../heard";
import { hasLetterKeys, keys, toggleLetterKeys } from "../keys";
import { Dialog } from "../parts/dialog";
import { Mark } from "../parts/mark";
import { SHAPE_WORDS, type Shape } from "../words";

const MEANINGS: Record<Shape, string> = {
  asks: "the agent cannot go on without your answer",
  asked: "the agent asked you, and may have the answer already",
  doubt: "the agent should run, and is silent or gone",
  turn: "the agent ended its turn, was stopped, or waits for input",
  running: "the agent works",
  ready: "the agent has no prompt yet",
  scheduled: "the agent goes on by itself",
  completed: "the work ended well",
  errored: "the work failed",
};

export function Help({ close }: { close: () => void }) {
  const names = [...new Set(keys.value.map(({ group }) => group))];
  return (
    <Dialog title="Keys and signs" close={close}>
      <div class="help">
        {names.map((group) => (
          <section key={group}>
            <h3>{group}</h3>
            <dl class="keys">
              {keys.value
                .filter((one) => one.group === group)
                .map(({ key, does }) => (
                  <div key={key}>
                    <dt>
                      <kbd>{key === " " ? "Space" : key}</kbd>
                    </dt>
                    <dd>{does}</dd>
                  </div>
                ))}
            </dl>
          </section>
        ))}
        <section>
          <h3>Signs</h3>
          <dl class="keys">
            {(Object.keys(MEANINGS) as Shape[]).map((shape) => (
              <div key={shape}>
                <dt>
                  <Mark shape={shape} silent />
                </dt>
                <dd>
                  <b>{SHAPE_WORDS[shape]}</b>: {MEANINGS[shape]}
                </dd>
              </div>
            ))}
          </dl>
        </section>
        <section>
          <h3>When a task starts to wait</h3>
          <p>
            <button type="button" aria-pressed={isNotifying.value} onClick={() => void toggleNotify().then(say)}>
              Notification: {isNotifying.value ? "on" : "off"}
            </button>{" "}
            <button type="button" aria-pressed={isSounding.value} onClick={() => say(toggleSound())}>
              Sound: {isSounding.value ? "on" : "off"}
            </button>
          </p>
        </section>
        <section>
          <h3>Keys of one character</h3>
          <p>
            <button type="button" aria-pressed={hasLetterKeys.value} onClick={() => say(toggleLetterKeys())}>
              Keys of one character: {hasLetterKeys.value ? "on" : "off"}
            </button>{" "}
            <span class="dim">The button ? in the bar opens this help without a key.</span>
          </p>
        </section>
        <p class="dim">
          <a href="/docs" target="_blank" rel="noreferrer">
            All operations of the server
          </a>
        </p>
      </div>
    </Dialog>
  );
}

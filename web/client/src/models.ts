/**
 * Read models and the numbers that stand for them in the engine. The engine orders read models by their numbers, as the
 * contract's list orders them: the overview, the tasks, the bookmarks, the agents. Only tasks have a group: every task.
 */

/** A read model: `overview`, `bookmarks`, `agents` or `task:<id>`. */
export type ReadModel = "overview" | "bookmarks" | "agents" | `task:${string}`;

/** The name of every task at once, in a list of the contract. */
export const everyTask = "task:*";

/** The number of the overview. It alone comes with the first message of a stream. */
export const overviewNumber = 0;
/** How many read models the first message carries. */
export const carried = 1;

const firstTask = 1 << 24;
const bookmarksNumber = 2 << 24;
const agentsNumber = 3 << 24;
/** A number that no read model has. */
export const unusedNumber = firstTask - 1;
/** The group of a number is its upper bits, and the highest bit says that a number is a group. */
const everyTaskNumber = 0x8000_0001;

const id = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The read model with this name, in its one spelling. Null: the text names none. */
export function readModel(text: string): ReadModel | null {
  if (text === "overview" || text === "bookmarks" || text === "agents") {
    return text;
  }
  const task = text.startsWith("task:") ? text.slice(5).toLowerCase() : "";
  return id.test(task) ? `task:${task}` : null;
}

/** The numbers of the read models that the application uses. */
export class ModelNumbers {
  readonly #numbers = new Map<ReadModel, number>([
    ["overview", overviewNumber],
    ["bookmarks", bookmarksNumber],
    ["agents", agentsNumber],
  ]);
  readonly #names = new Map<number, ReadModel>([
    [overviewNumber, "overview"],
    [bookmarksNumber, "bookmarks"],
    [agentsNumber, "agents"],
  ]);
  #next = firstTask;

  /** The number of a read model, which gets one if it has none. */
  of(model: ReadModel): number {
    const known = this.#numbers.get(model);
    if (known !== undefined) {
      return known;
    }
    const number = this.#next;
    this.#next += 1;
    this.#numbers.set(model, number);
    this.#names.set(number, model);
    return number;
  }

  /** The number of a read model. Undefined: it has none. */
  known(model: ReadModel): number | undefined {
    return this.#numbers.get(model);
  }

  /**
   * The number of an entry of a list, or of a read model that a notice makes stale. Undefined: the application does not
   * use that task, so the engine need not hear of it.
   */
  place(text: string): number | undefined {
    return text === everyTask ? everyTaskNumber : this.#numbers.get(text as ReadModel);
  }

  /** The read model with this number. */
  name(number: number): ReadModel {
    const name = this.#names.get(number);
    if (name === undefined) {
      throw new Error(`no read model has the number ${number}`);
    }
    return name;
  }

  /** The text of an entry of a list for the server. */
  entry(place: number): string {
    return place === everyTaskNumber ? everyTask : this.name(place);
  }

  /** Releases the number of a task that the engine no longer remembers. */
  release(model: ReadModel): void {
    const number = this.#numbers.get(model);
    if (number !== undefined && model.startsWith("task:")) {
      this.#numbers.delete(model);
      this.#names.delete(number);
    }
  }
}

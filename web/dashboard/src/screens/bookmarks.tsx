/** The bookmarks: marks on tasks and events, each with a note and a way back. */
import { useRef, useState } from "preact/hooks";
import "../styles/lists.css";
import { bookmark, removeBookmark, say } from "../actions";
import { query } from "../ask";
import { useCalm } from "../calm";
import { useKeys } from "../keys";
import { useChanges, useModel } from "../live";
import { joined, useOlder } from "../older_rows";
import { Age } from "../parts/age";
import { Belief } from "../parts/belief";
import { Empty, Failed, Waiting } from "../parts/states";
import { project, to } from "../route";
import type { Bookmark } from "../rows";

const PAGE_ROWS = 100;

const idOf = ({ bookmark_id }: Bookmark) => bookmark_id;

export function Bookmarks() {
  const { data, error } = useModel("bookmarks");
  const older = useOlder<Bookmark>(
    `/api/v1/bookmarks${query({ project: project.value, limit: PAGE_ROWS })}`,
    data,
    useChanges("bookmarks"),
    idOf,
  );
  const all = joined(data?.items ?? [], older.items, idOf);
  const rows = useCalm(all, idOf, project.value);
  useKeys([
    {
      key: "e",
      does: "edit the note of the row",
      group: "Bookmarks",
      run: () => {
        const row = document.activeElement?.closest("[data-bookmark]");
        if (row) row.querySelector<HTMLElement>("button.note")?.click();
        else say("Choose a row first: j and k move between rows.");
      },
    },
    {
      key: "x",
      does: "remove the bookmark of the row",
      group: "Bookmarks",
      run: () => {
        const id = document.activeElement?.closest<HTMLElement>("[data-bookmark]")?.dataset.bookmark;
        if (id === undefined) say("Choose a row first: j and k move between rows.");
        else void removeBookmark(id);
      },
    },
  ]);
  if (data === null) return error ? <Failed error={error} /> : <Waiting />;
  return (
    <div class="bookmarks">
      <div class="heading">
        <h1>Bookmarks</h1>
        <Belief model="bookmarks" />
      </div>
      {all.length === 0 ? (
        <Empty waits="Waiting for the first bookmark">
          Open a task and press b. The bookmark stands here, with a note.
        </Empty>
      ) : null}
      <ol class="marks">
        {rows.map(({ id, row, isLeft }) => (
          <Saved key={id} row={row} isLeft={isLeft} />
        ))}
      </ol>
      {older.hasMore ? (
        <button type="button" class="more" onClick={older.load}>
          Older bookmarks
        </button>
      ) : null}
      {older.isCut ? <p class="dim">There are older bookmarks. The search finds them.</p> : null}
    </div>
  );
}

function Saved({ row, isLeft }: { row: Bookmark; isLeft: boolean }) {
  const [isEditing, setEditing] = useState(false);
  return (
    <li class={isLeft ? "is-left" : ""} data-bookmark={row.bookmark_id}>
      <a href={to(`/tasks/${row.task_id}`, row.event_id ? { event: row.event_id } : {})} data-row={row.bookmark_id}>
        <span class="hit-kind">{row.event_id ? "event" : "task"}</span>
        <span class="row-name" dir="auto">
          {row.title}
        </span>
        <Age time={row.updated_at} />
      </a>
      {isEditing ? (
        <NoteField row={row} close={() => setEditing(false)} />
      ) : (
        <button type="button" class="note" onClick={() => setEditing(true)}>
          {row.note ? <span dir="auto">{row.note}</span> : "Add a note"}
        </button>
      )}
      <button type="button" class="plain" onClick={() => void removeBookmark(row.bookmark_id)}>
        Remove
      </button>
    </li>
  );
}

function NoteField({ row, close }: { row: Bookmark; close: () => void }) {
  const [note, setNote] = useState(row.note ?? "");
  const [asked] = useState(note);
  const isEnded = useRef(false);
  /** The browser reports a field that goes away as left, so the first end alone counts. */
  const end = (isSaved: boolean) => {
    if (isEnded.current) return;
    isEnded.current = true;
    // A note that came meanwhile stays, unless this person typed one.
    if (isSaved && note !== asked) {
      void bookmark(row.event_id ? { task_id: row.task_id, event_id: row.event_id } : { task_id: row.task_id }, note);
    }
    close();
  };
  return (
    <textarea
      class="note"
      aria-label="Note"
      value={note}
      ref={(element) => {
        if (element && document.activeElement !== element) element.focus();
      }}
      onInput={(event) => setNote(event.currentTarget.value)}
      onBlur={() => end(true)}
      onKeyDown={(event) => {
        if (event.key === "Escape") {
          event.stopPropagation();
          end(false);
        } else if (event.key === "Enter" && !event.shiftKey) {
          event.preventDefault();
          end(true);
        }
      }}
    />
  );
}

/** The names of the rows of the contract, from the generated types. */
import type { components } from "requery-client";

type Schemas = components["schemas"];

export type Agent = Schemas["Agent"];
export type Overview = Schemas["Overview"];
export type NeedsYou = Schemas["NeedsYou"];
export type Activity = Schemas["Activity"];
export type Usage = Schemas["Usage"];
export type Task = Schemas["Task"];
export type TaskPage = Schemas["TaskPage"];
export type TaskDetail = Schemas["TaskDetail"];
export type TaskStatus = Schemas["TaskStatus"];
export type ChildTask = Schemas["ChildTask"];
export type TimelineEvent = Schemas["Event"];
export type EventPage = Schemas["EventPage"];
export type Bookmark = Schemas["Bookmark"];
export type BookmarkPage = Schemas["BookmarkPage"];
export type Project = Schemas["Project"];
export type ProjectPage = Schemas["ProjectPage"];
export type SearchResults = Schemas["SearchResults"];
export type SearchHit = Schemas["SearchHit"];
export type Purged = Schemas["Purged"];
export type Session = Schemas["Session"];
export type Todo = Schemas["Todo"];
export type TodoProgress = Schemas["TodoProgress"];
export type OpenCall = Schemas["OpenCall"];
export type TouchedFile = Schemas["TouchedFile"];

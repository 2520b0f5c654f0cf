-- The lists of tasks, at no cost for an event. An event changes the time of its task, and each index on that time would be
-- one more page in the transaction of the writer.

-- The place of the task in the lists: its `changed_at`, or null while no index has that time. A change of `changed_at`
-- makes it null, and the server sets it later. A reader looks at the tasks without a place too, which are few.
alter table tasks add column listed_at integer;
update tasks set listed_at = changed_at;

drop index if exists tasks_changed;
drop index if exists tasks_project_changed;
create index tasks_listed on tasks (listed_at, id);
create index tasks_project_listed on tasks (project, listed_at, id);
create index tasks_status_listed on tasks (status, listed_at, id);
create index tasks_project_status_listed on tasks (project, status, listed_at, id);

-- The project of the task. Without it, a page of the bookmarks of a project costs a look at each task of the project.
alter table bookmarks add column project text;
update bookmarks set project = (select project from tasks where tasks.id = bookmarks.task_id);
create index bookmarks_project_updated on bookmarks (project, updated_at, id);

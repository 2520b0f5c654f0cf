-- Details by which a screen can leave alone the notices that do not concern it. A change of an earlier version has neither.

-- Of an event: its kind, family and lane, as `tool/terminal/`. After a space the same from before the change, if that
-- differs.
alter table changes add column event_class text;

-- Of a task: 1 if the change is one of its status, otherwise 0.
alter table changes add column status_changed integer;

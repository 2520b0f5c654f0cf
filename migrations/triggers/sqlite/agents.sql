-- The triggers of `agents`: each change is logged in the project of the row.

create trigger agents_registered after insert on agents begin
    insert into changes (kind, project, object_id) values ('agent.registered', new.project, new.source);
end;

create trigger agents_stay before update of source, host, project on agents
when new.source is not old.source or new.host is not old.host or new.project is not old.project begin
    select raise(abort, 'an agent keeps its source, its host and its project');
end;

create trigger agents_changed after update on agents
when new.version is not old.version or new.hooks is not old.hooks or new.heard_at is not old.heard_at begin
    insert into changes (kind, project, object_id) values ('agent.changed', new.project, new.source);
end;

create trigger agents_removed after delete on agents begin
    insert into changes (kind, project, object_id) values ('agent.changed', old.project, old.source);
end;

-- The number of running sessions. `session.started` and `session.ended` tell of most changes; these triggers tell of the
-- others. A session of another source than that of an agent is not counted.
create trigger agents_run_otherwise after update of status, source, host on sessions
when new.status = 'running' and old.status <> 'running'
    or (new.status = 'running' or old.status = 'running')
        and (new.source is not old.source or new.host is not old.host) begin
    insert into changes (kind, project, object_id)
        select 'agent.changed', tasks.project, side.source
        from tasks, (select old.source as source union select new.source) as side
        where tasks.id = new.task_id and exists (select 1 from agents where source = side.source);
end;

create trigger agents_run_no_more after delete on sessions when old.status = 'running' begin
    insert into changes (kind, project, object_id)
        select 'agent.changed', project, old.source from tasks
        where id = old.task_id and exists (select 1 from agents where source = old.source);
end;

create trigger agents_run_in_another_project after update of project on tasks when new.project is not old.project begin
    insert into changes (kind, project, object_id)
        select distinct 'agent.changed', side.project, sessions.source
        from sessions, (select old.project as project union all select new.project) as side
        where sessions.task_id = new.id and sessions.status = 'running'
            and exists (select 1 from agents where source = sessions.source);
end;

-- A replaced task keeps its sessions if the writer enforces no foreign keys.
create trigger agents_run_found after insert on tasks
when exists (select 1 from sessions where task_id = new.id and status = 'running') begin
    insert into changes (kind, project, object_id)
        select distinct 'agent.changed', tasks.project, sessions.source
        from sessions join tasks on tasks.id = sessions.task_id
        where sessions.task_id = new.id and sessions.status = 'running'
            and exists (select 1 from agents where source = sessions.source);
end;

-- The triggers of `agents`: each change is logged in the project of the row.

create function log_new_agents() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    insert into changes (kind, project, object_id) select 'agent.registered', project, source from new_rows;
    return null;
end
$$;
create trigger agents_registered after insert on agents referencing new table as new_rows
    for each statement execute function log_new_agents();

create function keep_agent() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    perform refuse('an agent keeps its source, its host and its project', 'source');
    return null;
end
$$;
create trigger agents_stay before update on agents for each row
when ((new.source, new.host, new.project) is distinct from (old.source, old.host, old.project))
execute function keep_agent();

create function log_changed_agents() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    insert into changes (kind, project, object_id)
        select 'agent.changed', n.project, n.source
        from old_rows o full join new_rows n on n.source = o.source and n.host = o.host and n.project = o.project
        where (n.version, n.hooks, n.heard_at) is distinct from (o.version, o.hooks, o.heard_at);
    return null;
end
$$;
create trigger agents_changed after update on agents referencing old table as old_rows new table as new_rows
    for each statement execute function log_changed_agents();

create function log_deleted_agents() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    insert into changes (kind, project, object_id) select 'agent.changed', project, source from old_rows;
    return null;
end
$$;
create trigger agents_removed after delete on agents referencing old table as old_rows
    for each statement execute function log_deleted_agents();

-- A purge is one row of the log for each project, not one for each task.

create function log_purges() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    insert into changes (kind, project, count) select 'tasks.purged', project, count from new_rows where count > 0;
    return null;
end
$$;
create trigger purges_logged after insert on purges referencing new table as new_rows
    for each statement execute function log_purges();

-- The functions that several triggers use. They are made before the triggers.

-- Refuses a statement. Returns a text, so that it can stand where a value is missing.
create function refuse(message text, column_name text) returns text language plpgsql as $$
begin
    raise exception using errcode = '23514', message = message, column = column_name, schema = '{schema}';
end
$$;

-- The events of a task that its row does not contain, as the view `task_counts` adds them. Works for a deleted task too.
create function uncounted_events(task text) returns bigint language plpgsql stable as $$
begin
    return coalesce((select sum(events)::bigint from counts_pending where task_id = task), 0)
        + (select count(*) from changes where task_id = task and kind = 'event.logged'
            and xid >= (select pg_snapshot_xmax(next::pg_snapshot) from folded) and xid < '9223372036854775807'::xid8)
        + (select count(*) from changes where task_id = task and kind = 'event.logged'
            and xid >= (select pg_snapshot_xmin(next::pg_snapshot) from folded)
            and xid < (select pg_snapshot_xmax(next::pg_snapshot) from folded)
            and xid = any (array(select pg_snapshot_xip(next::pg_snapshot) from folded)));
end
$$;

-- Tells the servers of a change without a wait for their next look. Off by default, because commits with a NOTIFY wait for
-- each other. A disabled trigger costs nothing, so the setting enables it.

create function notify_of_changes() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    perform pg_notify('requery_{schema}', '');
    return null;
end
$$;
create trigger changes_notify after insert on changes for each statement execute function notify_of_changes();

create function apply_settings() returns trigger language plpgsql
    security definer set search_path = {schema}, pg_temp as $$
begin
    if exists (select 1 from settings where name = 'notify' and value = 'on') then
        alter table changes enable trigger changes_notify;
    else
        alter table changes disable trigger changes_notify;
    end if;
    return null;
end
$$;
create trigger settings_apply after insert or update or delete on settings
    for each statement execute function apply_settings();

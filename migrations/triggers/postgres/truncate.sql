-- TRUNCATE fires no trigger that sees the rows, so it would change what screens show without a notice. A subscription that
-- applies one stops with the refusal, so these triggers always fire.

create function refuse_truncate() returns trigger language plpgsql as $$
begin
    raise exception using errcode = '0A000',
        message = format('the table %s cannot be truncated: use DELETE, which logs its changes', tg_table_name);
end
$$;
create trigger tasks_no_truncate before truncate on tasks for each statement execute function refuse_truncate();
alter table tasks enable always trigger tasks_no_truncate;
create trigger sessions_no_truncate before truncate on sessions for each statement execute function refuse_truncate();
alter table sessions enable always trigger sessions_no_truncate;
create trigger events_no_truncate before truncate on events for each statement execute function refuse_truncate();
alter table events enable always trigger events_no_truncate;
create trigger bookmarks_no_truncate before truncate on bookmarks for each statement execute function refuse_truncate();
alter table bookmarks enable always trigger bookmarks_no_truncate;
create trigger usage_no_truncate before truncate on usage for each statement execute function refuse_truncate();
alter table usage enable always trigger usage_no_truncate;
create trigger agents_no_truncate before truncate on agents for each statement execute function refuse_truncate();
alter table agents enable always trigger agents_no_truncate;

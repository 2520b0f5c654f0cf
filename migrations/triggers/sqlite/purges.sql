-- A purge is one row of the log for each project, not one for each task.

create trigger purges_logged after insert on purges when new.count > 0 begin
    insert into changes (kind, project, count) values ('tasks.purged', new.project, new.count);
end;

//! The coding agents.

use super::Sql;

/// Notes that the agent of the source `?1` on the host `?2` was heard in the project `?3` at the time `?4`. A new row
/// has the version and the number of hooks that the agent has in other projects.
pub const HEARD: Sql = Sql::both(
    "insert into agents (source, host, project, heard_at, version, hooks)
        select ?1, ?2, ?3, ?4, max(version), max(hooks) from agents where source = ?1 and host = ?2
    on conflict (source, host, project) do update set heard_at = excluded.heard_at
        where agents.heard_at is null or agents.heard_at < excluded.heard_at",
    "insert into agents (source, host, project, heard_at, version, hooks)
        select $1::text, $2::text, $3::text, $4::bigint, max(version), max(hooks) from agents
        where source = $1::text and host = $2::text
    on conflict (source, host, project) do update set heard_at = excluded.heard_at
        where agents.heard_at is null or agents.heard_at < excluded.heard_at",
);

/// Registers the agent of the source `?1` on the host `?2` with the version `?3` and `?4` hooks in no project, unless
/// it is in a project already.
pub const REGISTER: Sql = Sql::both(
    "insert into agents (source, host, project, version, hooks)
        select ?1, ?2, '', ?3, ?4 where not exists (select 1 from agents where source = ?1 and host = ?2)",
    "insert into agents (source, host, project, version, hooks)
        select $1::text, $2::text, '', $3::text, $4::bigint
        where not exists (select 1 from agents where source = $1::text and host = $2::text)
    on conflict do nothing",
);

/// Sets the version and the number of hooks in each row of the agent of the source `?1` on the host `?2`.
pub const SET_INSTALLATION: Sql = Sql::both(
    "update agents set version = ?3, hooks = ?4
    where source = ?1 and host = ?2 and (version is not ?3 or hooks is not ?4)",
    "update agents set version = $3::text, hooks = $4::bigint
    where source = $1::text and host = $2::text
        and (version is distinct from $3::text or hooks is distinct from $4::bigint)",
);

/// The agents in the scope of the project `?1`, the last heard first, at most `?2`. A null value sets no scope.
pub const AGENTS: Sql = Sql::both(
    "select source, host, max(version) as version, max(hooks) as hooks, max(heard_at) as heard_at,
        (select count(*) from sessions join tasks on tasks.id = sessions.task_id
            where sessions.status = 'running' and sessions.source = agents.source
                and coalesce(sessions.host, '') = agents.host and (?1 is null or tasks.project = ?1)) as running
    from agents where ?1 is null or project = ?1
    group by source, host order by max(heard_at) desc nulls last, source, host limit ?2",
    "select source, host, max(version) as version, max(hooks) as hooks, max(heard_at) as heard_at,
        (select count(*) from sessions join tasks on tasks.id = sessions.task_id
            where sessions.status = 'running' and sessions.source = agents.source
                and coalesce(sessions.host, '') = agents.host
                and ($1::text is null or tasks.project = $1::text)) as running
    from agents where $1::text is null or project = $1::text
    group by source, host order by max(heard_at) desc nulls last, source, host limit $2::bigint",
);

/// The minute of the last hook of each source.
pub const LAST_HEARD: Sql = Sql::same(
    "select source, max(heard_at) as heard_at from agents where heard_at is not null group by source order by source",
);

-- The functions and tables that come before the migrations: the state of the schema, and what `{now}` stands for.
--
-- Names are not qualified: the migration runs with the schema in its `search_path`.

-- Milliseconds since 1970.
create function now_ms() returns bigint language sql volatile parallel safe as $$
    select (date_part('epoch', statement_timestamp()) * 1000)::bigint
$$;

-- A UUID of version 7 in lower-case hyphenated text. The two bits turn the version 4 into 7.
create function fresh_id() returns text language sql volatile parallel safe as $$
    select encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) placing substring(int8send(
        (date_part('epoch', statement_timestamp()) * 1000)::bigint) from 3) from 1 for 6), 52, 1), 53, 1), 'hex')::uuid::text
$$;

-- Whether a text is a JSON object. A text that is no JSON is none. The type `json` takes `\u0000`, which `jsonb` does not.
create function is_json_object(text) returns boolean language plpgsql immutable strict parallel safe as $$
begin
    return json_typeof($1::json) = 'object';
exception when others then
    return false;
end
$$;

-- Conditions of columns. Each statement reads the text of each condition of the table again, so a call of a function, which
-- is compiled once for a connection, costs less. The operators are named with their schema: a writer chooses its own
-- `search_path`.

create function is_uuid(text) returns boolean language plpgsql immutable strict parallel safe as $$
begin
    return $1 operator(pg_catalog.~) '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$';
end
$$;

-- Milliseconds of the years 1970 to 9999.
create function is_time(bigint) returns boolean language plpgsql immutable strict parallel safe as $$
begin
    return $1 operator(pg_catalog.>=) 0 and $1 operator(pg_catalog.<=) 253402300799999;
end
$$;

-- The migrations of this database.
create table requery_migrations (
    name text collate "C" primary key,
    applied_at bigint not null default now_ms()
);

-- The triggers, functions and views that requery made, each with a hash of its definition in the database. So one that
-- another program dropped or changed is found. The row `files` has a hash of the statements that made them.
create table requery_triggers (
    name text collate "C" primary key,
    hash bigint not null
);

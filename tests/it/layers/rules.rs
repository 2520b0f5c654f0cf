//! The rules, as tables. A name stands for a module with all modules under it; `crate::` is left out.

/// A layer: a module and the rules for its uses.
pub struct Layer {
    pub name: &'static str,
    /// The other modules of ours that it may name. Each module must keep the rules of every layer it lies in.
    pub uses: &'static [&'static str],
    /// The crates that it may name besides `std`, unless every crate is allowed. Its unit tests may name others.
    pub crates: Option<&'static [&'static str]>,
    /// Paths that it never names. `async` is an `async` function, block or closure.
    pub never: &'static [&'static str],
}

pub const LAYERS: &[Layer] = &[
    // The wire. It describes itself for the OpenAPI document when the server is built.
    Layer {
        name: "protocol",
        uses: &[],
        crates: Some(&["serde", "serde_json", "chrono", "uuid", "poem_openapi"]),
        never: &["async", "std::fs", "std::net"],
    },
    // The client's rules, without I/O.
    Layer { name: "engine", uses: &["protocol"], crates: Some(&["serde"]), never: &["async", "std::fs", "std::net"] },
    Layer { name: "client", uses: &["protocol", "engine"], crates: None, never: &[] },
    // The side of the agents on this machine: files and processes alone.
    Layer {
        name: "agent",
        uses: &[],
        crates: Some(&["serde", "serde_json", "thiserror", "tracing", "rustix", "sysinfo"]),
        never: &[
            "async",
            "std::net::TcpListener",
            "std::net::TcpStream",
            "std::net::UdpSocket",
            "std::net::ToSocketAddrs",
        ],
    },
    Layer {
        name: "server",
        uses: &["protocol", "engine::invalidation", "agent", "requery_entities", "requery_migrations"],
        crates: None,
        never: &[],
    },
    Layer {
        name: "server::database",
        // The cache of answers needs to know which answers a notice makes stale.
        uses: &[
            "protocol",
            "engine::invalidation",
            "server::access::scope",
            "server::metrics",
            "requery_entities",
            "requery_migrations",
        ],
        crates: None,
        never: &[],
    },
    Layer { name: "server::metrics", uses: &[], crates: Some(&["prometheus_client"]), never: &["async"] },
    Layer {
        name: "server::change_log",
        uses: &[
            "protocol",
            "server::access::scope",
            "server::database",
            "server::hub",
            "server::jobs",
            "requery_entities",
        ],
        crates: None,
        never: &[],
    },
    Layer {
        name: "server::search",
        uses: &[
            "protocol",
            "server::access::scope",
            "server::change_log",
            "server::database",
            "server::jobs",
            "requery_entities",
            "server::text",
        ],
        crates: None,
        never: &[],
    },
    // A copy of a whole database. No server runs meanwhile.
    Layer {
        name: "server::copy",
        uses: &["server::database"],
        crates: Some(&["sea_orm", "thiserror"]),
        never: &["std::fs", "std::net"],
    },
    Layer { name: "server::jobs", uses: &["server::database"], crates: None, never: &[] },
    Layer { name: "server::jobs::trouble", uses: &[], crates: Some(&[]), never: &["async"] },
    Layer {
        name: "server::hub",
        uses: &["protocol", "engine::invalidation", "server::access::scope", "server::metrics"],
        crates: None,
        never: &[],
    },
    Layer { name: "server::hub::window", uses: &["protocol"], crates: Some(&[]), never: &["async"] },
    Layer {
        name: "server::feed",
        uses: &[
            "protocol",
            "engine::invalidation",
            "server::access::scope",
            "server::hub",
            "server::metrics",
            "server::change_log",
            "server::database",
            "server::read",
        ],
        crates: None,
        never: &[],
    },
    Layer {
        name: "server::net",
        uses: &["protocol", "server::feed", "server::hub", "server::metrics"],
        crates: None,
        never: &[],
    },
    Layer { name: "server::access", uses: &["protocol"], crates: None, never: &[] },
    Layer {
        name: "server::read",
        uses: &[
            "protocol",
            "server::access::scope",
            "server::change_log",
            "server::database",
            "server::search",
            "requery_entities",
            "server::text",
        ],
        crates: None,
        never: &[],
    },
    Layer { name: "server::text", uses: &["protocol"], crates: None, never: &["async"] },
    // The verbs. They know no agents.
    Layer {
        name: "server::ingest",
        uses: &["protocol", "server::access::scope", "server::database", "requery_entities"],
        crates: None,
        never: &[],
    },
    Layer {
        name: "server::leaving",
        uses: &["server::access::scope", "server::database", "server::ingest", "server::jobs"],
        crates: Some(&["tokio"]),
        never: &[],
    },
    Layer {
        name: "server::listing",
        uses: &["server::access::scope", "server::database", "server::jobs"],
        crates: Some(&["chrono", "tokio"]),
        never: &[],
    },
    Layer {
        name: "server::agents",
        uses: &[
            "protocol",
            "agent",
            "server::access::scope",
            "server::database",
            "server::ingest",
            "server::jobs",
            "requery_entities",
            "server::text",
        ],
        crates: None,
        never: &[],
    },
    Layer {
        name: "server::http",
        uses: &[
            "protocol",
            "engine::invalidation",
            "agent::name",
            "agent::process",
            "agent::runtime",
            "server::access",
            "server::agents",
            "server::config",
            "server::database",
            "server::error",
            "server::feed",
            "server::hub",
            "server::metrics",
            "server::ingest",
            "server::metrics",
            "server::net",
            "server::read",
            "server::search",
            "server::text",
        ],
        crates: None,
        never: &[],
    },
    // The command that an agent waits for: it starts no runtime, and it never opens the database.
    Layer { name: "cli::forward", uses: &["protocol", "agent", "cli"], crates: None, never: &["async", "tokio"] },
    Layer { name: "cli::watch", uses: &["protocol", "engine", "client", "cli"], crates: None, never: &[] },
    // Rows have no behaviour. A migration is written in literals, so that later changes of the code do not change it.
    Layer { name: "requery_entities", uses: &[], crates: Some(&["sea_orm"]), never: &["async"] },
    Layer { name: "requery_migrations", uses: &[], crates: None, never: &[] },
];

/// Modules that do not reach a path, neither directly nor through any other module.
pub const NEVER_REACHED: &[(&str, &[&str])] = &[
    ("protocol", &["tokio", "sea_orm", "poem", "reqwest"]),
    ("engine", &["tokio", "sea_orm", "poem", "reqwest"]),
    ("client", &["server", "sea_orm", "poem"]),
    ("agent", &["server", "sea_orm", "tokio", "reqwest", "hyper", "poem"]),
    ("server", &["client", "cli"]),
    ("server::hub", &["server::database", "requery_entities", "sea_orm", "poem"]),
    (
        "server::database",
        &[
            "server::change_log",
            "server::hub",
            "server::jobs",
            "server::read",
            "server::ingest",
            "engine::connection",
            "engine::refetcher",
            "agent",
            "poem",
        ],
    ),
    (
        "server::jobs",
        &["server::hub", "server::read", "server::ingest", "engine::connection", "engine::refetcher", "agent", "poem"],
    ),
    (
        "server::agents",
        &[
            "server::hub",
            "server::read",
            "server::search",
            "server::feed",
            "engine::connection",
            "engine::refetcher",
            "poem",
        ],
    ),
    ("server::feed", &["server::ingest", "server::agents", "server::net", "server::http", "agent", "poem"]),
    ("server::net", &["server::ingest", "server::agents", "server::http", "agent"]),
    ("server::access", &["server::database", "requery_entities", "sea_orm", "server::hub", "engine"]),
    ("server::http", &["client", "cli", "engine::connection", "engine::refetcher", "reqwest"]),
    ("server::read", &["server::ingest", "engine::connection", "engine::refetcher", "poem"]),
    ("server::ingest", &["server::read", "server::agents", "engine::connection", "engine::refetcher", "poem"]),
    (
        "server::change_log",
        &[
            "server::read",
            "server::ingest",
            "server::feed",
            "server::search",
            "engine::connection",
            "engine::refetcher",
            "poem",
        ],
    ),
    (
        "server::search",
        &["server::read", "server::ingest", "server::feed", "engine::connection", "engine::refetcher", "poem"],
    ),
];

/// Crates and paths that only some modules name, and their unit tests. `crate` is the root of the program alone.
pub const CONFINED: &[(&str, &[&str])] = &[
    // Only the verbs write rows. The database writes the rows of its own runs.
    ("requery_entities::*::ActiveModel", &["server::ingest", "server::database"]),
    ("anyhow", &["cli", "crate"]),
    ("clap", &["cli", "crate"]),
    ("reqwest", &["client", "cli"]),
    ("hyper", &["server::net"]),
    ("hyper_util", &["server::net"]),
    ("tokio_tungstenite", &["client", "cli::bench", "server::net", "server::feed", "server::hub"]),
    ("poem", &["server::http", "server::net", "server::access", "server::error"]),
    ("poem_openapi", &["protocol", "server::http", "server::error"]),
    (
        "sea_orm",
        &[
            "server::database",
            "server::change_log",
            "server::copy",
            "server::search",
            "server::read",
            "server::ingest",
            "server::agents",
            "server::error",
            "requery_entities",
            "requery_migrations",
        ],
    ),
];

/// Paths that read a clock or wait for one. `*` is any one name, and `.elapsed` a method of that name.
pub const CLOCKS: &[&str] = &[
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::time::SystemTime::elapsed",
    "std::thread::sleep",
    ".elapsed",
    "tokio::time",
    "chrono::Utc::now",
    "chrono::Local::now",
    "uuid::Uuid::now_v1",
    "uuid::Uuid::now_v6",
    "uuid::Uuid::now_v7",
    "uuid::Timestamp::now",
];

/// The drivers: the modules that may read a clock, and all unit tests. A name is the module alone, without the modules
/// under it; `::*` adds these.
pub const DRIVERS: &[&str] = &[
    "client::clock::moment",
    "client::driver",
    "client::fetch",
    "client::stream",
    "client::stream::sse",
    "client::stream::ws",
    "agent::spool",
    "server::agents::silence",
    "server::agents::spool_intake",
    "server::change_log::fold",
    "server::change_log::floor",
    "server::change_log::prune",
    "server::change_log::tail",
    "server::change_log::tail::postgres",
    "server::database::background",
    "server::database::read",
    "server::database::read_cache",
    "server::leaving",
    "server::listing",
    // The waits for a server on a network, and the names that have a time in them.
    "server::database::postgres::*",
    "server::database::transaction",
    "server::database::write",
    "server::database::sqlite::bell",
    "server::database::sqlite::continuity",
    "server::database::sqlite::lock",
    "server::database::sqlite::presence",
    "server::database::sqlite::schema",
    "server::database::sqlite::watchdog",
    "server::database::turns",
    "server::feed",
    "server::http",
    "server::http::body",
    "server::http::routes",
    "server::hub",
    "server::net::*",
    "server::search",
    "server::jobs",
    "server::jobs::bring_in_log",
    "server::jobs::keeper",
    "server::jobs::watch_file",
    "server::search::job",
    "cli::*",
];

/// A use that breaks the rules today. The test fails if an entry is no longer needed, so the list only gets shorter.
pub struct Exception {
    pub module: &'static str,
    pub target: &'static str,
    pub reason: &'static str,
}

pub const EXCEPTIONS: &[Exception] = &[];

#[allow(dead_code, reason = "no module breaks a rule today")]
const fn exception(module: &'static str, target: &'static str, reason: &'static str) -> Exception {
    Exception { module, target, reason }
}

//! One server among the servers on a Postgres database: its name, its connections, and what it does for the others.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use requery_migrations::{MigrateError, Migrated, postgres};
use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::{ConnectOptions as _, Connection, Error, PgConnection};
use sea_orm::{ConnectOptions, DatabaseConnection, DatabaseTransaction, DbErr};
use tokio::sync::Notify;

use super::connections::ServerConnections;
use super::epoch;
use super::error_codes::is_late_lock;
use super::held_lease::HeldLease;
use super::location::{ANSWER_TIMEOUT, ServerLocation, parse};
use crate::protocol::limits;
use crate::server::database::error::{DatabaseError, OpenError};

/// How long a migration may take, 1 h: a recount reads all rows, some hundred thousand a second.
const MIGRATION_TIME: Duration = Duration::from_secs(3_600);
/// The pause before a Postgres that may be being started is tried again.
const START_PAUSE: Duration = Duration::from_millis(100);
/// The code of Postgres for a server that starts or ends: `cannot_connect_now`.
const STARTING: &str = "57P03";
/// The pause before a migration tries again to lock the tables. The programs that waited behind it go on meanwhile.
const LOCK_PAUSE: Duration = Duration::from_millis(500);

/// One server on a Postgres database.
pub(in crate::server) struct PostgresServer {
    location: ServerLocation,
    /// The name among the servers of the database. Each start has a new one.
    name: String,
    /// The connections that were opened at the start. The pools open others by themselves.
    connections: ServerConnections,
    pub(super) lease: HeldLease,
    /// Rung after each commit of this server.
    pub(super) wrote: Notify,
}

impl PostgresServer {
    /// Migrates the schema, finds the epoch, and makes the pools.
    pub(in crate::server::database) async fn open(
        location: ServerLocation,
    ) -> Result<(Self, ServerConnections), OpenError> {
        let failed = |why: String| OpenError::Server { place: location.to_string(), why };
        reach_at_start(&location).await.map_err(|error| failed(error.why))?;
        let direct = connect_direct(&location).await.map_err(|error| failed(error.to_string()))?;
        let opened = async {
            epoch::refuse_standby(&direct).await?;
            let migrated = migrate(&direct, location.schema()).await;
            let migrated = migrated.map_err(|why| format!("{why}; {}", why.way_out_of_schema()))?;
            let now = epoch::begin(&direct).await?;
            Ok::<_, String>((migrated, now))
        };
        let opened = tokio::time::timeout(MIGRATION_TIME, opened).await;
        let _ = direct.close().await;
        let (migrated, (epoch, now)) =
            opened.map_err(|_| failed("the server did not answer in time".to_owned()))?.map_err(failed)?;
        log(&migrated);
        let connections = ServerConnections::open(&location, epoch, now, Arc::new(migrated));
        let connections = connections.await.map_err(|error| failed(error.to_string()))?;
        let name = uuid::Uuid::now_v7().simple().to_string();
        let server = Self {
            location,
            name,
            connections: connections.clone(),
            lease: HeldLease::default(),
            wrote: Notify::new(),
        };
        Ok((server, connections))
    }

    /// Finds the epoch again. It is the one from before if the database lost nothing: then no client notices.
    pub(in crate::server::database) async fn reopen(&self) -> Result<ServerConnections, OpenError> {
        let failed = |why: String| OpenError::Server { place: self.location.to_string(), why };
        reach(&self.location).await.map_err(|error| failed(error.why))?;
        let direct = connect_direct(&self.location).await.map_err(|error| failed(error.to_string()))?;
        let opened = async {
            epoch::refuse_standby(&direct).await?;
            requery_migrations::postgres::admit(&direct, self.location.schema())
                .await
                .map_err(|why| format!("{why}; {}", why.way_out_of_schema()))?;
            epoch::begin(&direct).await
        };
        let opened = tokio::time::timeout(ANSWER_TIMEOUT, opened).await;
        let _ = direct.close().await;
        let (epoch, now) =
            opened.map_err(|_| failed("the server did not answer in time".to_owned()))?.map_err(failed)?;
        Ok(self.connections.with_epoch(epoch, now))
    }

    /// Closes the connections, and leaves the work to the others at once.
    pub(in crate::server::database) async fn leave(&self, open: &ServerConnections) {
        self.give_lease_up().await;
        open.close().await;
    }

    /// Compares the schema with ours and puts it right. Returns whether it was put right: then the epoch is a new one. A
    /// fault that needs a person is an error, and a schema that is gone is not made again: it can come back with its rows.
    pub(in crate::server) async fn mend_schema(&self) -> Result<bool, DatabaseError> {
        let direct = connect_direct(&self.location).await?;
        let mended = async {
            let schema = self.location.schema();
            let failed = |why: MigrateError| match why {
                MigrateError::Db(error) => error.into(),
                why => DatabaseError::Db(DbErr::Custom(format!("{why}; {}", why.way_out_of_schema()))),
            };
            let differences = postgres::differences(&direct, schema).await?;
            if differences.is_empty() {
                return Ok(false);
            }
            if !postgres::is_current(&direct, schema).await.map_err(failed)? {
                return Err(DatabaseError::Away(format!("the schema {schema} is gone")));
            }
            match postgres::migrate(&direct, schema).await {
                Ok(migrated) => log(&migrated),
                Err(MigrateError::Broken(faults)) => {
                    let put_back = postgres::put_back(&direct, schema).await.map_err(failed)?;
                    if put_back.is_empty() {
                        return Err(failed(MigrateError::Broken(faults)));
                    }
                    log(&Migrated { put_back, ..Migrated::default() });
                }
                Err(why) => return Err(failed(why)),
            }
            Ok::<_, DatabaseError>(true)
        };
        let mended = tokio::time::timeout(MIGRATION_TIME, mended).await;
        let _ = direct.close().await;
        mended.unwrap_or(Err(DatabaseError::Busy))
    }

    /// The location of the database.
    pub(in crate::server::database) fn location(&self) -> &ServerLocation {
        &self.location
    }

    /// The name of this server among the servers of the database.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Begins a transaction for statements of the server itself.
    pub(super) async fn begin(&self) -> Result<DatabaseTransaction, DatabaseError> {
        self.connections.begin_own().await
    }
}

/// Migrates the schema. A transaction of another program that has locked a table is waited for a while.
async fn migrate(direct: &DatabaseConnection, schema: &str) -> Result<Migrated, MigrateError> {
    let until = Instant::now() + limits::CONNECTION_WAIT;
    loop {
        match postgres::migrate(direct, schema).await {
            Err(MigrateError::Db(error)) if is_late_lock(&error) && Instant::now() < until => {
                tokio::time::sleep(LOCK_PAUSE).await;
            }
            migrated => return migrated,
        }
    }
}

/// Logs what a migration did.
fn log(migrated: &Migrated) {
    if !migrated.applied.is_empty() {
        tracing::info!(applied = migrated.applied.join(", "), "the schema was migrated");
    }
    for name in &migrated.put_back {
        tracing::warn!(name, "another program had dropped or changed a part of the schema; it was put back");
    }
    for rule in migrated.put_right.iter().chain(&migrated.lost) {
        tracing::warn!(rule, "the schema was changed by another program");
    }
}

/// A connection of its own that does not go through a proxy, with the schema set.
pub(in crate::server::database) async fn connect_direct(
    location: &ServerLocation,
) -> Result<DatabaseConnection, DatabaseError> {
    let mut options = ConnectOptions::new(location.direct_url());
    let schema = location.schema().to_owned();
    options
        .max_connections(1)
        .min_connections(0)
        .connect_timeout(ANSWER_TIMEOUT)
        .acquire_timeout(ANSWER_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .sqlx_logging(false)
        .map_sqlx_postgres_opts(move |options| of_server(options, &schema));
    let connected = tokio::time::timeout(ANSWER_TIMEOUT, sea_orm::Database::connect(options)).await;
    connected
        .map_or_else(|_| Err(DatabaseError::Away("the server did not answer in time".to_owned())), |done| Ok(done?))
}

/// A single connection with further settings, which is never opened again. Fails at once with the reason: a pool of the
/// driver tries again until its time is over, and then tells none.
pub(super) async fn connect_once(
    location: &ServerLocation,
    settings: &[(&str, &str)],
) -> Result<PgConnection, Unreachable> {
    let options = parse(location.direct_url()).map_err(|error| Unreachable::for_good(error.to_string()))?;
    let options = of_server(options, location.schema()).options(settings.iter().copied()).disable_statement_logging();
    match tokio::time::timeout(ANSWER_TIMEOUT, PgConnection::connect_with(&options)).await {
        Err(_) => Err(Unreachable::for_good("the server did not answer in time".to_owned())),
        Ok(connected) => connected.map_err(Unreachable::from),
    }
}

/// Fails with the reason if no connection can be opened.
async fn reach(location: &ServerLocation) -> Result<(), Unreachable> {
    let connection = connect_once(location, &[]).await?;
    let _ = tokio::time::timeout(ANSWER_TIMEOUT, connection.close()).await;
    Ok(())
}

/// The same at a start: a Postgres that is being started too is waited for.
async fn reach_at_start(location: &ServerLocation) -> Result<(), Unreachable> {
    let until = Instant::now() + ANSWER_TIMEOUT;
    loop {
        match reach(location).await {
            Err(error) if error.is_starting && Instant::now() < until => tokio::time::sleep(START_PAUSE).await,
            reached => return reached,
        }
    }
}

/// Why no connection can be opened.
pub(super) struct Unreachable {
    pub(super) why: String,
    /// Whether Postgres may be there in a moment.
    is_starting: bool,
}

impl Unreachable {
    fn for_good(why: String) -> Self {
        Self { why, is_starting: false }
    }
}

impl From<Error> for Unreachable {
    fn from(error: Error) -> Self {
        let is_starting = match &error {
            Error::Io(error) => matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound),
            Error::Database(error) => error.code().is_some_and(|code| code == STARTING),
            _ => false,
        };
        let why = match error {
            Error::Io(error) => format!("could not connect: {error}"),
            Error::Tls(error) => format!("no TLS connection: {error}"),
            Error::Database(error) => error.message().to_owned(),
            error => error.to_string(),
        };
        Self { why, is_starting }
    }
}

/// The options of a connection that keeps a state.
pub(super) fn of_server(options: PgConnectOptions, schema: &str) -> PgConnectOptions {
    options.application_name("requery").options([("search_path", format!("{schema},pg_temp"))])
}

//! The lease: the work that one server does for all of them.
//!
//! A lease is a row with a time of the database's clock, since a lock of a session does not survive a proxy that pools
//! transactions. A server that dies keeps its lease for less than a second. A clock of the database that jumps ends a
//! lease early: so each step of that work also stays right if two servers do it at once.

use std::time::{Duration, Instant};

use super::server::PostgresServer;
use crate::server::database::sql::servers as sql;
use crate::server::database::{Database, DatabaseError};

/// The one lease: all the work is done by one server.
const KEEPER: &str = "keeper";
/// How long a lease lasts. A server renews it three times in that time.
const LEASE: Duration = Duration::from_millis(700);
/// How often a lease is taken or renewed.
pub(in crate::server) const RENEWAL: Duration = Duration::from_millis(200);

impl PostgresServer {
    /// Takes or renews the lease.
    async fn take_lease(&self) -> Result<(), DatabaseError> {
        // The time before the statement: the lease is never held for longer here than in the database.
        let asked = Instant::now();
        let lease = i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX);
        let values = [KEEPER.into(), self.name().into(), lease.into()];
        let tx = self.begin().await?;
        let taken = sql::TAKE_LEASE.execute(&tx, values).await?;
        if taken == 0 {
            sql::MAKE_LEASE.execute(&tx, [KEEPER.into()]).await?;
        }
        tx.commit().await?;
        self.lease.set((taken > 0).then(|| asked + LEASE));
        Ok(())
    }

    /// Gives the lease up, so that another server takes it at once.
    pub(super) async fn give_lease_up(&self) {
        if !self.lease.is_held() {
            return;
        }
        self.lease.set(None);
        let given = async {
            let tx = self.begin().await?;
            sql::GIVE_LEASE_UP.execute(&tx, [KEEPER.into(), self.name().into()]).await?;
            tx.commit().await?;
            Ok::<_, DatabaseError>(())
        };
        // Without it the lease ends by itself.
        let _ = tokio::time::timeout(LEASE, given).await;
    }
}

impl Database {
    /// Whether this server does the work that one server does for all. On a file it always does.
    pub(in crate::server) fn is_keeper(&self) -> bool {
        self.server().is_none_or(|server| server.lease.is_held())
    }

    /// Takes or renews the lease of that work.
    pub(in crate::server) async fn take_lease(&self) -> Result<(), DatabaseError> {
        match self.server() {
            Some(server) => server.take_lease().await,
            None => Ok(()),
        }
    }
}

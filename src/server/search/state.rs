//! How far the index is.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use crate::server::database::Position;
use crate::server::database::sql::search_writes;

/// The row of `searched`.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub(super) struct IndexState {
    /// How far the index has followed the change log, as the column holds it; 0: the index was never built.
    next: i64,
    /// The id of the next new document.
    pub(super) document: i64,
    /// While all rows are walked: which of them.
    pub(super) stage: Option<String>,
    /// Behind which one.
    pub(super) stage_at: Option<String>,
    /// The id of the next new document of the walk, downwards.
    pub(super) stage_document: Option<i64>,
    /// The id of the next new document of what was history when it was written.
    pub(super) history: i64,
    /// The same in a walk, downwards.
    pub(super) walked_history: i64,
}

impl IndexState {
    /// How far it is, as the snapshot says. The ids of history are below 0, from a middle with room on both sides.
    pub(super) async fn read(tx: &impl ConnectionTrait) -> Result<Self, DbErr> {
        search_writes::PROGRESS.one(tx, []).await?.ok_or_else(|| DbErr::RecordNotFound("searched".to_owned()))
    }

    /// How far the index has followed the change log.
    pub(super) fn reached(&self) -> Position {
        Position::from_column(self.next)
    }

    /// The same state, further on in the change log.
    pub(super) fn set_reached(&mut self, position: &Position) {
        self.next = position.to_column();
    }

    /// Whether the index was never built.
    pub(super) fn is_unbuilt(&self) -> bool {
        self.next == 0
    }

    /// The id of a document that is new: above all others, or in the room that was left for a walk. What was history when
    /// it was written comes below all that was not, among its own kind in the same order.
    pub(super) fn new_document(&mut self, history: bool, walking: bool) -> i64 {
        match &mut self.stage_document {
            _ if history && walking => {
                self.walked_history -= 1;
                self.walked_history + 1
            }
            _ if history => {
                self.history += 1;
                self.history - 1
            }
            Some(next) if walking => {
                *next -= 1;
                *next + 1
            }
            _ => {
                self.document += 1;
                self.document - 1
            }
        }
    }
}

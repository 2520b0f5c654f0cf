//! The progress of the index: how far it has followed the log, and how far a walk over all rows has got.

use requery_entities::StoredText;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Value};

use super::words;
use crate::server::change_log::{Between, LogPlace};
use crate::server::database::Position;
use crate::server::database::sql::search_writes;

/// The row of `searched`.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub(super) struct IndexState {
    /// How far the index has followed the change log. The start means that the index was never built.
    next: Position,
    /// The id of the next new document.
    pub(super) document: i64,
    /// The stage of the walk: a table, or the removal of documents whose rows are gone. None: there is no walk.
    pub(super) stage: Option<StoredText>,
    /// The key of the last row that the walk has passed in this stage.
    pub(super) stage_at: Option<StoredText>,
    /// The id of the next new document of the walk. It counts downwards.
    pub(super) stage_document: Option<i64>,
    /// The version of the rules by which the words were made.
    words: i64,
    /// The id of the next new document of an imported event.
    pub(super) history: i64,
    /// The id of the next new document of an imported event in a walk. It counts downwards.
    pub(super) walked_history: i64,
    /// The place of the last change of a transaction that was followed in part. `next` does not contain it.
    partly: Option<StoredText>,
    /// How often the progress was written. Only Postgres counts it: another server can write too.
    pub(super) step: i64,
}

impl IndexState {
    /// Reads the progress in a snapshot.
    pub(super) async fn read(tx: &impl ConnectionTrait) -> Result<Self, DbErr> {
        search_writes::PROGRESS.one(tx, []).await?.ok_or_else(|| DbErr::RecordNotFound("searched".to_owned()))
    }

    /// How far the index has followed the change log.
    pub(super) fn reached(&self) -> Position {
        self.next.clone()
    }

    /// Notes that the part of the log was followed: the whole part, or up to the row at `last`. In a database with
    /// several writers, more rows of the transaction of that row can come.
    pub(super) fn follow_to(&mut self, part: &Between, last: Option<LogPlace>) {
        let in_transaction = last.filter(|last| last.xid.is_some());
        self.next = match (last, in_transaction) {
            (None, _) => part.end().clone(),
            (Some(last), None) => part.after_row(last),
            (Some(_), Some(last)) => part.before_row(last),
        };
        self.partly = in_transaction.map(|last| format!("{}:{}", last.xid.unwrap_or_default(), last.id).into());
    }

    /// Whether a transaction was followed in part.
    pub(super) fn is_partly(&self) -> bool {
        self.partly.is_some()
    }

    /// The values of `partly` for the statement that reads the log: the transaction, and the last row of it that was
    /// followed.
    pub(super) fn partly(&self) -> [Value; 2] {
        let place = self.partly.as_ref().and_then(|place| place.split_once(':'));
        let id = place.and_then(|(_, id)| id.parse::<i64>().ok());
        [place.map(|(xid, _)| xid.to_owned()).into(), id.into()]
    }

    /// The value of `partly` for a column.
    pub(super) fn partly_column(&self) -> Value {
        self.partly.clone().into()
    }

    /// Whether the index was never built.
    pub(super) fn is_empty(&self) -> bool {
        self.next == Position::start()
    }

    /// Whether the index was never built, or was built by other rules about words. Then all rows have to be walked.
    pub(super) fn is_unbuilt(&self) -> bool {
        self.is_empty() || self.words != words::VERSION
    }

    /// Whether the index was built by the rules of a newer server.
    pub(super) fn is_of_newer_server(&self) -> bool {
        self.words > words::VERSION
    }

    /// Whether the index can lack rows before the position that it has reached.
    pub(super) fn is_partial(&self) -> bool {
        self.stage.is_some() || self.words != words::VERSION
    }

    /// The id of a new document. A higher id means a newer row: the ids of fresh rows count upwards, and the ids of a
    /// walk count downwards in the room that its beginning reserved. Imported events get ids below all others, in the
    /// same order among themselves.
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

//! How far the index is.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement};

/// The row of `searched`.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub(super) struct State {
    /// The first change that is not in the index.
    pub(super) next: i64,
    /// The id of the next new document.
    pub(super) document: i64,
    /// While all rows are walked: which of them.
    pub(super) stage: Option<String>,
    /// Behind which one.
    pub(super) stage_at: Option<String>,
    /// The id of the next new document of the walk, downwards.
    pub(super) stage_document: Option<i64>,
}

impl State {
    pub(super) async fn read(tx: &impl ConnectionTrait) -> Result<Self, DbErr> {
        const SQL: &str = "select next, document, stage, stage_at, stage_document from searched";
        let statement = Statement::from_string(tx.get_database_backend(), SQL);
        Self::find_by_statement(statement).one(tx).await?.ok_or_else(|| DbErr::RecordNotFound("searched".to_owned()))
    }

    pub(super) fn reached(&self) -> u64 {
        u64::try_from(self.next).unwrap_or(0)
    }

    /// The id of a document that is new: above all others, or in the room that was left for a walk.
    pub(super) fn new_document(&mut self, walking: bool) -> i64 {
        match &mut self.stage_document {
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

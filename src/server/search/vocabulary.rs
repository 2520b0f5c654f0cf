//! Which words begin with what is asked for.
//!
//! The index finds the newest matches of words one after the other; of a beginning it would first put together all
//! matches there are. So it is asked for the words themselves, where they are not too many.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::query::Query;
use crate::server::database::sql::search;

/// How many words the beginnings of one query may stand for. Past that the index puts them together itself.
const MOST: usize = 200;

#[derive(FromQueryResult)]
struct Known {
    word: Vec<u8>,
}

/// The words that begin with each of the beginnings of `query`, for those where they are not too many.
pub(super) async fn words(tx: &impl ConnectionTrait, query: &Query) -> Result<BTreeMap<String, Vec<String>>, DbErr> {
    let mut all = BTreeMap::new();
    let mut left = MOST;
    for beginning in query.beginnings() {
        let end = format!("{beginning}{}", char::MAX);
        let values = [beginning.into(), end.into(), (left as u64 + 1).into()];
        let known: Vec<Known> = search::WORDS.all(tx, values).await?;
        let words: Option<Vec<String>> = known.into_iter().map(|known| String::from_utf8(known.word).ok()).collect();
        if let Some(words) = words.filter(|words| !words.is_empty() && words.len() <= left) {
            left -= words.len();
            all.insert(beginning.to_owned(), words);
        }
    }
    Ok(all)
}

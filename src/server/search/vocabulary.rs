//! The words of the index that begin with the prefixes of a query.
//!
//! FTS5 finds the newest matches of a word one after the other. For a prefix it would first collect all matches of all
//! words that begin with it. So the expression names the words themselves, unless they are too many.

use std::collections::BTreeMap;

use requery_entities::StoredText;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::query::Query;
use crate::server::database::sql::search;

/// How many words the prefixes of one query may stand for. With more words FTS5 gets the prefix itself.
const MAX_WORDS: usize = 200;

#[derive(FromQueryResult)]
struct KnownWord {
    word: StoredText,
}

/// The words that begin with each prefix of `query`. A prefix with too many words, or with none, is left out.
pub(super) async fn words(tx: &impl ConnectionTrait, query: &Query) -> Result<BTreeMap<String, Vec<String>>, DbErr> {
    let mut all = BTreeMap::new();
    let mut left = MAX_WORDS;
    for prefix in query.prefixes() {
        let end = format!("{prefix}{}", char::MAX);
        let values = [prefix.into(), end.into(), (left as u64 + 1).into()];
        let known: Vec<KnownWord> = search::WORDS.all(tx, values).await?;
        let words: Vec<String> = known.into_iter().map(|known| known.word.into()).collect();
        if !words.is_empty() && words.len() <= left {
            left -= words.len();
            all.insert(prefix.to_owned(), words);
        }
    }
    Ok(all)
}

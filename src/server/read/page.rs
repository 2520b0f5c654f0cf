//! Pages by key: a page names the key of its last row, and the next page begins after that key.
//!
//! Rows that come, go or move between two requests do not shift the other rows. No query counts or skips rows, so the
//! last page costs as much as the first.

use requery_entities::StoredText;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, IntoSimpleExpr, Order, QueryFilter, QueryOrder, QuerySelect, Select};

/// The key of a row in a list. On the wire it is an opaque text, a token, which also names the list.
pub trait PageToken: Sized {
    /// The text of the key.
    fn text(&self) -> String;
    /// The key with this text.
    fn from_text(text: &str) -> Option<Self>;
}

/// The name of a list: its kind and its filters. A token of one list is none of another, where it would name a place
/// that means no place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListName(u32);

impl ListName {
    /// The list of a kind, with the value of each of its filters, in a fixed order.
    pub(super) fn new(kind: &str, filters: &[Option<&str>]) -> Self {
        // FNV-1a, since its result is the same in every version of the program. No byte of UTF-8 is 0xfe or 0xff.
        let mix = |sum: u32, byte: u8| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let text = |sum: u32, text: &str| text.bytes().fold(sum, mix);
        let kind = text(0x811c_9dc5, kind);
        Self(
            filters
                .iter()
                .fold(kind, |sum, filter| filter.map_or(mix(sum, 0xfe), |filter| text(mix(sum, 0xff), filter))),
        )
    }

    /// The token of a row of this list.
    pub(super) fn token(self, key: &impl PageToken) -> String {
        format!("{:08x}{}", self.0, key.text())
    }

    /// The key that `token` names, if it is a token of this list.
    pub fn key<K: PageToken>(self, token: &str) -> Option<K> {
        K::from_text(token.strip_prefix(&format!("{:08x}", self.0))?)
    }
}

/// The key of rows that are ordered by a time and, within it, by their id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MomentKey {
    ms: i64,
    id: String,
}

/// The key of rows that are ordered by their position in a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineKey(i64);

/// The part of a list that a request asks for. The newest rows of a list come first.
#[derive(Clone, Debug)]
pub enum PageWindow<P> {
    /// From the newest row on.
    Newest,
    /// The rows after this key: the older rows.
    Before(P),
    /// The rows before this key: the newer rows.
    After(P),
}

/// Some rows of a list, and the tokens of the pages before and after them.
pub(super) struct PageRows<R> {
    pub(super) rows: Vec<R>,
    pub(super) next: Option<String>,
    pub(super) previous: Option<String>,
}

/// The digits of a negative time sort after all others. Tokens are only compared for equality.
pub(super) fn hex(value: i64) -> String {
    format!("{value:016x}")
}

pub(super) fn number(hex: &str) -> Option<i64> {
    let digits = hex.len() == 16 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    digits.then(|| u64::from_str_radix(hex, 16).ok()).flatten().map(u64::cast_signed)
}

impl MomentKey {
    /// The id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

impl TimelineKey {
    /// The position.
    pub(super) fn position(self) -> i64 {
        self.0
    }
}

impl<P> PageWindow<P> {
    /// The order of the query that finds the rows of the window.
    pub(super) fn order(&self) -> Order {
        match self {
            Self::Newest | Self::Before(_) => Order::Desc,
            Self::After(_) => Order::Asc,
        }
    }
}

impl PageWindow<MomentKey> {
    /// The condition that a row is in the window.
    pub(super) fn beyond(&self, time: impl IntoSimpleExpr, id: impl IntoSimpleExpr) -> Option<Expr> {
        let columns = Expr::tuple([time.into_simple_expr(), id.into_simple_expr()]);
        let value = |at: &MomentKey| Expr::tuple([Expr::val(at.ms), Expr::val(at.id.clone())]);
        match self {
            Self::Newest => None,
            Self::Before(at) => Some(columns.lt(value(at))),
            Self::After(at) => Some(columns.gt(value(at))),
        }
    }
}

impl MomentKey {
    pub(super) fn new(ms: i64, id: &StoredText) -> Self {
        Self { ms, id: id.before_replaced().to_owned() }
    }
}

impl PageToken for MomentKey {
    fn text(&self) -> String {
        format!("{}{}", hex(self.ms), self.id.replace('-', ""))
    }

    fn from_text(text: &str) -> Option<Self> {
        let (ms, id) = text.split_at_checked(16)?;
        let id = uuid::Uuid::try_parse(id).ok().filter(|_| id.len() == 32)?;
        Some(Self { ms: number(ms)?, id: id.hyphenated().to_string() })
    }
}

impl TimelineKey {
    pub(super) fn new(position: i64) -> Self {
        Self(position)
    }
}

impl PageToken for TimelineKey {
    fn text(&self) -> String {
        hex(self.0)
    }

    fn from_text(text: &str) -> Option<Self> {
        number(text).map(Self)
    }
}

/// Narrows a query to the rows of a window and one row more, which shows that the list goes on.
///
/// The two columns are compared as one row value: an index on both then leads straight to the first row.
pub(super) fn by_moment<E: EntityTrait>(
    query: Select<E>,
    (time, id): (E::Column, E::Column),
    window: &PageWindow<MomentKey>,
    limit: u64,
) -> Select<E> {
    let query = match window.beyond(time, id) {
        Some(beyond) => query.filter(beyond),
        None => query,
    };
    in_order(query, (time, id), window).limit(limit + 1)
}

/// Orders rows that were found already as [`by_moment`] orders them.
pub(super) fn in_order<E: EntityTrait>(
    query: Select<E>,
    (time, id): (impl IntoSimpleExpr, E::Column),
    window: &PageWindow<MomentKey>,
) -> Select<E> {
    query.order_by(time, window.order()).order_by(id, window.order())
}

/// As [`by_moment`], by a single column.
pub(super) fn by_position<E: EntityTrait>(
    query: Select<E>,
    position: E::Column,
    window: &PageWindow<TimelineKey>,
    limit: u64,
) -> Select<E> {
    let (query, order) = match window {
        PageWindow::Newest => (query, Order::Desc),
        PageWindow::Before(at) => (query.filter(position.lt(at.0)), Order::Desc),
        PageWindow::After(at) => (query.filter(position.gt(at.0)), Order::Asc),
    };
    query.order_by(position, order).limit(limit + 1)
}

/// Makes a page of the rows that the query of [`by_moment`] or [`by_position`] found.
pub(super) fn page<R, P: PageToken>(
    list: ListName,
    mut rows: Vec<R>,
    window: &PageWindow<P>,
    limit: u64,
    key: impl Fn(&R) -> P,
) -> PageRows<R> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let others = rows.len() > limit;
    rows.truncate(limit);
    if matches!(window, PageWindow::After(_)) {
        rows.reverse();
    }
    // The list goes on in the direction of the query if it found one row more, and always on the side from which the
    // caller came.
    let (older, newer) = match window {
        PageWindow::Newest => (others, false),
        PageWindow::Before(_) => (others, true),
        PageWindow::After(_) => (true, others),
    };
    let next = rows.last().filter(|_| older).map(|row| list.token(&key(row)));
    let previous = rows.first().filter(|_| newer).map(|row| list.token(&key(row)));
    PageRows { rows, next, previous }
}

#[cfg(test)]
mod tests {
    use super::{ListName, MomentKey, PageToken, TimelineKey};

    #[test]
    fn tokens_round_trip() {
        let list = ListName::new("tasks", &[Some("p"), None]);
        for ms in [0, 1, 1_700_000_000_000, -1, i64::MIN, i64::MAX] {
            let moment = MomentKey::new(ms, &"0190b0a0-0000-7000-8000-00000000000f".into());
            assert_eq!(list.key(&list.token(&moment)), Some(moment));
            assert_eq!(list.key(&list.token(&TimelineKey::new(ms))), Some(TimelineKey::new(ms)));
        }
    }

    #[test]
    fn a_token_belongs_to_one_list() {
        let token = ListName::new("tasks", &[Some("p"), None]).token(&TimelineKey::new(7));
        for (kind, filters) in [
            ("tasks", [None, Some("p")]),
            ("tasks", [Some("p"), Some("")]),
            ("tasks", [Some("q"), None]),
            ("tasks", [None, None]),
            ("bookmarks", [Some("p"), None]),
        ] {
            assert_eq!(ListName::new(kind, &filters).key::<TimelineKey>(&token), None, "{kind} {filters:?}");
        }
    }

    #[test]
    fn other_texts_are_no_tokens() {
        let id = "0190b0a0000070008000000000000001";
        for text in ["", "0", "000000000000000g", "+00000000000000f", "ä000000000000000", "00000000000000000", id] {
            assert_eq!(MomentKey::from_text(text), None, "{text}");
            assert_eq!(TimelineKey::from_text(text), None, "{text}");
        }
        assert_eq!(MomentKey::from_text(&format!("0000000000000000{}", &id[1..])), None);
        assert_eq!(MomentKey::from_text(&format!("0000000000000000{{{id}}}")), None);
    }
}

//! A domain that is described by data: a table of notices and a table of requests.
//!
//! The messages are those of the wire contract, with other kinds of notices and other read models. The bodies are JSON
//! values. So a server of another domain needs no code of its own in its clients.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use super::source::{BodyError, BodyValue, Message, ModelRequest, Source};
use crate::engine::invalidation::StaleTemplate;
use crate::engine::{Signal, What};
use crate::protocol::{Key, UnknownFrame, Watched};

/// The read models and the notices of a domain.
///
/// ```
/// use requery::client::TableSource;
///
/// let shop = TableSource::from_json(
///     r#"{
///         "notices": { "order.placed": ["orders", "order:{order_id}"] },
///         "models": { "orders": ["api/orders"], "order:{id}": ["api/orders/{id}"] }
///     }"#,
/// )?;
/// assert_eq!(shop.key("order:17")?.to_string(), "order:17");
/// assert!(shop.key("customer:4").is_err());
/// # Ok::<(), requery::client::TableError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TableSource {
    tables: Arc<Tables>,
}

/// The name of a read model of a [`TableSource`], as in `order:17`.
///
/// The text before the first colon names the group: `order:*` stands for every order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableKey(Arc<str>);

/// Every read model of a [`TableSource`] with the same text before the colon.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableGroup(Arc<str>);

/// The tables of a domain cannot be used, or do not have a read model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The text is not JSON of the right form.
    #[error("could not read the tables: {0}")]
    Json(#[from] serde_json::Error),
    /// A template has no placeholder at its end and a brace elsewhere. Holds the template.
    #[error("{0:?} is no template (expected text, then at most one {{field}} at the end)")]
    Template(String),
    /// A read model has no request. Holds the template of the read model.
    #[error("the read model {0:?} has no request")]
    NoRequest(String),
    /// A request has a placeholder that the template of its read model lacks: no request could be made of it.
    #[error("the request {path:?} of the read model {model:?} has a placeholder that the read model lacks")]
    Request {
        /// The template of the read model.
        model: String,
        /// The path of the request.
        path: String,
    },
    /// A notice has the name of a frame of the contract, so it could never be told from the frame. Holds the name.
    #[error("the notice {0:?} has the name of a frame")]
    FrameName(String),
    /// A notice names a read model that the table lacks: the notice would make no read model stale.
    #[error("the notice {notice:?} names {place:?}, and no read model of the table fits it")]
    NoPlace {
        /// The kind of the notice.
        notice: String,
        /// The template of the read model.
        place: String,
    },
    /// No template of the table fits the read model. Holds the name of the read model.
    #[error("the table has no read model {0:?}")]
    NoModel(String),
}

/// The tables as an application writes them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    notices: BTreeMap<String, Vec<String>>,
    models: BTreeMap<String, Vec<String>>,
}

#[derive(Debug)]
struct Tables {
    /// Each kind of notice with the places that it makes stale, in the order of the kinds.
    notices: Vec<(String, Vec<Template>)>,
    models: Vec<(Template, Vec<String>)>,
}

/// A text in which `{field}` at the end stands for a value.
#[derive(Debug)]
struct Template {
    prefix: String,
    field: Option<String>,
}

impl TableSource {
    /// The domain with these tables, as JSON.
    ///
    /// `notices` has, for each kind, the templates of the read models that a notice makes stale; a placeholder names a
    /// field of the notice. A field with `null` names no read model. A notice that lacks the field makes the whole
    /// group of the template stale, or every read model if the template has no group. `models` has, for each template
    /// of a read model, the paths of its requests; the placeholder of the template may stand in the paths.
    ///
    /// # Errors
    ///
    /// [`TableError`] if the text has another form, or if a part of it could never work.
    pub fn from_json(text: &str) -> Result<Self, TableError> {
        let written: Written = serde_json::from_str(text)?;
        let templates = |texts: Vec<String>| -> Result<Vec<Template>, TableError> {
            texts.iter().map(|text| Template::parse(text)).collect()
        };
        let notices = written.notices.into_iter().map(|(kind, texts)| Ok((kind, templates(texts)?)));
        let models = written.models.into_iter().map(|(name, paths)| Ok((Template::parse(&name)?, paths)));
        let tables = Tables {
            notices: notices.collect::<Result<_, TableError>>()?,
            models: models.collect::<Result<_, TableError>>()?,
        };
        tables.check()?;
        Ok(Self { tables: Arc::new(tables) })
    }

    /// The read model with this name.
    ///
    /// # Errors
    ///
    /// [`TableError::NoModel`] if the table has no such read model.
    pub fn key(&self, name: &str) -> Result<TableKey, TableError> {
        let known = self.tables.model(name).is_some();
        if known { Ok(TableKey(name.into())) } else { Err(TableError::NoModel(name.to_owned())) }
    }

    /// What a message says. None: it is unknown to the domain.
    fn what(&self, kind: &str, payload: &Value) -> Option<What<TableKey>> {
        let number = |field| payload.get(field).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
        let places = |field| -> Option<Vec<Watched<TableKey>>> {
            payload.get(field)?.as_array()?.iter().map(|name| Some(place(name.as_str()?))).collect()
        };
        Some(match kind {
            "snapshot" => What::Snapshot { heartbeat_ms: number("heartbeat_ms")?, carries: Vec::new() },
            "resumed" => What::Resumed { heartbeat_ms: number("heartbeat_ms")?, stale: places("stale")? },
            "stale" => What::Stale { kind: None, places: places("read_models")? },
            "watching" => What::Watching { confirmed: places("read_models")? },
            "heartbeat" => What::Heartbeat,
            "resync" => What::Resync,
            "closing" => What::Closing { retry_ms: number("retry_ms")? },
            kind => {
                let at = self.tables.notices.binary_search_by(|(known, _)| (**known).cmp(kind)).ok()?;
                let mut places = Vec::new();
                for template in &self.tables.notices[at].1 {
                    match template.fill(payload) {
                        Filled::Place(place) => places.push(place),
                        Filled::Null => {}
                        Filled::Unknown => return None,
                    }
                }
                What::Stale { kind: u16::try_from(at).ok(), places }
            }
        })
    }
}

impl Source for TableSource {
    type Key = TableKey;
    type Body = Value;
    type Options = ();
    type Detail = ();

    fn requests(&self, key: &TableKey) -> Vec<ModelRequest> {
        let Some((field, value, paths)) = self.tables.model(&key.0) else { return Vec::new() };
        let placeholder = format!("{{{field}}}");
        paths.iter().map(|path| ModelRequest::new(path.replace(&placeholder, &encoded(value)))).collect()
    }

    /// The answer of the only request, or a list of the answers.
    fn parse(&self, _: &TableKey, parts: &[Bytes]) -> Result<Value, BodyError> {
        match parts {
            [part] => serde_json::from_slice(part).map_err(BodyError::new),
            parts => {
                let values = parts.iter().map(|part| serde_json::from_slice(part));
                values.collect::<Result<_, _>>().map(Value::Array).map_err(BodyError::new)
            }
        }
    }

    fn message(&self, text: &[u8]) -> Message<Self> {
        #[derive(Deserialize)]
        struct Content {
            r#type: String,
            payload: Value,
        }
        let UnknownFrame { cursor, more, spread_ms } = serde_json::from_slice(text).unwrap_or_default();
        let content = serde_json::from_slice::<Content>(text).ok().filter(|_| cursor.is_some());
        let what = content.as_ref().and_then(|content| self.what(&content.r#type, &content.payload));
        let signal = Signal { cursor, more, spread_ms, what: what.unwrap_or(What::Unknown) };
        let known = content.and_then(|content| content.payload.get("known")?.as_bool());
        Message { known, ..Message::new(signal) }
    }

    fn name(&self, entry: &Watched<TableKey>) -> String {
        match entry {
            Watched::One(key) => key.to_string(),
            Watched::Group(group) => format!("{}:*", group.0),
        }
    }

    fn kind_name(&self, kind: u16) -> &str {
        self.tables.notices.get(usize::from(kind)).map_or("unknown", |(kind, _)| kind)
    }
}

impl BodyValue<TableSource> for Value {
    fn of(body: &Arc<Value>) -> Option<Arc<Self>> {
        Some(Arc::clone(body))
    }

    fn into_body(self) -> Value {
        self
    }
}

impl Key for TableKey {
    type Group = TableGroup;

    fn is_in(&self, group: &TableGroup) -> bool {
        self.0.split_once(':').is_some_and(|(name, _)| *name == *group.0)
    }

    fn group(&self) -> Option<TableGroup> {
        self.0.split_once(':').map(|(name, _)| TableGroup(name.into()))
    }
}

impl fmt::Display for TableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Tables {
    fn check(&self) -> Result<(), TableError> {
        for (template, paths) in &self.models {
            let model = || template.to_string();
            if paths.is_empty() {
                return Err(TableError::NoRequest(model()));
            }
            let placeholder = template.field.as_ref().map(|field| format!("{{{field}}}"));
            for path in paths {
                let rest =
                    placeholder.as_ref().map_or_else(|| path.clone(), |placeholder| path.replace(placeholder, ""));
                if rest.contains(['{', '}']) {
                    return Err(TableError::Request { model: model(), path: path.clone() });
                }
            }
        }
        for (notice, places) in &self.notices {
            if FRAMES.contains(&notice.as_str()) {
                return Err(TableError::FrameName(notice.clone()));
            }
            if let Some(place) = places.iter().find(|place| !self.models.iter().any(|(model, _)| place.can_name(model)))
            {
                return Err(TableError::NoPlace { notice: notice.clone(), place: place.to_string() });
            }
        }
        Ok(())
    }

    /// The placeholder's field and value (both empty where there is none), and the paths of the requests.
    fn model<'a>(&'a self, name: &'a str) -> Option<(&'a str, &'a str, &'a [String])> {
        let fitting = self.models.iter().filter_map(|(template, paths)| {
            let value = name.strip_prefix(template.prefix.as_str())?;
            let field = template.field.as_deref();
            // A path cannot have a dot or two as a segment: they stand for another path.
            let fits = if field.is_some() { !["", "*", ".", ".."].contains(&value) } else { value.is_empty() };
            fits.then_some((template, field.unwrap_or_default(), value, &paths[..]))
        });
        // The longest text before a placeholder is the most exact template.
        let exact = fitting.max_by_key(|(template, ..)| (template.field.is_none(), template.prefix.len()));
        exact.map(|(_, field, value, paths)| (field, value, paths))
    }
}

impl Template {
    fn parse(text: &str) -> Result<Self, TableError> {
        let template = StaleTemplate::parse(text).ok_or_else(|| TableError::Template(text.to_owned()))?;
        Ok(Self { prefix: template.prefix().to_owned(), field: template.field().map(str::to_owned) })
    }

    /// The place, with a field of the payload.
    fn fill(&self, payload: &Value) -> Filled {
        let Some(field) = &self.field else { return Filled::Place(place(&self.prefix)) };
        let value = match (payload.get(field), self.group()) {
            (Some(Value::Null), _) => return Filled::Null,
            (Some(Value::String(text)), _) => text.clone(),
            (Some(other), _) => other.to_string(),
            (None, Some(group)) => return Filled::Place(Watched::Group(TableGroup(group.into()))),
            (None, None) => return Filled::Unknown,
        };
        Filled::Place(Watched::One(TableKey(format!("{}{value}", self.prefix).into())))
    }

    /// The group of every place of this template, if there is one.
    fn group(&self) -> Option<&str> {
        self.prefix.split_once(':').map(|(group, _)| group)
    }

    /// Whether this place of a notice, with some value, is a read model of the template `model`.
    fn can_name(&self, model: &Template) -> bool {
        let (own, other) = (self.prefix.as_str(), model.prefix.as_str());
        match (&self.field, &model.field) {
            (None, _) if let Some(group) = own.strip_suffix(":*") => match model.group() {
                Some(others) => others == group,
                None => model.field.is_some() && group.starts_with(other),
            },
            (None, None) => own == other,
            (None, Some(_)) => own.len() > other.len() && own.starts_with(other),
            (Some(_), None) => other.len() > own.len() && other.starts_with(own),
            (Some(_), Some(_)) => own.starts_with(other) || other.starts_with(own),
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix)?;
        self.field.as_ref().map_or(Ok(()), |field| write!(f, "{{{field}}}"))
    }
}

/// The frames of the contract that are no notices.
const FRAMES: [&str; 7] = ["snapshot", "resumed", "stale", "watching", "heartbeat", "resync", "closing"];

/// A template with a field of a payload.
enum Filled {
    Place(Watched<TableKey>),
    /// The field is `null`: the notice concerns no such read model.
    Null,
    /// The payload lacks the field, and the template has no group: any read model may be meant.
    Unknown,
}

/// The read model, or the group, with this name on the wire.
fn place(name: &str) -> Watched<TableKey> {
    match name.strip_suffix(":*") {
        Some(group) => Watched::Group(TableGroup(group.into())),
        None => Watched::One(TableKey(name.into())),
    }
}

/// `value` as one segment of a path.
fn encoded(value: &str) -> String {
    let mut url = Url::parse("http://host").ok();
    if let Some(Ok(mut segments)) = url.as_mut().map(Url::path_segments_mut) {
        segments.push(value);
    }
    url.map(|url| url.path().trim_start_matches('/').to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::source::Source;
    use super::TableSource;
    use crate::engine::What;
    use crate::protocol::{Key, Watched};

    fn shop() -> TableSource {
        TableSource::from_json(
            r#"{
                "notices": {
                    "order.placed": ["orders", "order:{order_id}", "customer:{customer_id}"],
                    "customers.merged": ["customer:*"]
                },
                "models": {
                    "orders": ["api/orders"],
                    "order:{id}": ["api/orders/{id}", "api/orders/{id}/lines"],
                    "customer:{name}": ["api/customers/{name}"]
                }
            }"#,
        )
        .expect("tables")
    }

    #[test]
    fn the_tables_are_checked() {
        let error = |text: &str| TableSource::from_json(text).expect_err("an error").to_string();
        assert!(error("[]").starts_with("could not read the tables: "));
        assert!(error(r#"{"notices":{}}"#).ends_with("missing field `models` at line 1 column 14"));
        assert!(error(r#"{"notices":{"a":["{x}y"]},"models":{}}"#).starts_with("\"{x}y\" is no template"));
        assert_eq!(error(r#"{"notices":{},"models":{"a":[]}}"#), "the read model \"a\" has no request");
        let no_request = error(r#"{"notices":{},"models":{"a:{id}":["x/{id}/y","x/{name}"]}}"#);
        assert_eq!(
            no_request,
            r#"the request "x/{name}" of the read model "a:{id}" has a placeholder that the read model lacks"#
        );
        assert!(error(r#"{"notices":{},"models":{"a":["x/{id}"]}}"#).contains("has a placeholder"));
        let frame = error(r#"{"notices":{"stale":["a"]},"models":{"a":["x"]}}"#);
        assert_eq!(frame, "the notice \"stale\" has the name of a frame");
        for place in ["ordres", "order:", "ordr:{id}", "ordr:*", "orders:*", "orders:{id}"] {
            let text = format!(r#"{{"notices":{{"n":["{place}"]}},"models":{{"orders":["x"],"order:{{id}}":["y"]}}}}"#);
            let expected = format!("the notice \"n\" names {place:?}, and no read model of the table fits it");
            assert_eq!(error(&text), expected);
        }
        for place in ["orders", "order:7", "order:{o}", "order:a{o}", "order:*", "or{x}"] {
            let text = format!(r#"{{"notices":{{"n":["{place}"]}},"models":{{"orders":["x"],"order:{{id}}":["y"]}}}}"#);
            assert!(TableSource::from_json(&text).is_ok(), "{place}");
        }
        let no_model = |name| shop().key(name).expect_err("no such model").to_string();
        for name in ["", "order", "order:", "order:*", "order:.", "order:..", "orders:1", "invoice:1"] {
            assert_eq!(no_model(name), format!("the table has no read model {name:?}"));
        }
    }

    #[test]
    fn requests_have_the_value_of_the_name() {
        let paths = |name| -> Vec<String> {
            shop().requests(&shop().key(name).expect("a key")).into_iter().map(|request| request.path).collect()
        };
        assert_eq!(paths("orders"), ["api/orders"]);
        assert_eq!(paths("order:17"), ["api/orders/17", "api/orders/17/lines"]);
        assert_eq!(paths("customer:a/b ?"), ["api/customers/a%2Fb%20%3F"]);
    }

    #[test]
    fn messages_name_the_places_of_the_table() {
        let what = |text: &str| {
            let message = shop().message(text.as_bytes());
            let places = match &message.signal.what {
                What::Stale { places, .. } => places.iter().map(|place| shop().name(place)).collect(),
                What::Unknown => vec!["unknown".to_owned()],
                other => vec![format!("{other:?}")],
            };
            (message.signal.cursor.map(|cursor| cursor.to_string()).unwrap_or_default(), places.join(" "))
        };
        let check = |text, cursor: &str, places: &str| assert_eq!(what(text), (cursor.to_owned(), places.to_owned()));
        let placed = r#"{"type":"order.placed","payload":{"order_id":17,"customer_id":"c"},"cursor":"e:5:5:"}"#;
        check(placed, "e:5:5:", "orders order:17 customer:c");
        let guest = r#"{"type":"order.placed","payload":{"order_id":17,"customer_id":null},"cursor":"e:5:5:"}"#;
        check(guest, "e:5:5:", "orders order:17");
        let without_a_field = r#"{"type":"order.placed","payload":{"order_id":17},"cursor":"e:5:5:"}"#;
        check(without_a_field, "e:5:5:", "orders order:17 customer:*");
        check(r#"{"type":"customers.merged","payload":{},"cursor":"e:5:5:"}"#, "e:5:5:", "customer:*");
        check(r#"{"type":"stale","payload":{"read_models":["order:*","x"]},"cursor":"e:5:5:"}"#, "e:5:5:", "order:* x");
        check(r#"{"type":"task.started","payload":{},"cursor":"e:5:5:"}"#, "e:5:5:", "unknown");
        check(r#"{"type":"stale","payload":{},"cursor":"e:5:5:"}"#, "e:5:5:", "unknown");
        check(r#"{"type":"heartbeat","payload":{}}"#, "", "unknown");
        check("not json", "", "unknown");
        assert_eq!(shop().kind_name(1), "order.placed");
    }

    #[test]
    fn a_group_has_the_models_with_its_name() {
        let order = shop().key("order:17").expect("a key");
        let group = order.group().expect("a group");
        assert!(order.is_in(&group));
        assert!(!shop().key("orders").expect("a key").is_in(&group));
        assert_eq!(shop().name(&Watched::Group(group)), "order:*");
    }
}

//! The paths of all operations, for failures that name the methods or the parameters of a path.

use poem::Request;
use poem::http::{Method, Uri};
use serde_json::Value;

use crate::protocol::TaskId;
use crate::server::ingest::Invalid;

/// Why a parameter that is given twice is refused: an operation could only guess which value is meant.
pub(super) const REPEATED: &str = "is given more than once";

/// The operations of the document.
pub(super) struct Paths(Vec<KnownPath>);

struct KnownPath {
    /// The parts between the slashes; a parameter is in braces.
    parts: Vec<String>,
    /// The methods, as `Allow` has them.
    allow: String,
    /// The parameters in the path and in the query, for each method.
    parameters: Vec<(String, Vec<Parameter>)>,
}

struct Parameter {
    name: String,
    is_in_path: bool,
    is_required: bool,
    schema: Value,
}

impl Paths {
    /// The paths of an OpenAPI document.
    pub(super) fn of(openapi: &str) -> Self {
        let document: Value = serde_json::from_str(openapi).unwrap_or_default();
        let paths = document["paths"].as_object().into_iter().flatten();
        let one = |(path, item): (&String, &Value)| {
            let operations = || item.as_object().into_iter().flatten();
            let mut methods: Vec<String> = operations().map(|(method, _)| method.to_uppercase()).collect();
            if methods.iter().any(|method| method == "GET") {
                methods.push("HEAD".to_owned());
            }
            let parameters = operations().map(|(method, one)| (method.to_uppercase(), parameters(&document, one)));
            KnownPath {
                parts: path.split('/').map(str::to_owned).collect(),
                allow: methods.join(", "),
                parameters: parameters.collect(),
            }
        };
        Self(paths.map(one).collect())
    }

    /// The methods at `path`, as `Allow` has them.
    pub(super) fn allow(&self, path: &str) -> Option<&str> {
        self.find(path).map(|known| known.allow.as_str())
    }

    /// The name of the parameter at `place` in `path`, counted from 0. The framework reports the place and not the
    /// name.
    pub(super) fn parameter(&self, path: &str, place: usize) -> Option<&str> {
        let name =
            self.find(path)?.parts.iter().filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).nth(place)?;
        Some(name)
    }

    /// Whether a request gives a parameter of the query more than once. The operations would take the first value.
    pub(super) fn repeats_a_parameter(&self, method: &Method, uri: &Uri) -> bool {
        // Most requests have no query, or one parameter.
        if !uri.query().is_some_and(|query| query.contains('&')) {
            return false;
        }
        let query = query(uri);
        let in_query = self.find(uri.path()).into_iter().flat_map(|known| known.parameters(method));
        in_query.filter(|parameter| !parameter.is_in_path).any(|parameter| parameter.texts(&query).count() > 1)
    }

    /// The parameters of a request that the document does not allow, with the reason.
    pub(super) fn wrong_parameters(&self, method: &Method, uri: &Uri) -> Vec<Invalid> {
        let Some(known) = self.find(uri.path()) else { return Vec::new() };
        let query = query(uri);
        let in_path = |name: &str| {
            let place = known.parts.iter().position(|part| part.strip_prefix('{') == Some(&format!("{name}}}")))?;
            uri.path().split('/').nth(place).map(str::to_owned)
        };
        let wrong = |parameter: &Parameter| {
            let text = match parameter.is_in_path {
                true => in_path(&parameter.name),
                false => parameter.texts(&query).next().map(str::to_owned),
            };
            let detail = match text {
                Some(_) if !parameter.is_in_path && parameter.texts(&query).count() > 1 => REPEATED.to_owned(),
                Some(text) => fault(&parameter.schema, &text)?,
                None if parameter.is_required => "is missing".to_owned(),
                None => return None,
            };
            Some(Invalid { field: parameter.name.clone(), detail })
        };
        known.parameters(method).filter_map(wrong).collect()
    }

    /// The path of the document that matches. Of two, the path with fewer parameters wins.
    fn find(&self, path: &str) -> Option<&KnownPath> {
        let asked: Vec<&str> = path.split('/').collect();
        let fits = |pattern: &[String]| {
            pattern.len() == asked.len()
                && pattern.iter().zip(&asked).all(|(pattern, asked)| pattern.starts_with('{') || pattern == asked)
        };
        let parameters = |known: &&KnownPath| known.parts.iter().filter(|part| part.starts_with('{')).count();
        self.0.iter().filter(|known| fits(&known.parts)).min_by_key(parameters)
    }
}

impl KnownPath {
    /// The parameters of an operation. `HEAD` has the parameters of `GET`.
    fn parameters(&self, method: &Method) -> impl Iterator<Item = &Parameter> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.parameters.iter().filter(move |(of, _)| of == method.as_str()).flat_map(|(_, parameters)| parameters)
    }
}

impl Parameter {
    /// The values of this parameter in a query.
    fn texts<'a>(&self, query: &'a [(String, String)]) -> impl Iterator<Item = &'a str> {
        query.iter().filter(move |(name, _)| *name == self.name).map(|(_, text)| text.as_str())
    }
}

/// The names and the values in the query of a URL.
fn query(uri: &Uri) -> Vec<(String, String)> {
    Request::builder().uri(uri.clone()).finish().params().unwrap_or_default()
}

fn parameters(document: &Value, operation: &Value) -> Vec<Parameter> {
    let all = operation["parameters"].as_array().into_iter().flatten();
    let one = |parameter: &Value| {
        let schema = &parameter["schema"];
        let target = schema["$ref"].as_str().and_then(|reference| document.pointer(reference.strip_prefix('#')?));
        Parameter {
            name: parameter["name"].as_str().unwrap_or_default().to_owned(),
            is_in_path: parameter["in"] == "path",
            is_required: parameter["required"] == true,
            schema: target.unwrap_or(schema).clone(),
        }
    };
    all.filter(|parameter| parameter["in"] != "header").map(one).collect()
}

/// The reason why a text is not a value of the schema.
fn fault(schema: &Value, text: &str) -> Option<String> {
    if let Some(words) = schema["enum"].as_array() {
        let listed: Vec<String> = words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
        return (!words.iter().any(|word| word == text)).then(|| format!("must be one of {}", listed.join(", ")));
    }
    if schema["type"] == "integer" {
        let (least, most) = (schema["minimum"].as_u64().unwrap_or(0), schema["maximum"].as_u64().unwrap_or(u64::MAX));
        let fits = text.parse::<u64>().is_ok_and(|number| (least..=most).contains(&number));
        return (!fits).then(|| format!("must be a whole number from {least} to {most}"));
    }
    if schema["format"] == "uuid" {
        return text.parse::<TaskId>().err().map(|error| error.to_string());
    }
    let most = schema["maxLength"].as_u64().and_then(|most| usize::try_from(most).ok())?;
    (text.chars().count() > most).then(|| format!("is longer than {most} characters"))
}

#[cfg(test)]
mod tests {
    use super::Paths;
    use crate::server::http::document::openapi;

    #[test]
    fn every_path_knows_its_methods_and_parameters() {
        let paths = Paths::of(&openapi());
        let check = |path: &str, methods: Option<&str>, parameter: Option<&str>| {
            assert_eq!((paths.allow(path), paths.parameter(path, 0)), (methods, parameter), "{path}");
        };
        check("/api/v1/tasks", Some("GET, POST, HEAD"), None);
        check("/api/v1/tasks/purge", Some("POST"), None);
        check("/api/v1/tasks/1", Some("GET, PATCH, DELETE, HEAD"), Some("task_id"));
        check("/api/v1/events/1", Some("PATCH, DELETE"), Some("event_id"));
        check("/api/v1/stream", Some("GET, HEAD"), None);
        check("/api/v1/unknown", None, None);
    }
}

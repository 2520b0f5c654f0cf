//! The paths of all operations, for failures that name the methods or the parameters of a path.

use serde_json::Value;

/// The path of every operation, with the methods it has.
pub(super) struct Paths(Vec<(Vec<String>, String)>);

impl Paths {
    /// The paths of an OpenAPI document.
    pub(super) fn of(openapi: &str) -> Self {
        let document: Value = serde_json::from_str(openapi).unwrap_or_default();
        let paths = document["paths"].as_object().into_iter().flatten();
        let one = |(path, item): (&String, &Value)| {
            let methods = item.as_object().into_iter().flatten().map(|(method, _)| method.to_uppercase());
            let mut methods: Vec<String> = methods.collect();
            if methods.iter().any(|method| method == "GET") {
                methods.push("HEAD".to_owned());
            }
            (path.split('/').map(str::to_owned).collect(), methods.join(", "))
        };
        Self(paths.map(one).collect())
    }

    /// The methods at `path`, as `Allow` has them.
    pub(super) fn allow(&self, path: &str) -> Option<&str> {
        self.find(path).map(|(_, methods)| methods.as_str())
    }

    /// The name of the parameter at `place` in `path`, counted from 0. The framework reports the place and not the
    /// name.
    pub(super) fn parameter(&self, path: &str, place: usize) -> Option<&str> {
        let (pattern, _) = self.find(path)?;
        let name = pattern.iter().filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).nth(place)?;
        Some(name)
    }

    /// The path of the document that matches. Of two, the path with fewer parameters wins.
    fn find(&self, path: &str) -> Option<&(Vec<String>, String)> {
        let asked: Vec<&str> = path.split('/').collect();
        let fits = |pattern: &[String]| {
            pattern.len() == asked.len()
                && pattern.iter().zip(&asked).all(|(pattern, asked)| pattern.starts_with('{') || pattern == asked)
        };
        let parameters = |pattern: &[String]| pattern.iter().filter(|part| part.starts_with('{')).count();
        self.0.iter().filter(|(pattern, _)| fits(pattern)).min_by_key(|(pattern, _)| parameters(pattern))
    }
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

//! Answers for planted files: the embedded ones change with each build of the dashboard.

use poem::Response;
use poem::error::{MethodNotAllowedError, NotFoundError};
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{PageFile, answer};

const FILES: &[(&str, &str)] = &[
    ("index.html", "page"),
    ("index.html.br", "page in br"),
    ("index.html.gz", "page in gzip"),
    ("assets/engine-0a1b2c3d.wasm", "engine"),
    ("assets/engine-0a1b2c3d.wasm.gz", "engine in gzip"),
    ("assets/app-0a1b2c3d.js", "app"),
    ("LICENSES.txt", "licences"),
    (".vite/manifest.json", "names"),
];

fn planted(name: &str) -> Option<PageFile> {
    let (name, text) = FILES.iter().find(|(known, _)| *known == name)?;
    Some(PageFile { bytes: text.as_bytes(), etag: format!("\"{name}\"") })
}

fn request(method: &str, path: &str, headers: &[(&'static str, &'static str)]) -> poem::Result<Response> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let method: Method = method.parse().expect("a method");
    answer(&method, path, &map, planted)
}

fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers[name].to_str().expect("a text")
}

async fn get(path: &str, headers: &[(&'static str, &'static str)]) -> (HeaderMap, String) {
    let response = request("GET", path, headers).expect(path);
    let headers = response.headers().clone();
    (headers, response.into_body().into_string().await.expect("a text"))
}

#[tokio::test]
async fn the_smallest_accepted_coding_is_sent() {
    let zipped = "/assets/engine-0a1b2c3d.wasm";
    for (path, accepted, expected, coding) in [
        ("/", "gzip, deflate, br, zstd", "page in br", Some("br")),
        ("/", "gzip", "page in gzip", Some("gzip")),
        ("/", "GZIP;q=0.5, br;q=0", "page in gzip", Some("gzip")),
        ("/", "*", "page in br", Some("br")),
        ("/", "*;q=0", "page", None),
        ("/", "identity", "page", None),
        ("/", "br;q=x, gzip;q=0.0", "page", None),
        ("/index.html", "br", "page in br", Some("br")),
        (zipped, "br, gzip", "engine in gzip", Some("gzip")),
        (zipped, "br", "engine", None),
        ("/assets/app-0a1b2c3d.js", "br, gzip", "app", None),
    ] {
        let (headers, text) = get(path, &[("accept-encoding", accepted)]).await;
        let sent = headers.get("content-encoding").map(|coding| coding.to_str().expect("a text"));
        assert_eq!((text.as_str(), sent), (expected, coding), "{path} {accepted}");
        assert_eq!(headers["vary"], "accept-encoding", "{path} {accepted}");
    }
    assert_eq!(get("/", &[]).await.1, "page");
}

#[tokio::test]
async fn each_representation_has_a_tag_of_its_own() {
    let status = |path, headers: &[(&'static str, &'static str)]| request("GET", path, headers).expect(path).status();
    let br = ("accept-encoding", "br");
    assert_eq!(status("/", &[br, ("if-none-match", "\"index.html.br\"")]), 304);
    assert_eq!(status("/", &[br, ("if-none-match", "\"x\", W/\"index.html.br\"")]), 304);
    assert_eq!(status("/", &[br, ("if-none-match", "*")]), 304);
    assert_eq!(status("/", &[br, ("if-none-match", "\"index.html\"")]), 200);
    assert_eq!(status("/", &[("if-none-match", "\"index.html.br\"")]), 200);
    let held = request("GET", "/", &[br, ("if-none-match", "*")]).expect("an answer");
    for name in ["etag", "vary", "cache-control", "content-security-policy"] {
        assert!(held.headers().contains_key(name), "{name}");
    }
    assert!(held.into_body().is_empty());
}

#[tokio::test]
async fn only_hashed_names_are_kept_without_asking() {
    for (path, kind, cache) in [
        ("/", "text/html; charset=utf-8", "no-cache"),
        ("/LICENSES.txt", "text/plain; charset=utf-8", "no-cache"),
        ("/assets/engine-0a1b2c3d.wasm", "application/wasm", "public, max-age=31536000, immutable"),
        ("/assets/app-0a1b2c3d.js", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"),
    ] {
        let (headers, _) = get(path, &[]).await;
        assert_eq!((text_of(&headers, "content-type"), text_of(&headers, "cache-control")), (kind, cache), "{path}");
        let kept_apart = (text_of(&headers, "x-content-type-options"), text_of(&headers, "x-frame-options"));
        assert_eq!(kept_apart, ("nosniff", "DENY"), "{path}");
    }
}

/// A page may run and load what this server has, and compile the engine. No directive allows more.
#[tokio::test]
async fn the_policy_allows_this_server_and_the_engine_alone() {
    for path in ["/", "/assets/app-0a1b2c3d.js", "/LICENSES.txt"] {
        let (headers, _) = get(path, &[]).await;
        let directives: Vec<&str> = text_of(&headers, "content-security-policy").split("; ").collect();
        let (mut own, mut none, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for directive in directives {
            match directive.split_once(' ').expect("a name and its sources") {
                (name, "'self'") => own.push(name),
                (name, "'none'") => none.push(name),
                _ => others.push(directive),
            }
        }
        assert_eq!(others, ["script-src 'self' 'wasm-unsafe-eval'"], "{path}");
        assert_eq!(none, ["default-src", "base-uri", "form-action", "frame-ancestors"], "{path}");
        let loads = ["style-src", "img-src", "connect-src", "worker-src", "font-src", "media-src", "manifest-src"];
        assert_eq!(own, loads, "{path}");
    }
}

#[tokio::test]
async fn a_browser_gets_the_page_for_a_view_and_for_no_other_path() {
    let html = ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
    for view in ["/tasks", "/tasks/0190b0a0-0000-7000-8000-000000000001", "/bookmarks", "/p/acme%2Fweb"] {
        let (headers, text) = get(view, &[html]).await;
        assert_eq!((text.as_str(), &headers["vary"]), ("page", &HeaderValue::from_static("accept, accept-encoding")));
        for others in [&[][..], &[("accept", "*/*")], &[("accept", "application/json")], &[("accept", "text/html;q=0")]]
        {
            assert!(request("GET", view, others).is_err_and(|error| error.is::<NotFoundError>()), "{view} {others:?}");
        }
    }
    for path in [
        "/api/v2",
        "/api",
        "/docs/x",
        "/ws/x",
        "/problems/a/b",
        "/assets",
        "/assets/gone-0a1b2c3d",
        "/app.js",
        "/index.html.br",
        "/.vite/manifest.json",
        "/.vite",
        "/../Cargo.toml",
        "/assets/../index.html",
        "/./index.html",
        "/tasks/..",
        "/healthz/x",
        "/readyz/x",
    ] {
        assert!(request("GET", path, &[html]).is_err_and(|error| error.is::<NotFoundError>()), "{path}");
    }
}

#[test]
fn a_page_can_only_be_read() {
    let html = [("accept", "text/html")];
    assert_eq!(request("HEAD", "/", &[]).expect("an answer").status(), 200);
    for path in ["/", "/LICENSES.txt", "/assets/app-0a1b2c3d.js"] {
        assert!(request("POST", path, &html).is_err_and(|error| error.is::<MethodNotAllowedError>()), "{path}");
    }
    assert!(request("DELETE", "/tasks", &html).is_err_and(|error| error.is::<NotFoundError>()));
}

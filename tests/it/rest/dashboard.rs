//! The pages of the dashboard, as they are embedded in the program.

use std::path::{Path, PathBuf};

use super::{Answer, Client};
use crate::app::App;

const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

fn dist() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("web/dashboard/dist")
}

/// The names of all files below a folder, with `/`.
fn names(folder: &Path, above: &str) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{above}{}", entry.file_name().to_str().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => names.extend(self::names(&entry.path(), &format!("{name}/"))),
            false => names.push(name),
        }
    }
    names
}

async fn ask(client: &Client, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    client.send(method, path, None::<String>, &headers).await
}

/// Every file of the build, in each coding that the build made.
#[tokio::test]
async fn every_file_of_the_dashboard_is_served() {
    let client = Client::of(&App::start().await);
    let is_plain = |name: &String| !name.ends_with(".br") && !name.ends_with(".gz") && !name.starts_with('.');
    for name in names(&dist(), "").into_iter().filter(is_plain) {
        let path = format!("/{name}");
        for (coding, ending) in [("identity", ""), ("br", ".br"), ("gzip", ".gz")] {
            let Ok(file) = std::fs::read(dist().join(format!("{name}{ending}"))) else { continue };
            let answer = ask(&client, "GET", &path, &[("accept-encoding", coding)]).await;
            assert_eq!(
                (answer.status, answer.header("content-length")),
                (200, file.len().to_string().as_str()),
                "{path}"
            );
            assert_eq!(answer.header("content-encoding"), if ending.is_empty() { "" } else { coding }, "{path}");
            assert_ne!(answer.header("content-type"), "application/octet-stream", "add the type of {path}");
            assert!(answer.header("vary").contains("accept-encoding"), "{path}");
            assert!(answer.header("etag").starts_with('"'), "{path}: {}", answer.header("etag"));
            let tag = [("accept-encoding", coding), ("if-none-match", answer.header("etag"))];
            assert_eq!(ask(&client, "GET", &path, &tag).await.status, 304, "{path}");
            let head = ask(&client, "HEAD", &path, &[("accept-encoding", coding)]).await;
            assert_eq!((head.status, head.text.as_str()), (200, ""), "{path}");
            assert_eq!(head.header("content-length"), answer.header("content-length"), "{path}");
        }
        // A browser keeps such a file without asking again, so its name must change with its content.
        let stem = name.strip_prefix("assets/").map(|name| name.split('.').next().unwrap_or_default());
        let ends_with_hash = |stem: &str| stem.len() > 9 && stem.as_bytes()[stem.len() - 9] == b'-';
        assert!(stem.is_none_or(ends_with_hash), "{name}");
    }
}

#[tokio::test]
async fn the_first_page_loads_only_files_that_exist() {
    let client = Client::of(&App::start().await);
    let page = ask(&client, "GET", "/", &[]).await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!((page.header("x-content-type-options"), page.header("x-frame-options")), ("nosniff", "DENY"));
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    for inline in ["<script>", "<style", " style=", " onclick=", "javascript:"] {
        assert!(!page.text.contains(inline), "the policy of the page forbids {inline}");
    }
    for name in ["src=\"", "href=\""] {
        for path in page.text.split(name).skip(1).filter_map(|rest| rest.split('"').next()) {
            let path = path.trim_start_matches('.');
            assert!(path.starts_with('/') && !path.starts_with("//"), "{path}");
            // A link leads to a view, which a browser alone gets.
            assert_eq!(ask(&client, "GET", path, &[("accept", "text/html, */*")]).await.status, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn a_browser_gets_the_page_for_a_view_and_a_program_a_problem() {
    let client = Client::of(&App::start().await);
    let page = ask(&client, "GET", "/", &[HTML]).await;
    for view in ["/tasks", "/tasks/0190b0a0-0000-7000-8000-000000000001", "/bookmarks"] {
        let shown = ask(&client, "GET", view, &[HTML]).await;
        assert_eq!((shown.status, &shown.text), (200, &page.text), "{view}");
        assert_eq!(shown.header("vary"), "accept, accept-encoding", "{view}");
        assert_eq!(client.get(view).await.problem(), "404", "{view}");
    }
    for path in [
        "/api",
        "/api/v1/nothing",
        "/api/v2",
        "/problems/odd",
        "/docs/more",
        "/ws/more",
        "/assets/gone.js",
        "/assets",
        "/x.js",
        "/index.html.br",
        "/assets/..%2findex.html",
        "/%2e%2e/Cargo.toml",
        "/..%5cCargo.toml",
    ] {
        let gone = ask(&client, "GET", path, &[HTML]).await;
        assert_eq!(gone.header("content-type"), "application/problem+json", "{path}");
        assert_eq!(gone.problem(), "404", "{path}");
    }
    let posted = ask(&client, "POST", "/", &[]).await;
    assert_eq!((posted.problem().as_str(), posted.header("allow")), ("405", "GET, HEAD"));
    assert_eq!(ask(&client, "POST", "/tasks", &[HTML]).await.problem(), "404");
}

/// The page that tries the operations has all in itself, so its policy needs no source but inline texts and data.
#[tokio::test]
async fn the_page_of_the_operations_has_a_policy_of_its_own() {
    let client = Client::of(&App::start().await);
    let docs = ask(&client, "GET", "/docs", &[HTML]).await;
    assert_eq!((docs.status, docs.header("x-frame-options")), (200, "DENY"));
    let policy = docs.header("content-security-policy");
    assert!(policy.contains("default-src 'none'; script-src 'unsafe-inline'; "), "{policy}");
    assert!(policy.contains("connect-src 'self'; ") && !policy.contains("eval"), "{policy}");
    assert!(docs.text.contains("SwaggerUIBundle("), "the page shows the operations");
    for loaded in [" src=\"http", " src=\"/", "<link rel=\"stylesheet\" href=\"http", "@import"] {
        assert!(!docs.text.contains(loaded), "the page loads {loaded}");
    }
}

#[tokio::test]
async fn the_checks_of_host_and_origin_hold_for_pages() {
    let client = Client::of(&App::start().await);
    for path in ["/", "/index.html", "/tasks", "/assets/gone.js"] {
        for header in [("host", "evil.example"), ("origin", "https://evil.example")] {
            assert_eq!(ask(&client, "GET", path, &[HTML, header]).await.problem(), "403", "{path} {header:?}");
        }
    }
}

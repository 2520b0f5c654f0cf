//! The pages of the dashboard: files that are embedded in the program.
//!
//! The files are the build output in `web/dashboard/dist`. The build puts a file with the ending `.br` or `.gz` beside
//! each file that is worth compressing, and a hash of the content into each name under `assets`. No page is made here.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use bytes::Bytes;
use include_dir::{Dir, include_dir};
use poem::error::{MethodNotAllowedError, NotFoundError};
use poem::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use poem::{Request, Response};

use super::answer::names;
use super::negotiation::{accepts_coding, listed};

/// The files of the dashboard. A checkout without the folder does not compile.
static DIST: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/web/dashboard/dist");

/// The files by their names.
static FILES: LazyLock<HashMap<&'static str, PageFile>> = LazyLock::new(|| {
    let mut files = HashMap::new();
    let mut folders = vec![&DIST];
    while let Some(folder) = folders.pop() {
        folders.extend(folder.dirs());
        let named = folder.files().filter_map(|file| Some((file.path().to_str()?, PageFile::of(file.contents()))));
        files.extend(named);
    }
    files
});

/// A checkout without the first page does not compile.
const _: &[u8] = include_bytes!("../../../web/dashboard/dist/index.html");

const INDEX: &str = "index.html";
/// The folder of the files that have a hash of their content in their names.
const HASHED: &str = "assets/";
/// The first parts of the paths that are no pages, even where no operation has the path.
const NO_PAGES: &[&str] = &["api", "assets", "docs", "healthz", "problems", "readyz", "ws"];
/// The codings that the build makes, the smaller one first, with the endings of their files.
const CODINGS: &[(&str, &str)] = &[("br", ".br"), ("gzip", ".gz")];

/// The headers of each file. A page runs and loads only what this server has; no other page can show it in a frame.
const HEADERS: &[(HeaderName, &str)] = &[
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; \
         connect-src 'self'; worker-src 'self'; font-src 'self'; media-src 'self'; manifest-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // A link in the text of an agent must not tell another host which task a person reads.
    (header::REFERRER_POLICY, "no-referrer"),
];

/// A file with its entity tag.
#[derive(Clone)]
struct PageFile {
    bytes: &'static [u8],
    etag: String,
}

impl PageFile {
    fn of(bytes: &'static [u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Self { bytes, etag: format!("\"{:016x}\"", hasher.finish()) }
    }
}

/// Answers a request for a page, or fails as for a path without an operation.
pub(super) fn page(request: &Request) -> poem::Result<Response> {
    answer(request.method(), request.uri().path(), request.headers(), |name| FILES.get(name).cloned())
}

fn answer(
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    find: impl Fn(&str) -> Option<PageFile>,
) -> poem::Result<Response> {
    let name = path.strip_prefix('/').unwrap_or(path);
    let is_served =
        !name.split('/').any(|part| part.starts_with('.')) && CODINGS.iter().all(|(_, end)| !name.ends_with(end));
    let (name, plain, by_accept) = if name.is_empty() {
        (INDEX, find(INDEX), false)
    } else if let Some(file) = find(name).filter(|_| is_served) {
        (name, Some(file), false)
    } else if is_view(name) && accepts_html(headers) {
        (INDEX, find(INDEX), true)
    } else {
        (name, None, false)
    };
    let Some(plain) = plain else { return Err(NotFoundError.into()) };
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(if by_accept { NotFoundError.into() } else { MethodNotAllowedError.into() });
    }
    let coded = CODINGS.iter().find_map(|(coding, end)| {
        let file = accepts_coding(headers, coding).then(|| find(&format!("{name}{end}"))).flatten()?;
        Some((Some(*coding), file))
    });
    let (coding, file) = coded.unwrap_or((None, plain));
    let held = headers.get(header::IF_NONE_MATCH).and_then(|held| held.to_str().ok());
    let has_it = held.is_some_and(|held| names(held, &file.etag));
    let mut response = Response::builder()
        .status(if has_it { StatusCode::NOT_MODIFIED } else { StatusCode::OK })
        .header(header::ETAG, &file.etag)
        .header(header::VARY, if by_accept { "accept, accept-encoding" } else { "accept-encoding" })
        .header(
            header::CACHE_CONTROL,
            if name.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" },
        );
    for (header, value) in HEADERS {
        response = response.header(header, *value);
    }
    if has_it {
        return Ok(response.finish());
    }
    if let Some(coding) = coding {
        response = response.header(header::CONTENT_ENCODING, coding);
    }
    Ok(response.header(header::CONTENT_TYPE, content_type(name)).body(Bytes::from_static(file.bytes)))
}

/// Whether a path can name a view of the dashboard: the page reads the path itself. The name of a file has a dot.
fn is_view(name: &str) -> bool {
    let mut parts = name.split('/');
    !NO_PAGES.contains(&parts.next().unwrap_or_default()) && !name.contains('.')
}

/// Whether a browser asks for a page. A program that takes any type learns that no operation has the path.
fn accepts_html(headers: &HeaderMap) -> bool {
    listed(headers, &header::ACCEPT).any(|(kind, weight)| kind == "text/html" && weight > 0.0)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests;

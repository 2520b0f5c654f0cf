//! The kinds of problems: the part of a failure that stays the same, and the page that explains it.

use poem::http::StatusCode;

/// A kind of problems. Its `type` is `/problems/` and its name, and the server answers that path with its page.
#[derive(Debug)]
pub struct ProblemKind {
    /// The name.
    pub name: &'static str,
    /// The status of the answer.
    pub status: StatusCode,
    /// The kind in words.
    pub title: &'static str,
    /// The cause, and the remedy if there is one.
    pub meaning: &'static str,
}

impl ProblemKind {
    /// The kind with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().copied().find(|kind| kind.name == name)
    }

    /// The page that explains the kind.
    pub fn page(&self) -> String {
        format!("{}: {}\n\n{}\n", self.status.as_u16(), self.title, self.meaning)
    }
}

macro_rules! problem_kinds {
    ($($constant:ident: $status:ident, $name:literal, $title:literal, $meaning:literal;)*) => {
        impl ProblemKind {
            $(
                #[doc = $meaning]
                pub const $constant: &'static Self =
                    &Self { name: $name, status: StatusCode::$status, title: $title, meaning: $meaning };
            )*

            /// Every kind.
            pub const ALL: &'static [&'static Self] = &[$(Self::$constant),*];
        }
    };
}

problem_kinds! {
    NOT_JSON: BAD_REQUEST, "not-json", "The body is not JSON",
        "The body is empty, is not JSON in UTF-8, or nests too deep.";
    BODY: BAD_REQUEST, "body", "The body broke off", "The connection ended before the whole body had arrived.";
    HEADER: BAD_REQUEST, "header", "A header is malformed", "`Requery-At-Least` is no cursor, or `Requery-At` is no time.";
    PAGE_TOKEN: BAD_REQUEST, "page-token", "Not a token of this list",
        "`before` and `after` take the `next` and the `previous` of a page of the same list, with the same filters.";
    BAD_REQUEST: BAD_REQUEST, "bad-request", "Bad request", "The request is not valid for its path.";
    FORBIDDEN: FORBIDDEN, "forbidden", "Not allowed",
        "The request names a host, or comes from an origin, that the server does not allow. The settings --allow-host \
         and --allow-origin allow further ones.";
    NOT_FOUND: NOT_FOUND, "not-found", "Not found", "The row that the path names does not exist.";
    NO_SUCH_PATH: NOT_FOUND, "no-such-path", "No such path", "No operation has this path.";
    METHOD: METHOD_NOT_ALLOWED, "method", "Method not allowed", "The header Allow lists the methods of the path.";
    TIMEOUT: REQUEST_TIMEOUT, "timeout", "The body did not arrive in time", "Send the request again.";
    CONFLICT: CONFLICT, "conflict", "The id cannot be used", "Choose another id, or leave it out.";
    TOO_LARGE: PAYLOAD_TOO_LARGE, "too-large", "The body is too long", "Send the data in several requests.";
    MEDIA_TYPE: UNSUPPORTED_MEDIA_TYPE, "media-type", "Unsupported media type", "Send the body as application/json.";
    INVALID: UNPROCESSABLE_ENTITY, "invalid", "A field or a parameter is invalid",
        "`errors` names each wrong field or parameter, with the reason.";
    INTERNAL: INTERNAL_SERVER_ERROR, "internal", "The server failed", "The log of the server has the details.";
    UNAVAILABLE: SERVICE_UNAVAILABLE, "unavailable", "Temporarily unavailable",
        "The database is away or busy, the server is ending, or a limit is reached. Send the request again after \
         Retry-After.";
}

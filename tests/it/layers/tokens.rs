//! Finds paths among the tokens of a macro or an attribute. The tokens have no grammar, so each run of names joined by
//! `::` counts as a path.

use proc_macro2::{TokenStream, TokenTree};

use super::reader::{ASYNC, Named, segments};

/// Where the tokens stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tokens {
    OfMacro,
    /// The string literals of an attribute may contain paths too, as in `default = "super::limit"`.
    OfAttribute,
}

#[derive(Default)]
pub struct Found {
    pub named: Vec<Named>,
    pub imports: Vec<syn::ItemUse>,
}

pub fn scan(tokens: TokenStream, kind: Tokens, found: &mut Found) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        let line = tokens[at].span().start().line;
        let mut name = |path| found.named.push(Named { path, line });
        let mut next = at + 1;
        match &tokens[at] {
            TokenTree::Group(group) => scan(group.stream(), kind, found),
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                if kind == Tokens::OfAttribute
                    && text.contains("::")
                    && let Ok(path) = syn::parse_str(text.trim_matches('"'))
                {
                    name(segments(&path));
                }
            }
            TokenTree::Ident(ident) if ident == "async" => name(vec![ASYNC.to_owned()]),
            TokenTree::Ident(ident) if ident == "use" => {
                let end =
                    (at..tokens.len()).find(|&end| is_punct(&tokens, end, ';')).map_or(tokens.len(), |end| end + 1);
                if let Ok(item) = syn::parse2(tokens[at..end].iter().cloned().collect()) {
                    found.imports.push(item);
                    next = end;
                }
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) => {
                let (path, end) = path_at(&tokens, at);
                let is_visibility = matches!(path.as_slice(), [only] if only == "super" || only == "crate");
                if !path.is_empty() && !is_visibility {
                    name(path);
                }
                next = end;
            }
        }
        at = next;
    }
}

/// Returns the path that begins at this token, and the index of the token after the path. The path is empty where the
/// code names no module: after the `$` of a macro's variable, after a quote, or after a type in angle brackets. After a
/// dot stands a method or a field: its path is the dot and the name.
fn path_at(tokens: &[TokenTree], start: usize) -> (Vec<String>, usize) {
    let mut at = start;
    let mut path = Vec::new();
    let of_variable = is_punct(tokens, at, '$');
    let of_value = is_punct(tokens, at, '.');
    if of_variable || of_value || is_punct(tokens, at, '\'') {
        at += 1;
    } else if is_colons(tokens, at) {
        at += 2;
        if is_end_of_type(tokens, start) {
            return (path, at);
        }
        path.push(String::new());
    }
    let Some(TokenTree::Ident(first)) = tokens.get(at) else { return (Vec::new(), at.max(start + 1)) };
    path.push(if of_value { format!(".{first}") } else { first.to_string() });
    at += 1;
    while is_colons(tokens, at)
        && let Some(TokenTree::Ident(next)) = tokens.get(at + 2)
    {
        path.push(next.to_string());
        at += 3;
    }
    if of_variable && first != "crate" {
        path.clear();
    }
    (path, at)
}

/// Returns whether the tokens before the index `at` end with the bracket of a type: `>`, but neither `=>` nor `->`.
fn is_end_of_type(tokens: &[TokenTree], at: usize) -> bool {
    let before = |back: usize, punct| at.checked_sub(back).is_some_and(|at| is_punct(tokens, at, punct));
    before(1, '>') && !before(2, '=') && !before(2, '-')
}

fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens, at, ':') && is_punct(tokens, at + 1, ':')
}

fn is_punct(tokens: &[TokenTree], at: usize, punct: char) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(found)) if found.as_char() == punct)
}

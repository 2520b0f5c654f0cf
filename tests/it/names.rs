//! No two types in `src` with a `pub` visibility have the same name.
//!
//! Private types of one file may repeat a name, and associated types are not counted. A type made by a macro is counted
//! if the tokens have its name after `pub struct` and the like. A name that a macro puts together is not found.

use std::collections::BTreeMap;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use crate::sources::{SourceFile, source_files};

/// The names that may still repeat. The test fails for an entry that is unique now, so the list only gets shorter.
const STILL_REPEATED: &[&str] = &[];

#[test]
fn public_type_names_are_unique() {
    let repeated = repeated_names(&source_files(&["src"]));
    let new = repeated.iter().filter(|(name, _)| !STILL_REPEATED.contains(&name.as_str()));
    let new: Vec<String> =
        new.map(|(name, places)| format!("`{name}` is the name of {}", places.join(" and of "))).collect();
    assert!(new.is_empty(), "one word, one thing: qualify these names\n{}", new.join("\n"));
    let unique: Vec<_> = STILL_REPEATED.iter().filter(|name| !repeated.contains_key(**name)).collect();
    assert!(unique.is_empty(), "these names are unique now: remove them from STILL_REPEATED: {unique:?}");
}

/// The names of public types that are defined more than once, each with its places.
fn repeated_names(files: &[SourceFile]) -> BTreeMap<String, Vec<String>> {
    let mut reader = Reader::default();
    for file in files {
        reader.path.clone_from(&file.path);
        let parsed = syn::parse_file(&file.text).unwrap_or_else(|error| panic!("{}: {error}", file.path));
        reader.visit_file(&parsed);
    }
    reader.places.retain(|_, places| places.len() > 1);
    reader.places
}

#[derive(Default)]
struct Reader {
    path: String,
    places: BTreeMap<String, Vec<String>>,
}

impl Reader {
    fn add(&mut self, name: &proc_macro2::Ident) {
        let place = format!("{}:{}", self.path, name.span().start().line);
        self.places.entry(name.to_string()).or_default().push(place);
    }

    /// `pub struct Name`, `pub(crate) enum Name` and so on, at any depth.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut after_pub = false;
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Ident(word) if word == "pub" => after_pub = true,
                TokenTree::Ident(kind) if after_pub && KINDS.iter().any(|word| kind == word) => {
                    if let Some(TokenTree::Ident(name)) = tokens.get(at + 1) {
                        self.add(name);
                    }
                    after_pub = false;
                }
                TokenTree::Group(group) => self.scan(group.stream()),
                _ => after_pub = false,
            }
        }
    }
}

const KINDS: &[&str] = &["struct", "enum", "trait", "type", "union"];

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let (visibility, name) = match item {
            syn::Item::Enum(item) => (&item.vis, &item.ident),
            syn::Item::Struct(item) => (&item.vis, &item.ident),
            syn::Item::Trait(item) => (&item.vis, &item.ident),
            syn::Item::Type(item) => (&item.vis, &item.ident),
            syn::Item::Union(item) => (&item.vis, &item.ident),
            _ => return visit::visit_item(self, item),
        };
        if !matches!(visibility, syn::Visibility::Inherited) {
            self.add(name);
        }
    }

    fn visit_macro(&mut self, invoked: &'ast syn::Macro) {
        self.scan(invoked.tokens.clone());
    }
}

/// The repeated names in these texts, which stand for the files `0.rs`, `1.rs` and so on.
fn found(texts: &[&str]) -> Vec<String> {
    let files = texts.iter().enumerate();
    let files: Vec<_> =
        files.map(|(at, text)| SourceFile { path: format!("{at}.rs"), text: (*text).to_owned() }).collect();
    repeated_names(&files).into_iter().map(|(name, places)| format!("{name} {}", places.join(" "))).collect()
}

#[test]
fn repeated_names_are_found_by_kind_and_visibility() {
    assert_eq!(found(&["pub struct Place;", "\npub enum Place {}"]), ["Place 0.rs:1 1.rs:2"]);
    assert_eq!(found(&["pub(crate) trait Place {}", "pub(super) type Place = u8;"]), ["Place 0.rs:1 1.rs:1"]);
    assert_eq!(found(&["pub struct Place; pub mod inner { pub struct Place; }"]), ["Place 0.rs:1 0.rs:1"]);
    assert_eq!(
        found(&["pub struct Place;", "made! { pub(crate) struct Place { pub at: u8 } }"]),
        ["Place 0.rs:1 1.rs:1"]
    );
    assert_eq!(
        found(&["pub struct Place;", "macro_rules! made { () => { pub struct Place; } }"]),
        ["Place 0.rs:1 1.rs:1"]
    );
}

#[test]
fn private_names_may_repeat() {
    assert_eq!(found(&["pub struct Place;", "struct Place;"]), [""; 0]);
    assert_eq!(found(&["impl A for B { type Place = u8; }", "pub trait C { type Place; } pub struct Place;"]), [""; 0]);
    assert_eq!(found(&["pub struct Place;", "pub fn place() {} pub const Place: u8 = 0; use a::Place;"]), [""; 0]);
    assert_eq!(
        found(&["pub struct Place;", "macro_rules! made { ($Place:ident) => { pub struct $Place; } }"]),
        [""; 0]
    );
}

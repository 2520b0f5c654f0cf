//! A row is read only with types that read every text: a `String` fails for bytes that are not UTF-8.

use syn::visit::{self, Visit};

use crate::sources::{SourceFile, source_files};

/// The values of a row that is copied to another database.
const COPIED: &str = "src/server/database/copy_ends/cell.rs";

#[test]
fn every_text_column_is_a_stored_text() {
    // A copy compares the bytes of a text, and says how many texts it had to change.
    let files = source_files(&["src", "entities/src"]).into_iter().filter(|file| file.path != COPIED);
    let strict = strict_columns(&files.collect::<Vec<_>>());
    assert!(strict.is_empty(), "`StoredText` reads any bytes, these types do not: {}", strict.join(", "));
}

#[test]
fn strict_columns_are_found() {
    let planted = |text: &str| strict_columns(&[SourceFile { path: "a.rs".to_owned(), text: text.to_owned() }]);
    for derive in ["DeriveEntityModel", "DerivePartialModel", "FromQueryResult"] {
        for field in ["String", "Option<String>", "Vec<u8>", "Option<Vec<u8>>", "std::string::String"] {
            let row =
                format!("fn f() {{ #[derive(Debug, sea_orm::{derive})]\nstruct Row {{ id: i64,\nat: {field} }} }}");
            assert_eq!(planted(&row), ["a.rs:3"], "{derive} {field}");
        }
    }
    assert_eq!(planted("fn f() { q.into_tuple::<(i64, Option<String>)>() }"), ["a.rs:1"]);
    assert_eq!(planted("fn f() { let a: String = q.into_tuple(); }"), ["a.rs:1"]);
    assert_eq!(planted("fn f() { q.try_get::<String>(\"\", \"a\") }"), ["a.rs:1"]);
    assert!(planted("#[derive(Debug)] struct Body { at: String }").is_empty());
    assert!(planted("#[derive(FromQueryResult)] struct Row { at: Option<StoredText>, n: i64 }").is_empty());
    assert!(planted("fn f() { q.into_tuple::<(i64, StoredText)>() }").is_empty());
}

/// The places of columns that are read with a type that refuses some texts.
fn strict_columns(files: &[SourceFile]) -> Vec<String> {
    let mut reader = Reader::default();
    for file in files {
        reader.path.clone_from(&file.path);
        reader.visit_file(&syn::parse_file(&file.text).unwrap_or_else(|error| panic!("{}: {error}", file.path)));
    }
    reader.found
}

#[derive(Default)]
struct Reader {
    path: String,
    found: Vec<String>,
}

impl Reader {
    fn add(&mut self, at: proc_macro2::Span) {
        self.found.push(format!("{}:{}", self.path, at.start().line));
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        const ROWS: [&str; 3] = ["DeriveEntityModel", "DerivePartialModel", "FromQueryResult"];
        let derives = item.attrs.iter().filter_map(|attribute| match &attribute.meta {
            syn::Meta::List(list) if list.path.is_ident("derive") => Some(list.tokens.to_string()),
            _ => None,
        });
        if derives.into_iter().any(|derives| ROWS.iter().any(|row| derives.contains(row))) {
            for field in &item.fields {
                if let Some(at) = strict(&field.ty) {
                    self.add(at);
                }
            }
        }
        visit::visit_item_struct(self, item);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let of_a_row =
            ["into_tuple", "try_get", "try_get_by", "try_get_by_index"].iter().any(|name| call.method == name);
        match &call.turbofish {
            Some(types) if of_a_row => {
                for argument in &types.args {
                    if let syn::GenericArgument::Type(one) = argument
                        && let Some(at) = strict(one)
                    {
                        self.add(at);
                    }
                }
            }
            // Without a turbofish the type stands somewhere else.
            None if call.method == "into_tuple" => self.add(call.method.span()),
            _ => {}
        }
        visit::visit_expr_method_call(self, call);
    }
}

/// The place of a type within `read` that reads no text, or only texts that are UTF-8.
fn strict(read: &syn::Type) -> Option<proc_macro2::Span> {
    struct Names(Option<proc_macro2::Span>);
    impl<'ast> Visit<'ast> for Names {
        fn visit_path_segment(&mut self, segment: &'ast syn::PathSegment) {
            if ["String", "str", "Vec", "char"].iter().any(|name| segment.ident == name) {
                self.0.get_or_insert(segment.ident.span());
            }
            visit::visit_path_segment(self, segment);
        }
    }
    let mut names = Names(None);
    names.visit_type(read);
    names.0
}

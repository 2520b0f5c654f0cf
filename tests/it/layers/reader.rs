//! Reads one file: its modules, its imports and every path that its code names, each with its line.
//!
//! The code is parsed. Tokens inside macros have no grammar of their own, so they are scanned for paths instead.

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use syn::visit::{self, Visit};

use super::tokens::{self, Found, Tokens};

/// The pseudo path of an `async` function, block or closure.
pub const ASYNC: &str = "async";

/// The code of one module in one file. A file has one of these for itself and one for each inline module.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The names of the inline modules around it, the outermost first. Empty for the file itself.
    pub inside: Vec<String>,
    /// The modules that `mod name;` declares here.
    pub declared: Vec<(String, usize)>,
    /// The names of the items that are written here.
    pub items: BTreeSet<String>,
    pub imports: Vec<Import>,
    /// Every other path in the code, at its first place.
    pub named: Vec<Named>,
}

/// One leaf of a `use` tree.
#[derive(Clone, Debug)]
pub struct Import {
    pub path: Vec<String>,
    /// The name of the import in this module. `None`: the import is a glob.
    pub name: Option<String>,
    /// Whether other modules can use the import through this module.
    pub is_public: bool,
    pub line: usize,
}

/// A path in an expression, a type, a pattern, an attribute or a macro. A method call is `.name`.
#[derive(Clone, Debug)]
pub struct Named {
    pub path: Vec<String>,
    pub line: usize,
}

/// A file that was read: its path, and its scopes, or the line and the text of the error.
#[derive(Clone, Debug)]
pub struct ReadFile {
    pub path: String,
    pub scopes: Result<Vec<Scope>, (usize, String)>,
}

pub fn read(path: &str, text: &str) -> ReadFile {
    let scopes = syn::parse_file(text).map_err(|error| (error.span().start().line, error.to_string())).map(|file| {
        let mut reader = Reader { scopes: vec![Scope::default()], at: 0 };
        reader.visit_file(&file);
        for scope in &mut reader.scopes {
            let mut seen = BTreeSet::new();
            scope.named.retain(|named| seen.insert(named.path.clone()));
        }
        reader.scopes
    });
    ReadFile { path: path.to_owned(), scopes }
}

struct Reader {
    scopes: Vec<Scope>,
    at: usize,
}

impl Reader {
    fn here(&mut self) -> &mut Scope {
        &mut self.scopes[self.at]
    }

    fn name(&mut self, path: Vec<String>, line: usize) {
        self.here().named.push(Named { path, line });
    }

    fn name_async(&mut self, token: Option<&syn::token::Async>) {
        if let Some(token) = token {
            self.name(vec![ASYNC.to_owned()], token.span.start().line);
        }
    }

    fn import(&mut self, item: &syn::ItemUse) {
        let before = if item.leading_colon.is_some() { vec![String::new()] } else { Vec::new() };
        let is_public = !matches!(item.vis, syn::Visibility::Inherited);
        self.import_tree(&before, &item.tree, is_public);
    }

    fn import_tree(&mut self, before: &[String], tree: &syn::UseTree, is_public: bool) {
        let (last, renamed) = match tree {
            syn::UseTree::Path(path) => {
                let before = [before, &[path.ident.to_string()]].concat();
                return self.import_tree(&before, &path.tree, is_public);
            }
            syn::UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.import_tree(before, tree, is_public));
            }
            syn::UseTree::Glob(glob) => {
                let line = glob.star_token.span.start().line;
                return self.here().imports.push(Import { path: before.to_vec(), name: None, is_public, line });
            }
            syn::UseTree::Name(name) => (&name.ident, None),
            syn::UseTree::Rename(rename) => (&rename.ident, Some(rename.rename.to_string())),
        };
        let line = last.span().start().line;
        // `a::{self}` imports `a` itself.
        let mut path = before.to_vec();
        if last != "self" || path.is_empty() {
            path.push(last.to_string());
        }
        let name = renamed.or_else(|| path.last().cloned());
        self.here().imports.push(Import { path, name, is_public, line });
    }

    fn scan(&mut self, tokens: TokenStream, kind: Tokens) {
        let mut found = Found::default();
        tokens::scan(tokens, kind, &mut found);
        self.here().named.extend(found.named);
        found.imports.iter().for_each(|item| self.import(item));
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if let Some(name) = name_of(item) {
            self.here().items.insert(name);
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let name = item.ident.to_string();
        item.attrs.iter().for_each(|attribute| self.visit_attribute(attribute));
        let Some((_, items)) = &item.content else {
            return self.here().declared.push((name, item.ident.span().start().line));
        };
        let around = self.at;
        let inside = [self.here().inside.as_slice(), &[name]].concat();
        self.at = self.scopes.len();
        self.scopes.push(Scope { inside, ..Scope::default() });
        items.iter().for_each(|item| self.visit_item(item));
        self.at = around;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(item);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        let line = item.ident.span().start().line;
        let name = item.rename.as_ref().map_or(&item.ident, |(_, name)| name).to_string();
        let path = vec![String::new(), item.ident.to_string()];
        self.here().imports.push(Import { path, name: Some(name), is_public: false, line });
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.name(segments(path), path.segments[0].ident.span().start().line);
        visit::visit_path(self, path);
    }

    fn visit_expr_path(&mut self, expression: &'ast syn::ExprPath) {
        // `<u64>::try_from` names no module.
        match &expression.qself {
            Some(of_type) if of_type.position == 0 => self.visit_type(&of_type.ty),
            _ => visit::visit_expr_path(self, expression),
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.name(vec![format!(".{}", call.method)], call.method.span().start().line);
        visit::visit_expr_method_call(self, call);
    }

    /// `pub(super)` says from where the item may be named. The item does not use that module.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.name_async(signature.asyncness.as_ref());
        visit::visit_signature(self, signature);
    }

    fn visit_expr_closure(&mut self, closure: &'ast syn::ExprClosure) {
        self.name_async(closure.asyncness.as_ref());
        visit::visit_expr_closure(self, closure);
    }

    fn visit_expr_async(&mut self, block: &'ast syn::ExprAsync) {
        self.name_async(Some(&block.async_token));
        visit::visit_expr_async(self, block);
    }

    fn visit_macro(&mut self, invoked: &'ast syn::Macro) {
        self.visit_path(&invoked.path);
        self.scan(invoked.tokens.clone(), Tokens::OfMacro);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        match &attribute.meta {
            syn::Meta::Path(path) => self.visit_path(path),
            syn::Meta::List(list) => {
                self.visit_path(&list.path);
                self.scan(list.tokens.clone(), Tokens::OfAttribute);
            }
            syn::Meta::NameValue(_) => {}
        }
    }
}

pub fn segments(path: &syn::Path) -> Vec<String> {
    let leading = path.leading_colon.as_ref().map(|_| String::new());
    leading.into_iter().chain(path.segments.iter().map(|segment| segment.ident.to_string())).collect()
}

fn name_of(item: &syn::Item) -> Option<String> {
    let name = match item {
        syn::Item::Const(item) => &item.ident,
        syn::Item::Enum(item) => &item.ident,
        syn::Item::Fn(item) => &item.sig.ident,
        syn::Item::Macro(item) => item.ident.as_ref()?,
        syn::Item::Static(item) => &item.ident,
        syn::Item::Struct(item) => &item.ident,
        syn::Item::Trait(item) => &item.ident,
        syn::Item::Type(item) => &item.ident,
        syn::Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

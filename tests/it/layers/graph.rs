//! The graph of modules: the paths that each module names, in any spelling.
//!
//! A path is followed to the module where its last name is written: through `self`, `super`, `crate`, renames, globs
//! and re-exports. All sources share one tree: `crate` is the library and the program that is built on it, since the
//! two have no module of the same name, and the crates of entities and migrations stand beside it under their names.
//!
//! The graph knows no types: for a method call on a value it does not find the module that defines the method.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::{self, Import, Named, ReadFile};

/// The files at the top of each crate, and the name under which the crate is found.
const ROOTS: &[(&str, &str)] = &[
    ("src/lib.rs", "crate"),
    ("src/main.rs", "crate"),
    ("entities/src/lib.rs", "requery_entities"),
    ("migrations/src/lib.rs", "requery_migrations"),
];

/// The name of the library in the program that uses it.
const LIBRARY: &str = "requery";

/// A path that begins with one of these stays in its crate.
const OWN_WORDS: &[&str] = &["crate", "self", "super"];

const PRIMITIVES: &[&str] = &[
    "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "str", "u8", "u16", "u32", "u64", "u128",
    "usize",
];

pub struct Graph {
    pub modules: BTreeMap<String, Module>,
    /// Sources that cannot be read, or that no module declares.
    pub problems: Vec<String>,
}

#[derive(Default)]
pub struct Module {
    pub uses: Vec<Use>,
    children: BTreeSet<String>,
    items: BTreeSet<String>,
    imports: Vec<Import>,
}

/// The first place where a module names a path.
#[derive(Clone, Debug)]
pub struct Use {
    pub file: String,
    pub line: usize,
    pub target: Target,
}

/// Where a path leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// From the root of its crate: `crate::server::hub::Hub`, `sea_orm::DbErr`.
    pub path: String,
    /// The modules on the way that re-export the name.
    pub through: Vec<String>,
}

impl Graph {
    pub fn of(files: &[&ReadFile]) -> Self {
        let mut reading = Reading { files, ..Reading::default() };
        for (file, name) in ROOTS {
            reading.add(file, name, None);
        }
        let Reading { modules, seen, named, mut problems, .. } = reading;
        let undeclared = files.iter().filter(|file| !seen.contains(file.path.as_str()));
        problems.extend(undeclared.map(|file| format!("{}:1: no module declares this file", file.path)));

        let mut graph = Self { modules, problems };
        let mut found: BTreeMap<String, BTreeMap<String, Use>> = BTreeMap::new();
        for place in named {
            if let Some(target) = graph.resolve(&place.module, &place.named.path, place.is_import, &mut Vec::new()) {
                let uses = found.entry(place.module).or_default();
                let (file, line) = (place.file, place.named.line);
                uses.entry(target.path.clone()).or_insert(Use { file, line, target });
            }
        }
        for (module, uses) in found {
            graph.modules.entry(module).or_default().uses.extend(uses.into_values());
        }
        graph
    }

    /// The module that a path lies in: the longest beginning of it that is a module.
    pub fn module_of<'a>(&self, path: &'a str) -> Option<&'a str> {
        let mut module = path;
        while !self.modules.contains_key(module) {
            module = module.rsplit_once("::")?.0;
        }
        Some(module)
    }

    fn resolve(
        &self,
        from: &str,
        path: &[String],
        is_import: bool,
        seen: &mut Vec<(String, String)>,
    ) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "Self" => None,
            "" => self.external(rest),
            "crate" => self.walk(from.split("::").next()?, rest, seen),
            "self" => self.walk(from, rest, seen),
            "super" => {
                let mut module = from.rsplit_once("::")?.0;
                let mut rest = rest;
                while let Some((first, after)) = rest.split_first()
                    && first == "super"
                {
                    module = module.rsplit_once("::")?.0;
                    rest = after;
                }
                self.walk(module, rest, seen)
            }
            pseudo if pseudo.starts_with('.') || pseudo == reader::ASYNC => {
                Some(Target { path: pseudo.to_owned(), ..Target::default() })
            }
            _ => self.find(from, path, seen).or_else(|| {
                let may_be_crate = is_import || path.len() > 1;
                let is_lower = first.starts_with(|letter: char| letter.is_ascii_lowercase());
                let is_crate = may_be_crate && is_lower && !PRIMITIVES.contains(&first.as_str());
                if is_crate { self.external(path) } else { None }
            }),
        }
    }

    fn external(&self, path: &[String]) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let root = if first == LIBRARY { "crate" } else { first };
        if self.modules.contains_key(root) {
            return self.walk(root, rest, &mut Vec::new());
        }
        Some(Target { path: path.join("::"), ..Target::default() })
    }

    /// Follows a path from a module. A name that is not found comes from the crate that the module re-exports whole, or
    /// is an item that a macro makes.
    fn walk(&self, module: &str, path: &[String], seen: &mut Vec<(String, String)>) -> Option<Target> {
        self.find(module, path, seen).or_else(|| {
            let re_exports = self.modules.get(module).into_iter().flat_map(|module| &module.imports);
            let mut whole = re_exports.filter(|import| import.is_public && import.name.is_none() && !path.is_empty());
            let is_crate = |import: &&Import| import.path.iter().all(|name| !OWN_WORDS.contains(&name.as_str()));
            match whole.find(is_crate).and_then(|import| self.resolve(module, &import.path, true, seen)) {
                Some(target) => Some(Target { path: extend(&target.path, path), ..target }.after(module, &[])),
                None => Some(Target { path: extend(module, path), ..Target::default() }),
            }
        })
    }

    /// Follows a path from a module. None: the module does not have the first name of the path as a child module, an
    /// item or an import, or through a glob.
    fn find(&self, from: &str, path: &[String], seen: &mut Vec<(String, String)>) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let module = self.modules.get(from)?;
        if module.children.contains(first) {
            return self.walk(&format!("{from}::{first}"), rest, seen);
        }
        // A name that is imported as itself (`use uuid;`), or by two globs in a circle, would be followed for ever.
        let step = (from.to_owned(), first.clone());
        if seen.contains(&step) {
            return None;
        }
        seen.push(step);
        let found = self.find_by_import(from, module, first, rest, seen);
        seen.pop();
        found
    }

    fn find_by_import(
        &self,
        from: &str,
        module: &Module,
        first: &str,
        rest: &[String],
        seen: &mut Vec<(String, String)>,
    ) -> Option<Target> {
        if module.items.contains(first) {
            return Some(Target { path: extend(&format!("{from}::{first}"), rest), ..Target::default() });
        }
        if let Some(import) = module.imports.iter().find(|import| import.name.as_deref() == Some(first)) {
            let target = self.resolve(from, &import.path, true, seen)?;
            return self.continue_after(from, target, rest, seen);
        }
        let path = [&[first.to_owned()], rest].concat();
        let globs = module.imports.iter().filter(|import| import.name.is_none());
        let targets: Vec<Target> = globs.filter_map(|import| self.resolve(from, &import.path, true, seen)).collect();
        for target in &targets {
            if self.modules.contains_key(&target.path)
                && let Some(found) = self.find(&target.path, &path, seen)
            {
                return Some(found.after(from, &target.through));
            }
        }
        None
    }

    fn continue_after(
        &self,
        from: &str,
        target: Target,
        rest: &[String],
        seen: &mut Vec<(String, String)>,
    ) -> Option<Target> {
        if self.modules.contains_key(&target.path) {
            return Some(self.walk(&target.path, rest, seen)?.after(from, &target.through));
        }
        Some(Target { path: extend(&target.path, rest), ..Target::default() }.after(from, &target.through))
    }
}

impl Target {
    /// Puts `module` and the re-exports `through`, which were followed before, in front of the modules on the way.
    fn after(mut self, module: &str, through: &[String]) -> Self {
        let before = std::iter::once(module.to_owned()).chain(through.iter().cloned());
        self.through = before.chain(self.through).collect();
        self
    }
}

/// A path that is read but not followed yet. Following it needs all modules.
struct Place {
    module: String,
    file: String,
    named: Named,
    is_import: bool,
}

#[derive(Default)]
struct Reading<'a> {
    files: &'a [&'a ReadFile],
    modules: BTreeMap<String, Module>,
    seen: BTreeSet<&'a str>,
    named: Vec<Place>,
    problems: Vec<String>,
}

impl Reading<'_> {
    /// Adds the module in this file, and all modules that the file declares.
    fn add(&mut self, path: &str, name: &str, declared: Option<(&str, usize)>) {
        let Some(file) = self.files.iter().find(|file| file.path == path) else {
            if let Some((declared_in, line)) = declared {
                self.problems.push(format!("{declared_in}:{line}: there is no {path}"));
            }
            return;
        };
        self.seen.insert(&file.path);
        let scopes = match &file.scopes {
            Ok(scopes) => scopes,
            Err((line, error)) => return self.problems.push(format!("{path}:{line}: {error}")),
        };
        for scope in scopes {
            let module_name = extend(name, &scope.inside);
            let module = self.modules.entry(module_name.clone()).or_default();
            module.items.extend(scope.items.iter().cloned());
            let imports =
                scope.imports.iter().map(|import| (Named { path: import.path.clone(), line: import.line }, true));
            let named = imports.chain(scope.named.iter().map(|named| (named.clone(), false)));
            self.named.extend(named.map(|(named, is_import)| Place {
                module: module_name.clone(),
                file: path.to_owned(),
                named,
                is_import,
            }));
            module.imports.extend(scope.imports.iter().cloned());
            module.children.extend(scope.declared.iter().map(|(child, _)| child.clone()));
            if let Some((last, around)) = scope.inside.split_last() {
                self.modules.entry(extend(name, around)).or_default().children.insert(last.clone());
            }
            for (child, line) in &scope.declared {
                let is_root = declared.is_none();
                let stem =
                    if is_root { path.rsplit_once('/').map(|(folder, _)| folder) } else { path.strip_suffix(".rs") };
                let folders = extend(stem.unwrap_or_default(), &scope.inside).replace("::", "/");
                let child_path = format!("{folders}/{child}.rs");
                self.add(&child_path, &format!("{module_name}::{child}"), Some((path, *line)));
            }
        }
    }
}

fn extend(path: &str, more: &[String]) -> String {
    std::iter::once(path).chain(more.iter().map(String::as_str)).collect::<Vec<_>>().join("::")
}

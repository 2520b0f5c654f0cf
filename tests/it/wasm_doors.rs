//! `web/engine` has a method for each door of the engine, so that `scripts/web-engine` measures the whole engine.

use syn::{ImplItem, Item, Type, Visibility};

use crate::sources::source_files;

#[test]
fn the_measured_module_has_a_method_for_each_door_of_the_engine() {
    let doors = doors();
    assert!(doors.len() > 20, "the reader finds too few doors: {doors:?}");
    let exports: String = source_files(&["web/engine/src"]).into_iter().map(|file| file.text).collect();
    let lacks = |door: &&String| {
        !exports.contains(&format!("engine.{door}(")) && !exports.contains(&format!("Engine::{door}("))
    };
    let missing: Vec<&String> = doors.iter().filter(lacks).collect();
    assert!(
        missing.is_empty(),
        "add a method for each of these doors of `Engine` to web/engine/src/lib.rs: {missing:?}"
    );
}

/// The names of the public methods of `Engine`.
fn doors() -> Vec<String> {
    let mut files = source_files(&["src/engine"]);
    files.extend(source_files(&["src"]).into_iter().filter(|file| file.path == "src/engine.rs"));
    let items = files.iter().flat_map(|file| syn::parse_file(&file.text).unwrap().items);
    let blocks = items.filter_map(|item| match item {
        Item::Impl(block) if block.trait_.is_none() && is_engine(&block.self_ty) => Some(block),
        _ => None,
    });
    let methods = blocks.flat_map(|block| block.items).filter_map(|item| match item {
        ImplItem::Fn(method) if matches!(method.vis, Visibility::Public(_)) => Some(method.sig.ident.to_string()),
        _ => None,
    });
    methods.collect()
}

fn is_engine(of: &Type) -> bool {
    matches!(of, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Engine"))
}

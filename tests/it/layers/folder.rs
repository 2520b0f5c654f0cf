//! The modules side by side in one folder, and the circles among them.

use std::collections::{BTreeMap, BTreeSet};

use super::check::uses;
use super::graph::{Graph, Use};

/// The modules under one module. Each stands for all modules under it as well.
pub struct Folder<'a> {
    pub name: String,
    edges: Vec<Edge<'a>>,
}

/// The using module of the folder, the used one, the exact module that has the use, and the use.
type Edge<'a> = (&'a str, &'a str, &'a str, &'a Use);

/// The folders, with the uses for which `counts` is true.
pub fn side_by_side<'a>(graph: &'a Graph, counts: impl Fn(&str, &Use) -> bool) -> Vec<Folder<'a>> {
    let mut folders: BTreeMap<String, Vec<Edge<'a>>> = BTreeMap::new();
    for (module, used) in uses(graph).filter(|(module, used)| counts(module, used)) {
        let Some(target) = graph.module_of(&used.target.path) else { continue };
        let (from, to): (Vec<_>, Vec<_>) = (module.split("::").collect(), target.split("::").collect());
        let shared = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
        if shared > 0 && shared < from.len() && shared < to.len() {
            let edges = folders.entry(from[..shared].join("::")).or_default();
            edges.push((from[shared], to[shared], module, used));
        }
    }
    folders.into_iter().map(|(name, edges)| Folder { name, edges }).collect()
}

impl<'a> Folder<'a> {
    /// The edges that are part of a circle.
    pub fn circles(&self) -> Vec<Edge<'a>> {
        self.edges.iter().copied().filter(|(from, to, ..)| self.leads_to(to, from)).collect()
    }

    fn leads_to(&self, from: &str, to: &str) -> bool {
        let mut reached = BTreeSet::from([from]);
        loop {
            let before = reached.len();
            let next = self.edges.iter().filter(|(from, ..)| reached.contains(from)).map(|(_, to, ..)| *to);
            reached.extend(next.collect::<Vec<_>>());
            if reached.contains(to) || reached.len() == before {
                return reached.contains(to);
            }
        }
    }
}

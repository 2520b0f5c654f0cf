//! Checks a graph against the rules. Each problem is one line that begins with the file and the line.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::folder::{Folder, side_by_side};
use super::graph::{Graph, Use};
use super::reader::ASYNC;
use super::rules::{CLOCKS, CONFINED, DRIVERS, EXCEPTIONS, Exception, LAYERS, NEVER_REACHED};

pub fn problems(graph: &Graph) -> Vec<String> {
    let mut check = Check { graph, problems: graph.problems.clone(), excused: BTreeSet::new() };
    check.rules_name_modules();
    check.layers();
    check.confined();
    check.clocks();
    check.reached();
    check.circles();
    let spare = EXCEPTIONS.iter().enumerate().filter(|(at, _)| !check.excused.contains(at));
    let spare = spare.map(|(_, exception)| {
        let Exception { module, target, reason } = exception;
        format!("rules.rs: `{module}` keeps the rules about `{target}` now: remove the exception ({reason})")
    });
    check.problems.extend(spare);
    check.problems
}

struct Check<'a> {
    graph: &'a Graph,
    problems: Vec<String>,
    excused: BTreeSet<usize>,
}

impl<'a> Check<'a> {
    /// A rule for a module that is not there can never fail.
    fn rules_name_modules(&mut self) {
        let layers = LAYERS.iter().flat_map(|layer| std::iter::once(layer.name).chain(layer.uses.iter().copied()));
        let reaching = NEVER_REACHED.iter().map(|(module, _)| *module);
        let confined = CONFINED.iter().flat_map(|(_, modules)| modules.iter().copied());
        let drivers = DRIVERS.iter().map(|driver| driver.trim_end_matches("::*"));
        // Of the paths that a module never reaches, only our own modules are known here.
        let unreached = NEVER_REACHED.iter().flat_map(|(_, paths)| paths.iter().copied());
        let is_own = |path: &&str| {
            let crate_or_layer = path.split("::").next().unwrap_or_default();
            LAYERS.iter().any(|layer| layer.name == crate_or_layer)
        };
        let unreached = unreached.filter(is_own);
        for name in layers.chain(reaching).chain(unreached).chain(confined).chain(drivers).collect::<BTreeSet<_>>() {
            if !self.graph.modules.contains_key(name) && !self.graph.modules.contains_key(&format!("crate::{name}")) {
                self.problems.push(format!("rules.rs: there is no module `{name}`: correct the rule"));
            }
        }
    }

    fn layers(&mut self) {
        for (module, used) in uses(self.graph) {
            for layer in LAYERS.iter().filter(|layer| within(module, layer.name)) {
                // A re-export is no way round a layer: the modules on the way count too.
                for path in used.target.through.iter().chain([&used.target.path]) {
                    let may_name = if self.graph.module_of(path).is_some() {
                        within(path, layer.name) || layer.uses.iter().any(|may| within(path, may))
                    } else {
                        is_test(module) || layer.crates.is_none_or(|crates| is_of_crates(path, crates))
                    };
                    if !may_name || layer.never.iter().any(|never| within(path, never)) {
                        self.report(module, used, &format!("`{}` may not name `{}`", layer.name, plain(path)));
                    }
                }
            }
        }
    }

    fn confined(&mut self) {
        for (module, used) in uses(self.graph) {
            for (name, modules) in CONFINED.iter().filter(|(name, _)| within(&used.target.path, name)) {
                let may = |may: &&str| if *may == "crate" { module == *may } else { within(module, may) };
                if !modules.iter().any(may) && !is_test(module) {
                    self.report(module, used, &format!("`{}` may not name the crate `{name}`", plain(module)));
                }
            }
        }
    }

    fn clocks(&mut self) {
        let mut needed = BTreeSet::new();
        for (module, used) in uses(self.graph) {
            let Some(clock) = CLOCKS.iter().find(|clock| within(&used.target.path, clock)) else { continue };
            let driver = DRIVERS.iter().find(|driver| match driver.strip_suffix("::*") {
                Some(layer) => within(module, layer),
                None => plain(module) == **driver,
            });
            match driver {
                Some(driver) => drop(needed.insert(driver)),
                None if is_test(module) => {}
                None => {
                    let module_name = plain(module);
                    self.report(
                        module,
                        used,
                        &format!("`{module_name}` is no driver and may not read the clock (`{clock}`)"),
                    );
                }
            }
        }
        let idle = DRIVERS.iter().filter(|driver| !needed.contains(driver));
        self.problems
            .extend(idle.map(|driver| format!("rules.rs: `{driver}` reads no clock: take it off the drivers")));
    }

    /// Walks from each module of the layer to all that it reaches.
    fn reached(&mut self) {
        for (layer, forbidden) in NEVER_REACHED {
            let starts = self.graph.modules.keys().filter(|module| within(module, layer)).map(String::as_str);
            let mut ways: BTreeMap<&str, Vec<&Use>> = starts.map(|module| (module, Vec::new())).collect();
            let mut queue: VecDeque<&str> = ways.keys().copied().collect();
            let mut reported = BTreeSet::new();
            while let Some(module) = queue.pop_front() {
                let way = ways[module].clone();
                for used in &self.graph.modules[module].uses {
                    let path = used.target.path.as_str();
                    if exception(module, path).is_some() {
                        continue;
                    }
                    let way = [way.as_slice(), &[used]].concat();
                    if let Some(forbidden) = forbidden.iter().find(|forbidden| within(path, forbidden)) {
                        if reported.insert((forbidden, way[0].line)) {
                            self.problems.push(describe_way(layer, forbidden, &way));
                        }
                    } else if let Some(next) = self.graph.module_of(path)
                        && !ways.contains_key(next)
                    {
                        ways.insert(next, way);
                        queue.push_back(next);
                    }
                }
            }
        }
    }

    /// The modules side by side in one folder use each other in one direction.
    fn circles(&mut self) {
        let all = side_by_side(self.graph, |_, _| true);
        let in_circle = all.iter().flat_map(Folder::circles);
        self.excused.extend(in_circle.filter_map(|(_, _, module, used)| exception(module, &used.target.path)));
        for folder in side_by_side(self.graph, |module, used| exception(module, &used.target.path).is_none()) {
            for (from, to, _, used) in folder.circles() {
                let Use { file, line, .. } = used;
                let name = plain(&folder.name);
                self.problems.push(format!("{file}:{line}: `{from}` and `{to}` in `{name}` use each other"));
            }
        }
    }

    fn report(&mut self, module: &str, used: &Use, rule: &str) {
        if !self.excuse(module, &used.target.path) {
            let Use { file, line, target } = used;
            let through = target.through.iter().map(|name| plain(name));
            let is_known = |name: &&str| *name == plain(module) || rule.contains(&format!("`{name}`"));
            let through: Vec<_> = through.filter(|name| !is_known(name)).collect();
            let detour = if through.is_empty() { String::new() } else { format!(" (through {})", through.join(", ")) };
            self.problems.push(format!("{file}:{line}: {rule}{detour}"));
        }
    }

    /// Whether an exception allows this use, which would be a problem otherwise: so the exception is still needed.
    fn excuse(&mut self, module: &str, target: &str) -> bool {
        let found = exception(module, target);
        self.excused.extend(found);
        found.is_some()
    }
}

fn exception(module: &str, target: &str) -> Option<usize> {
    let is_meant = |exception: &Exception| plain(module) == exception.module && within(target, exception.target);
    EXCEPTIONS.iter().position(is_meant)
}

pub fn uses(graph: &Graph) -> impl Iterator<Item = (&str, &Use)> {
    graph.modules.iter().flat_map(|(name, module)| module.uses.iter().map(move |used| (name.as_str(), used)))
}

fn plain(path: &str) -> &str {
    path.strip_prefix("crate::").unwrap_or(path)
}

/// Whether a path begins with the names of a rule.
fn within(path: &str, rule: &str) -> bool {
    let path = plain(path);
    if let Some((before, after)) = rule.split_once("::*::") {
        let rest = path.strip_prefix(before).and_then(|rest| rest.strip_prefix("::")?.split_once("::"));
        return rest.is_some_and(|(_, rest)| within(rest, after));
    }
    path.strip_prefix(rule).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn is_test(module: &str) -> bool {
    module.split("::").any(|name| name == "tests")
}

/// Whether a path of another crate is of one of these, or of the standard library. `.method` and `async` are no paths.
fn is_of_crates(path: &str, crates: &[&str]) -> bool {
    let name = path.split_once("::").map_or(path, |(name, _)| name);
    let is_path = !name.starts_with('.') && name != ASYNC;
    !is_path || ["std", "core", "alloc"].contains(&name) || crates.contains(&name)
}

fn describe_way(layer: &str, forbidden: &str, way: &[&Use]) -> String {
    let steps = way.iter().map(|used| format!("{}:{} names `{}`", used.file, used.line, plain(&used.target.path)));
    let place = format!("{}:{}", way[0].file, way[0].line);
    format!("{place}: `{layer}` reaches `{forbidden}`: {}", steps.collect::<Vec<_>>().join(", "))
}

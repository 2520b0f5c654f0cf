//! The audience: the open streams, with an index from read models to the streams that watch them.
//!
//! Streams with the same scope and the same watched read models form a group. A flush costs work for the groups that it
//! concerns: a stream that watches other tasks costs none.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::flush::Encoded;
use super::seat::Seat;
use super::statistics::StreamStatistics;
use crate::protocol::limits;
use crate::protocol::{EveryTask, ReadModel, Watched};

/// All open streams.
#[derive(Default)]
pub(super) struct Audience {
    streams: usize,
    next_group: u64,
    groups: HashMap<u64, Group>,
    by_members: HashMap<GroupName, u64>,
    scopes: HashMap<Option<String>, ScopeIndex>,
}

/// The streams of one scope that watch the same read models.
struct Group {
    name: GroupName,
    seats: BTreeMap<usize, Arc<Seat>>,
}

/// A project, or none for all projects, and the watched read models, or none for all.
#[derive(Clone, PartialEq, Eq, Hash)]
struct GroupName {
    project: Option<String>,
    watched: Option<Arc<BTreeSet<Watched>>>,
}

/// The groups of one scope.
#[derive(Default)]
struct ScopeIndex {
    /// The group that watches all read models.
    whole: Option<u64>,
    /// The groups that watch a read model, or `task:*`.
    watching: HashMap<Watched, BTreeSet<u64>>,
    /// The groups that watch some task.
    with_tasks: BTreeSet<u64>,
}

/// The place of a stream in the audience.
#[derive(Debug)]
pub(super) struct Membership {
    group: u64,
    key: usize,
}

/// The part of a flush that concerns some streams.
pub(super) struct Share {
    /// The places of the notices in the flush, in their order.
    pub(super) places: Places,
    /// The streams.
    pub(super) seats: Vec<Arc<Seat>>,
}

/// The notices of a share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Places {
    /// These notices of the flush, at most [`limits::NOTICES_PER_FLUSH`].
    Few(Vec<u32>),
    /// Too many notices for single frames: the stale read models that the streams watch.
    Many(BTreeSet<Watched>),
}

impl Audience {
    /// The number of streams.
    pub(super) fn streams(&self) -> usize {
        self.streams
    }

    /// Adds a stream that watches every read model of a project, or of all projects.
    pub(super) fn join(&mut self, project: Option<String>, seat: Arc<Seat>) -> Membership {
        self.streams += 1;
        self.enter(GroupName { project, watched: None }, seat)
    }

    /// From now on the stream watches these read models.
    pub(super) fn watch(&mut self, membership: &mut Membership, watched: BTreeSet<Watched>) {
        if let Some((name, seat)) = self.exit(membership) {
            let watched = Some(Arc::new(watched));
            *membership = self.enter(GroupName { project: name.project, watched }, seat);
        }
    }

    /// Removes a stream.
    pub(super) fn leave(&mut self, membership: &Membership) {
        self.streams -= usize::from(self.exit(membership).is_some());
    }

    /// Every stream.
    pub(super) fn seats(&self) -> impl Iterator<Item = &Arc<Seat>> {
        self.groups.values().flat_map(|group| group.seats.values())
    }

    /// The statistics of every stream.
    pub(super) fn statistics(&self, now: Instant) -> Vec<StreamStatistics> {
        let of_group = |group: &Group| {
            let (project, watches) = (group.name.project.as_deref(), group.name.watched.as_ref().map(|all| all.len()));
            let of_seat = |seat: &Arc<Seat>| {
                let (figures, flushes_behind) = seat.figures();
                figures.of_stream(project, watches, flushes_behind, now)
            };
            group.seats.values().filter_map(of_seat).collect::<Vec<_>>()
        };
        self.groups.values().flat_map(of_group).collect()
    }

    /// The streams that each part of a flush concerns, and how many streams each notice reaches.
    pub(super) fn shares(&self, notices: &[Arc<Encoded>]) -> (Vec<Share>, Vec<usize>) {
        let mut shares: HashMap<Places, Vec<Arc<Seat>>> = HashMap::new();
        let mut reached = vec![0; notices.len()];
        let mut by_scope: HashMap<Option<&str>, Vec<u32>> = HashMap::new();
        for (place, encoded) in (0_u32..).zip(notices) {
            for scope in [None, Some(encoded.notice.project())] {
                by_scope.entry(scope).or_default().push(place);
            }
        }
        for (project, places) in by_scope {
            let Some(scope) = self.scopes.get(&project.map(str::to_owned)) else { continue };
            for (group, places) in scope.concerned(&places, notices) {
                let Some(group) = self.groups.get(&group) else { continue };
                if let Places::Few(places) = &places {
                    places.iter().for_each(|place| reached[*place as usize] += group.seats.len());
                }
                shares.entry(places).or_default().extend(group.seats.values().cloned());
            }
        }
        (shares.into_iter().map(|(places, seats)| Share { places, seats }).collect(), reached)
    }

    fn enter(&mut self, name: GroupName, seat: Arc<Seat>) -> Membership {
        let group = *self.by_members.entry(name.clone()).or_insert_with(|| {
            self.next_group += 1;
            self.scopes.entry(name.project.clone()).or_default().add(self.next_group, name.watched.as_deref());
            self.next_group
        });
        let key = Arc::as_ptr(&seat) as usize;
        self.groups.entry(group).or_insert_with(|| Group { name, seats: BTreeMap::new() }).seats.insert(key, seat);
        Membership { group, key }
    }

    fn exit(&mut self, membership: &Membership) -> Option<(GroupName, Arc<Seat>)> {
        let group = self.groups.get_mut(&membership.group)?;
        let seat = group.seats.remove(&membership.key)?;
        let name = group.name.clone();
        if group.seats.is_empty() {
            self.groups.remove(&membership.group);
            self.by_members.remove(&name);
            if let Some(scope) = self.scopes.get_mut(&name.project) {
                scope.remove(membership.group, name.watched.as_deref());
                if scope.is_empty() {
                    self.scopes.remove(&name.project);
                }
            }
        }
        Some((name, seat))
    }
}

impl ScopeIndex {
    fn add(&mut self, group: u64, watched: Option<&BTreeSet<Watched>>) {
        let Some(watched) = watched else {
            self.whole = Some(group);
            return;
        };
        for entry in watched {
            self.watching.entry(entry.clone()).or_default().insert(group);
        }
        if watched.iter().any(is_about_tasks) {
            self.with_tasks.insert(group);
        }
    }

    fn remove(&mut self, group: u64, watched: Option<&BTreeSet<Watched>>) {
        let Some(watched) = watched else {
            self.whole = None;
            return;
        };
        for entry in watched {
            if let Some(groups) = self.watching.get_mut(entry) {
                groups.remove(&group);
                if groups.is_empty() {
                    self.watching.remove(entry);
                }
            }
        }
        self.with_tasks.remove(&group);
    }

    fn is_empty(&self) -> bool {
        self.whole.is_none() && self.watching.is_empty()
    }

    /// The groups of this scope that the flush concerns, each with its notices. `in_scope` has the places of the
    /// notices that the scope contains.
    fn concerned<'a>(&self, in_scope: &[u32], notices: &'a [Arc<Encoded>]) -> Vec<(u64, Places)> {
        let mut stale: HashMap<&'a Watched, Vec<u32>> = HashMap::new();
        for place in in_scope {
            for name in notices[*place as usize].stale() {
                stale.entry(name).or_default().push(*place);
            }
        }
        let mut names: HashMap<u64, Vec<&'a Watched>> = HashMap::new();
        for name in stale.keys() {
            for group in self.watchers(name) {
                names.entry(group).or_default().push(name);
            }
        }
        let of_names = |names: &[&'a Watched]| {
            let lists = names.iter().filter_map(|name| stale.get(name));
            few(lists.flatten().copied()).unwrap_or_else(|| Places::Many(names.iter().copied().cloned().collect()))
        };
        let narrowed = names.into_iter().map(|(group, names)| (group, of_names(&names)));
        let whole = self.whole.map(|group| {
            let all = || Places::Many(stale.keys().copied().cloned().collect());
            (group, few(in_scope.iter().copied()).unwrap_or_else(all))
        });
        let is_concerned = |(_, places): &(u64, Places)| *places != Places::Few(Vec::new());
        narrowed.chain(whole).filter(is_concerned).collect()
    }

    /// The narrowed groups that watch `name`.
    fn watchers(&self, name: &Watched) -> BTreeSet<u64> {
        let of = |name| self.watching.get(name).into_iter().flatten().copied();
        match name {
            Watched::Group(EveryTask) => self.with_tasks.clone(),
            Watched::One(ReadModel::Task(_)) => of(name).chain(of(&Watched::Group(EveryTask))).collect(),
            Watched::One(ReadModel::Overview | ReadModel::Bookmarks | ReadModel::Agents) => of(name).collect(),
        }
    }
}

/// The different places in their order. None if they are too many for single frames.
fn few(places: impl Iterator<Item = u32>) -> Option<Places> {
    let mut few = BTreeSet::new();
    for place in places {
        few.insert(place);
        if few.len() > limits::NOTICES_PER_FLUSH {
            return None;
        }
    }
    Some(Places::Few(few.into_iter().collect()))
}

fn is_about_tasks(entry: &Watched) -> bool {
    matches!(entry, Watched::Group(EveryTask) | Watched::One(ReadModel::Task(_)))
}

//! Follows every way through the programs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use maplock_layout::map::MapDef;

use super::code::Code;
use super::value::{Held, State, Target};

/// Most instructions that are followed for one program, and for all of an object: a bound to what a hostile object costs.
const MAX_STEPS: usize = 200_000;
const MAX_STEPS_OF_ALL: usize = 1_000_000;
/// Most instructions of one function that are come to from several.
const MAX_STATES: usize = 20_000;
/// How often one instruction is come to with something new, before numbers lose their bounds, and before it is given up.
const VISITS_TO_WIDEN: usize = 6;
const MAX_VISITS: usize = 200;
/// How many places that hold something cost as much as an instruction, where two ways meet and each of them is looked at.
const PLACES: usize = 16;
/// Most targets that a pointer may have before they are given up.
const MAX_TARGETS: usize = 16;

/// An access to a value that changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Write {
    pub(super) adds: bool,
    /// Bytes behind the start of the value, to the first and to the last; `None` if nothing bounds it.
    pub(super) first: i64,
    pub(super) last: Option<i64>,
    pub(super) step: u64,
    pub(super) width: u64,
}

/// What is found of one map.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) inserts: bool,
    pub(super) deletes: bool,
    pub(super) partly: bool,
    /// Whole entries are written that may have been there.
    pub(super) overwrites: bool,
    /// Each write with the first instruction that makes it.
    pub(super) writes: BTreeMap<Write, usize>,
    /// Maps that it holds are written.
    pub(super) writes_inner: bool,
}

/// What is found of each map, by number.
pub(super) fn follow(code: &Code, maps: &[MapDef]) -> Vec<Found> {
    let mut follower = Follower {
        code,
        maps,
        found: vec![Found::default(); maps.len()],
        steps: 0,
        limit: 0,
        later: Vec::new(),
        is_lost: false,
        at: 0,
    };
    for entry in &code.entries {
        follower.program(*entry, State::first());
    }
    // What runs later by itself; each once.
    let mut known = BTreeSet::new();
    while let Some((entry, map)) = follower.later.pop() {
        if known.insert((entry, map)) {
            follower.program(entry, State::of_callback(map));
        }
    }
    // Their arguments lead to entries of maps that others choose.
    let is_given_entries = |name: &str| {
        // `?`: a program that is loaded if the daemon says so. An `iter` without more is told what it goes over at run time.
        let name = name.trim_start_matches('?');
        let kind = name.split('/').next().unwrap_or_default();
        matches!(kind, "freplace")
            || name == "iter"
            || name.ends_with("/bpf_map_elem")
            || name.ends_with("/bpf_sk_storage_map")
    };
    if code.sections.iter().any(|(name, _)| is_given_entries(name)) {
        follower.all_partly();
    }
    follower.share_inner();
    follower.found
}

pub(super) struct Follower<'a> {
    pub(super) code: &'a Code,
    pub(super) maps: &'a [MapDef],
    pub(super) found: Vec<Found>,
    pub(super) steps: usize,
    limit: usize,
    /// Functions that run later, each with the map whose entry they get.
    pub(super) later: Vec<(usize, usize)>,
    /// True if a program was too much to follow.
    is_lost: bool,
    /// The instruction that is looked at.
    pub(super) at: usize,
}

/// What an instruction leads to.
pub(super) enum Next {
    /// The one so many behind.
    Follow(usize),
    Jump(usize),
    /// Another one as well, with what is known there.
    Either(usize, Box<State>),
    Exit,
}

impl Follower<'_> {
    fn program(&mut self, entry: usize, state: State) {
        self.limit = (self.steps + MAX_STEPS).min(MAX_STEPS_OF_ALL);
        self.run(entry, state);
        if std::mem::take(&mut self.is_lost) {
            self.all_partly();
        }
    }

    /// What is known when the function at `entry` is done; `None` if it never is.
    pub(super) fn run(&mut self, entry: usize, state: State) -> Option<State> {
        let mut known: HashMap<usize, (State, usize)> = HashMap::from([(entry, (state, 0))]);
        let mut waiting = BTreeSet::from([entry]);
        let mut done: Option<State> = None;
        // The first of them: in the order of the code, what leads to an instruction is mostly followed before it.
        while let Some(start) = waiting.pop_first() {
            let Some(mut state) = known.get(&start).map(|(state, _)| state.clone()) else { continue };
            let mut at = start;
            loop {
                if self.steps >= self.limit || self.is_lost {
                    self.is_lost = true;
                    return done;
                }
                (self.steps, self.at) = (self.steps + 1, at);
                let Some(next) = self.step(at, &mut state) else { break };
                let to = match next {
                    Next::Exit => {
                        match &mut done {
                            // An instruction that is none names what differs there.
                            Some(done) => _ = done.join(state, at, true),
                            None => done = Some(state),
                        }
                        break;
                    }
                    Next::Follow(by) => at + by,
                    Next::Jump(to) => to,
                    Next::Either(to, other) => {
                        self.arrive(to, *other, &mut known, &mut waiting);
                        at + 1
                    }
                };
                if to >= self.code.insns.len() || self.code.section_of(at).is_none_or(|(_, range)| !range.contains(&to))
                {
                    break;
                }
                if self.code.is_target[to] {
                    self.arrive(to, state, &mut known, &mut waiting);
                    break;
                }
                at = to;
            }
        }
        done
    }

    fn arrive(
        &mut self,
        to: usize,
        mut state: State,
        known: &mut HashMap<usize, (State, usize)>,
        waiting: &mut BTreeSet<usize>,
    ) {
        self.give_up_many(&mut state);
        self.steps += state.size() / PLACES;
        let are_many = known.len() > MAX_STATES;
        match known.get_mut(&to) {
            None if are_many => self.is_lost = true,
            None => {
                known.insert(to, (state, 1));
                waiting.insert(to);
            }
            Some((_, visits)) if *visits > MAX_VISITS => self.is_lost = true,
            Some((at, visits)) => {
                if at.join(state, to, *visits > VISITS_TO_WIDEN) {
                    *visits += 1;
                    waiting.insert(to);
                }
            }
        }
    }

    /// A pointer that may lead to too many maps is followed no further.
    fn give_up_many(&mut self, state: &mut State) {
        let many = state.places().filter(|(_, held)| held.targets.len() > MAX_TARGETS);
        let many: Vec<_> = many.map(|(_, held)| std::mem::replace(held, Held::any())).collect();
        many.iter().for_each(|held| self.escapes(held));
    }

    /// What it points to may be used in ways that are not seen.
    pub(super) fn escapes(&mut self, held: &Held) {
        for (target, _) in &held.targets {
            match target {
                Target::Map(map) | Target::Value(map) => self.found[*map].partly = true,
                Target::Inner(map) | Target::InnerValue(map) => self.found[*map].writes_inner = true,
                Target::Stack(_) | Target::Function(_) => {}
            }
        }
    }

    pub(super) fn all_partly(&mut self) {
        self.found.iter_mut().for_each(|found| found.partly = true);
    }

    /// Which maps a map holds is decided while programs run: each that is like them may be one.
    fn share_inner(&mut self) {
        for holds in 0..self.maps.len() {
            if !self.found[holds].writes_inner {
                continue;
            }
            self.found[holds].partly = true;
            let inner = self.maps[holds].inner.as_deref();
            for (map, found) in self.maps.iter().zip(&mut self.found) {
                let sizes = |map: &MapDef| (map.map_type, map.key_size, map.value_size);
                found.partly |= inner.is_none_or(|inner| sizes(inner) == sizes(map));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use maplock_layout::map::MapType;

    use super::super::number::Number;
    use super::*;

    #[test]
    fn what_may_lead_to_too_many_maps_is_given_up_on_the_stack_too_and_the_stack_costs() {
        let maps: Vec<_> = (0..=MAX_TARGETS).map(|at| MapDef::new(format!("m{at}"), MapType::HASH)).collect();
        let code = Code::default();
        let mut follower = Follower {
            code: &code,
            maps: &maps,
            found: vec![Found::default(); maps.len()],
            steps: 0,
            limit: MAX_STEPS,
            later: Vec::new(),
            is_lost: false,
            at: 0,
        };
        let mut state = State::first();
        let targets = (0..maps.len()).map(|map| (Target::Value(map), Number::of(0))).collect();
        let many = Held { targets, ..Held::any() };
        state.frames[0].slots.extend((1..=64).map(|slot| (-slot, many.clone())));
        let mut known = HashMap::new();
        follower.arrive(0, state, &mut known, &mut BTreeSet::new());
        assert!(follower.found.iter().all(|found| found.partly));
        assert!(known[&0].0.frames[0].slots.values().all(|held| held.targets.is_empty()));
        assert_eq!(follower.steps, (11 + 64) / PLACES);
    }
}

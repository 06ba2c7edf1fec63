//! What registers and the stack may hold at one instruction.

use std::collections::{BTreeMap, BTreeSet};

use super::code::Insn;
use super::number::Number;

/// Bytes of a frame's stack, and how many frames there can be; the kernel's.
pub(super) const STACK: i64 = 512;
pub(super) const MAX_FRAMES: usize = 8;

/// What one value is called: values of one name are the same, at whatever places they are. 0 is no name.
pub(super) type Name = u64;

/// The name of what an instruction makes.
pub(super) fn made_at(at: usize) -> Name {
    (at as u64 + 1) << 16
}

/// The name of the entry that a function is given that the kernel calls.
pub(super) const GIVEN: Name = 1;

/// The name of what a map is called by, and of the start of what a loader makes of a section: always the same.
pub(super) fn constant(map: usize, is_data: bool) -> Name {
    1 << 63 | (map as u64) << 1 | u64::from(is_data)
}

/// What a pointer may lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// A map, by its number.
    Map(usize),
    /// A map that a map holds.
    Inner(usize),
    /// The value of an entry of a map.
    Value(usize),
    /// That of an entry of a map that a map holds.
    InnerValue(usize),
    /// The stack of a frame.
    Stack(usize),
    /// A function.
    Function(usize),
}

/// A place in a value, by the pointer that it was reached through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) base: Name,
    pub(super) offset: i64,
    pub(super) width: u64,
}

/// What a register may hold: one of these numbers, or a pointer to one of these targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) name: Name,
    /// How much was added to what has the name.
    pub(super) plus: i64,
    pub(super) number: Option<Number>,
    /// Each target once, with the bytes behind its start.
    pub(super) targets: Vec<(Target, Number)>,
    /// What was loaded from there, with something added to it, if anything: storing it there again is adding.
    pub(super) loaded: Vec<Place>,
    /// True for what is made of something that was loaded by more than adding to it: adding this may be no counting.
    pub(super) is_bent: bool,
}

impl Held {
    pub(super) fn number(name: Name, number: Number) -> Self {
        Self { name, plus: 0, number: Some(number), targets: Vec::new(), loaded: Vec::new(), is_bent: false }
    }

    pub(super) fn any() -> Self {
        Self::number(0, Number::ANY)
    }

    pub(super) fn pointer(name: Name, target: Target, offset: i64) -> Self {
        Self { number: None, targets: vec![(target, Number::of(offset))], ..Self::number(name, Number::ANY) }
    }

    pub(super) fn is_named(&self, name: Name) -> bool {
        name != 0 && self.name == name
    }

    /// The number that it is.
    pub(super) fn one(&self) -> Option<i64> {
        let number = self.number.filter(|_| self.targets.is_empty())?.one()?;
        Some(number as u64 as i64).filter(|_| number <= u64::MAX.into())
    }

    fn forget(&mut self, name: Name) {
        if self.is_named(name) {
            (self.name, self.plus) = (0, 0);
        }
        self.loaded.retain(|place| place.base != name);
    }

    /// Both; what is not the same in both is called `name`.
    fn join(&mut self, other: &Self, name: Name, widens: bool) {
        if self == other {
            return;
        }
        if self.name == 0 || (self.name, self.plus) != (other.name, other.plus) {
            (self.name, self.plus) = (name, 0);
        }
        let put = |one: Number, other: Number| if widens { one.widened(other) } else { one.or(other) };
        self.number = match (self.number, other.number) {
            (Some(one), Some(other)) => Some(put(one, other)),
            (one, other) => one.or(other),
        };
        for (target, offset) in &other.targets {
            match self.targets.binary_search_by(|(known, _)| known.cmp(target)) {
                Ok(at) => self.targets[at].1 = put(self.targets[at].1, *offset),
                Err(at) => self.targets.insert(at, (*target, *offset)),
            }
        }
        self.join_loaded(other);
    }

    /// What was loaded on one way alone is no more than that.
    pub(super) fn join_loaded(&mut self, other: &Self) {
        let is_same = |one: &Self, two: &Self| one.loaded.iter().all(|place| two.loaded.contains(place));
        self.is_bent |= other.is_bent || !is_same(self, other) || !is_same(other, self);
        self.loaded.retain(|place| other.loaded.contains(place));
    }
}

/// The key that an entry was looked up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// What is on the stack of a frame.
    Stack(usize, i64),
    /// What a value of that name points to.
    Named(Name, i64),
}

/// A map and a key that was looked up in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LookedUp {
    pub(super) map: usize,
    pub(super) key: Key,
    /// Bytes of the key.
    pub(super) len: i64,
}

/// A function's own: its stack in slots of 8 bytes, and the registers of the caller that it leaves alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Frame {
    pub(super) slots: BTreeMap<i64, Held>,
    pub(super) saved: Vec<Held>,
}

/// All that is known at one instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) regs: Vec<Held>,
    pub(super) frames: Vec<Frame>,
    /// Results of look-ups, by name.
    pub(super) looked_up: Vec<(Name, LookedUp)>,
    /// Look-ups that gave NULL on the way here.
    pub(super) absent: Vec<LookedUp>,
}

impl State {
    /// As a program begins.
    pub(super) fn first() -> Self {
        let mut regs = vec![Held::any(); 11];
        regs[10] = Held::pointer(0, Target::Stack(0), 0);
        Self { regs, frames: vec![Frame::default()], looked_up: Vec::new(), absent: Vec::new() }
    }

    /// As a function begins that the kernel calls for an entry of a map.
    pub(super) fn of_callback(map: usize) -> Self {
        let mut state = Self::first();
        state.regs[1] = Held::pointer(0, Target::Map(map), 0);
        state.regs[3] = Held::pointer(GIVEN, Target::Value(map), 0);
        state
    }

    /// How many places can hold something: what it costs to look at all of them.
    pub(super) fn size(&self) -> usize {
        let frames = self.frames.iter().map(|frame| frame.saved.len() + frame.slots.len());
        self.regs.len() + frames.sum::<usize>()
    }

    /// Every place that can hold something, with a number of its own.
    pub(super) fn places(&mut self) -> impl Iterator<Item = (u64, &mut Held)> {
        let regs = self.regs.iter_mut().zip(0..).map(|(held, at)| (at, held));
        let frames = self.frames.iter_mut().zip(1..).flat_map(|(frame, depth)| {
            let saved = frame.saved.iter_mut().zip(0..).map(move |(held, at)| (depth * 128 + at, held));
            let slots = frame.slots.iter_mut().map(move |(slot, held)| (depth * 128 + 16 + slot.unsigned_abs(), held));
            saved.chain(slots)
        });
        regs.chain(frames)
    }

    /// Every value of that name becomes another one, of which nothing is known to be the same.
    pub(super) fn forget(&mut self, name: Name) {
        self.places().for_each(|(_, held)| held.forget(name));
        self.looked_up.retain(|(of, looked)| *of != name && !matches!(looked.key, Key::Named(of, _) if of == name));
        self.absent.retain(|looked| !matches!(looked.key, Key::Named(of, _) if of == name));
    }

    /// Changes all values of that name.
    pub(super) fn each_named(&mut self, name: Name, plus: i64, change: impl Fn(&mut Held)) {
        for (_, held) in self.places() {
            if held.is_named(name) && held.plus == plus {
                change(held);
            }
        }
    }

    /// Puts what comes over another way to instruction `at` together with this. True if this has changed.
    pub(super) fn join(&mut self, mut other: Self, at: usize, widens: bool) -> bool {
        let before = self.clone();
        let joined_at = |place: u64| made_at(at) | (place + 1);
        // What differs gets a name of this place. What had that name before, from the last time round, loses it.
        let named = |state: &mut Self| -> BTreeMap<u64, (Name, i64)> {
            state.places().map(|(place, held)| (place, (held.name, held.plus))).collect()
        };
        let (ours, theirs) = (named(self), named(&mut other));
        let differs = |place: &&u64| {
            let (one, two) = (ours.get(place), theirs.get(place));
            one != two || one.is_none_or(|(name, _)| *name == 0)
        };
        let places: BTreeSet<u64> = ours.keys().chain(theirs.keys()).copied().collect();
        for place in places.iter().filter(differs) {
            let (place, name) = (*place, joined_at(*place));
            let is_it = |state: &mut Self| {
                state.places().any(|(of, held)| of == place && held.is_named(name) && held.plus == 0)
            };
            if !is_it(self) {
                self.forget(name);
            }
            if !is_it(&mut other) {
                other.forget(name);
            }
        }
        for (at, held) in self.regs.iter_mut().enumerate() {
            held.join(&other.regs[at], joined_at(at as u64), widens);
        }
        for (depth, (frame, of)) in self.frames.iter_mut().zip(&other.frames).enumerate() {
            let base = (depth as u64 + 1) * 128;
            for (at, (held, of)) in frame.saved.iter_mut().zip(&of.saved).enumerate() {
                held.join(of, joined_at(base + at as u64), widens);
            }
            for (slot, of) in &of.slots {
                frame.slots.entry(*slot).or_insert_with(Held::any).join(
                    of,
                    joined_at(base + 16 + slot.unsigned_abs()),
                    widens,
                );
            }
            // What the other has not written may be anything there, but no pointer.
            for (slot, held) in frame.slots.iter_mut().filter(|(slot, _)| !of.slots.contains_key(slot)) {
                held.join(&Held::any(), joined_at(base + 16 + slot.unsigned_abs()), widens);
            }
        }
        self.looked_up.retain(|looked| other.looked_up.contains(looked));
        self.absent.retain(|looked| other.absent.contains(looked));
        *self != before
    }

    /// The key that a register points to.
    pub(super) fn key(&self, reg: usize) -> Option<Key> {
        let held = &self.regs[reg];
        match held.targets.as_slice() {
            [(Target::Stack(frame), offset)] if held.number.is_none() => {
                let at = i64::try_from(offset.one()?).ok().filter(|at| (-STACK..0).contains(at))?;
                Some(Key::Stack(*frame, at))
            }
            _ if held.name != 0 => Some(Key::Named(held.name, held.plus)),
            _ => None,
        }
    }

    /// Memory other than the stack is written: what is a key there may be another one.
    pub(super) fn memory_changes(&mut self) {
        let is_on_stack = |looked: &LookedUp| matches!(looked.key, Key::Stack(..));
        self.looked_up.retain(|(_, looked)| is_on_stack(looked));
        self.absent.retain(is_on_stack);
    }

    /// Bytes of the stack are written, nobody knows which. What is there may still be what it was.
    pub(super) fn stack_changes_somewhere(&mut self, frame: usize) {
        let is_other = |looked: &LookedUp| !matches!(looked.key, Key::Stack(of, _) if of == frame);
        self.looked_up.retain(|(_, looked)| is_other(looked));
        self.absent.retain(is_other);
    }

    /// Bytes of the stack are written.
    pub(super) fn stack_changes(&mut self, frame: usize, start: i64, end: i64) {
        let is_other = |looked: &LookedUp| match looked.key {
            Key::Stack(of, at) => of != frame || at + looked.len <= start || end <= at,
            Key::Named(..) => true,
        };
        self.looked_up.retain(|(_, looked)| is_other(looked));
        self.absent.retain(is_other);
        if let Some(frame) = self.frames.get_mut(frame) {
            frame.slots.retain(|slot, _| slot * 8 + 8 <= start || end <= slot * 8);
        }
    }
}

/// What a move makes of what is moved.
pub(super) fn moved(insn: Insn, wide: bool, src: Held, made: Name) -> Held {
    // With an offset of 1, an address is moved to another space.
    let extended = matches!(insn.off, 8 | 16 | 32).then_some(insn.off as u32);
    match (wide, extended) {
        (true, None) if insn.op & 0x08 == 0 => Held { name: made, ..src },
        (true, None) => src,
        (_, extended) => {
            let number = src.number.unwrap_or(Number::ANY);
            let number = match extended {
                Some(bits) => number.sign_extended(bits),
                None => number.low_half(),
            };
            let bits = u64::from(extended.unwrap_or(32));
            let mut loaded = src.loaded;
            let known = loaded.len();
            loaded.retain(|place| place.width * 8 <= bits);
            let is_bent = src.is_bent || loaded.len() < known;
            let is_same = Some(number) == src.number && src.targets.is_empty() && src.name != 0;
            let (name, plus) = if is_same { (src.name, src.plus) } else { (made, 0) };
            Held { name, plus, loaded, is_bent, ..Held::number(0, number) }
        }
    }
}

/// One or the other, which are not the same.
pub(super) fn either(mut one: Held, other: &Held) -> Held {
    (one.name, one.plus) = (0, 0);
    let targets = std::mem::take(&mut one.targets);
    one.join_loaded(other);
    one.number = match (one.number, other.number) {
        (Some(one), Some(other)) => Some(one.or(other)),
        (one, other) => one.or(other),
    };
    one.targets = targets;
    for (target, offset) in &other.targets {
        match one.targets.binary_search_by(|(known, _)| known.cmp(target)) {
            Ok(at) => one.targets[at].1 = one.targets[at].1.or(*offset),
            Err(at) => one.targets.insert(at, (*target, *offset)),
        }
    }
    one
}

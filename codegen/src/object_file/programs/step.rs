//! What one instruction does.
//!
//! Source: `Documentation/bpf/standardization/instruction-set.rst`.

use super::code::{Insn, Names};
use super::flow::{Follower, Next, Write};
use super::number::Number;
use super::value::{Held, Place, STACK, State, Target, constant, either, made_at, moved};

/// Classes.
const LD: u8 = 0;
const LDX: u8 = 1;
const ST: u8 = 2;
const STX: u8 = 3;
const ALU: u8 = 4;
const JMP: u8 = 5;
const JMP32: u8 = 6;

/// Modes of loads and stores.
const MEM: u8 = 0x60;
const MEM_SIGNED: u8 = 0x80;
const ATOMIC: u8 = 0xc0;

const MOV: u8 = 0xb0;
const ADD: u8 = 0x00;
const SUB: u8 = 0x10;
const AND: u8 = 0x50;
const SWAP_BYTES: u8 = 0xd0;

/// Of atomic operations: which, and that the old value is fetched.
const FETCH: i32 = 0x01;
const COMPARE: i32 = 0xf1;
const LOAD_ACQUIRE: i32 = 0x100;
const STORE_RELEASE: i32 = 0x110;

/// Beyond this, an offset is bounded by nothing.
const FAR: i128 = 1 << 32;

impl Follower<'_> {
    /// Follows the instruction at `at`; `None` if the way ends without leaving the function.
    pub(super) fn step(&mut self, at: usize, state: &mut State) -> Option<Next> {
        let insn = *self.code.insns.get(at)?;
        // The frame pointer can't be written.
        if insn.dst > 10 || insn.src > 10 && insn.op & 7 != LD {
            return None;
        }
        let (class, mode) = (insn.op & 7, insn.op & 0xe0);
        match class {
            LD if insn.op == 0x18 => {
                let high = self.code.insns.get(at + 1).map_or(0, |second| second.imm);
                self.load_wide(at, insn, high, state);
                return Some(Next::Follow(2));
            }
            // Of a packet.
            LD => {
                (1..=5).for_each(|reg| state.regs[reg] = Held::any());
                self.make(at, state, 0, Number::of_bytes(4));
            }
            LDX if mode == MEM || mode == MEM_SIGNED => {
                self.load(at, insn, (insn.dst, usize::from(insn.src)), mode == MEM_SIGNED, state)
            }
            ST if mode == MEM => {
                let stored = Held::number(0, Number::of(insn.imm.into()));
                self.store(insn.dst, insn.off.into(), width(insn.op), &stored, state);
            }
            STX if mode == MEM => {
                let stored = state.regs[usize::from(insn.src)].clone();
                self.store(insn.dst, insn.off.into(), width(insn.op), &stored, state);
            }
            STX if mode == ATOMIC => self.atomic(at, insn, state),
            ALU | 7 => self.compute(at, insn, class == 7, state),
            JMP | JMP32 => return self.jump(at, insn, class == JMP, state),
            _ => {}
        }
        Some(Next::Follow(1))
    }

    /// A register gets a number that nothing else is.
    pub(super) fn make(&mut self, at: usize, state: &mut State, reg: usize, number: Number) {
        self.enter(at, state, reg, Held::number(made_at(at), number));
    }

    /// A register gets something that is named after this instruction.
    pub(super) fn enter(&mut self, at: usize, state: &mut State, reg: usize, held: Held) {
        state.forget(made_at(at));
        if reg < 10 {
            state.regs[reg] = held;
        }
    }

    fn load_wide(&mut self, at: usize, insn: Insn, high: i32, state: &mut State) {
        let name = made_at(at);
        let held = match insn.names {
            Names::Map(map) => Held::pointer(constant(map, false), Target::Map(map), 0),
            Names::Data(map, offset) => {
                Held { plus: offset, ..Held::pointer(constant(map, true), Target::Value(map), offset) }
            }
            Names::Function(to) => Held::pointer(name, Target::Function(to), 0),
            Names::Nothing if insn.src == 0 => {
                let number = u64::from(insn.imm as u32) | u64::from(high as u32) << 32;
                Held::number(name, Number::of(number as i64))
            }
            _ => Held::number(name, Number::ANY),
        };
        self.enter(at, state, insn.dst, held);
    }

    fn load(&mut self, at: usize, insn: Insn, (dst, src): (usize, usize), signed: bool, state: &mut State) {
        let width = width(insn.op);
        let base = state.regs[src].clone();
        let number = if signed { Number::ANY } else { Number::of_bytes(width) };
        let mut held: Option<Held> = None;
        let mut is_elsewhere = base.targets.is_empty() || base.number.is_some_and(|number| number.one() != Some(0));
        for (target, offset) in &base.targets {
            let Target::Stack(frame) = target else {
                is_elsewhere = true;
                continue;
            };
            let at = offset.plus(Number::of(insn.off.into()));
            let slots = state.frames.get(*frame).map(|frame| &frame.slots).filter(|_| width == 8);
            let found = match at.one() {
                Some(at) => {
                    let slot = i64::try_from(at / 8).ok().filter(|_| at % 8 == 0);
                    slots.zip(slot).and_then(|(slots, slot)| slots.get(&slot)).cloned()
                }
                // Any of them.
                None => slots.map(|slots| {
                    let within = |slot: i64| (at.low..=at.high).contains(&(i128::from(slot) * 8));
                    let within = slots.iter().filter(|(slot, _)| within(**slot));
                    within.fold(Held::number(0, number), |all, (_, held)| either(all, held))
                }),
            };
            let found = found.unwrap_or_else(|| Held::number(0, number));
            held = Some(match held {
                Some(held) => either(held, &found),
                None => found,
            });
        }
        let is_copy = base.targets.len() == 1 && !is_elsewhere;
        let mut loaded = Held::number(made_at(at), number);
        if base.name != 0 && base.targets.iter().any(|(target, _)| matches!(target, Target::Value(_))) {
            loaded.loaded.push(Place { base: base.name, offset: base.plus.wrapping_add(insn.off.into()), width });
        }
        let held = match held {
            None => loaded,
            Some(held) if is_copy => {
                // What is on the stack has the name of what was put there.
                if held.name == 0 { Held { name: made_at(at), plus: 0, ..held } } else { held }
            }
            Some(held) => {
                let mut both = if is_elsewhere { either(held, &loaded) } else { held };
                (both.name, both.plus) = (made_at(at), 0);
                both
            }
        };
        let name = made_at(at);
        // A pointer that is written over by what it leads to names no place any more.
        let mut held = held;
        held.loaded.retain(|place| place.base != name);
        if held.name == name {
            self.enter(at, state, dst, held)
        } else if dst < 10 {
            state.regs[dst] = held
        }
    }

    fn store(&mut self, base: usize, off: i64, width: u64, stored: &Held, state: &mut State) {
        let base = state.regs[base].clone();
        let place = Place { base: base.name, offset: base.plus.wrapping_add(off), width };
        let adds = base.name != 0 && stored.loaded.contains(&place) && !stored.is_bent;
        let is_sure = base.targets.len() == 1 && base.number.is_none_or(|number| number.one() == Some(0));
        let mut is_on_stack_alone = is_sure;
        for (target, offset) in &base.targets {
            let offset = offset.plus(Number::of(off));
            match target {
                Target::Stack(frame) => {
                    // It may be where nothing is known to be.
                    if offset.one().is_none() {
                        self.escapes(stored);
                    }
                    store_on_stack(*frame, offset, width, stored, is_sure, state);
                }
                _ => {
                    is_on_stack_alone = false;
                    self.write(*target, offset, width, adds);
                }
            }
        }
        if !is_on_stack_alone {
            state.memory_changes();
            if !base.targets.iter().all(|(target, _)| matches!(target, Target::Stack(_))) || base.targets.is_empty() {
                self.escapes(stored);
            }
        }
    }

    /// Bytes of a value are written.
    pub(super) fn write(&mut self, target: Target, offset: Number, width: u64, adds: bool) {
        match target {
            Target::Value(map) => {
                let is_far = offset.high - offset.low > FAR || i64::try_from(offset.low).is_err();
                let first = i64::try_from(offset.low).unwrap_or(i64::MIN);
                let last = i64::try_from(offset.high).ok().filter(|_| !is_far);
                let step = u64::try_from(offset.step).unwrap_or(1);
                let at = self.at;
                let found = &mut self.found[map];
                if found.writes.len() < MAX_WRITES {
                    found.writes.entry(Write { adds, first, last, step, width }).or_insert(at);
                } else {
                    found.partly = true;
                }
            }
            Target::InnerValue(map) => self.found[map].writes_inner = true,
            Target::Map(_) | Target::Inner(_) | Target::Stack(_) | Target::Function(_) => {}
        }
    }

    fn atomic(&mut self, at: usize, insn: Insn, state: &mut State) {
        let (base, src, width) = (insn.dst, usize::from(insn.src), width(insn.op));
        match insn.imm {
            LOAD_ACQUIRE => return self.load(at, insn, (insn.dst, src), false, state),
            STORE_RELEASE => {
                let stored = state.regs[src].clone();
                return self.store(base, insn.off.into(), width, &stored, state);
            }
            _ => {}
        }
        let held = state.regs[base].clone();
        for (target, offset) in &held.targets {
            let offset = offset.plus(Number::of(insn.off.into()));
            match target {
                Target::Stack(frame) => {
                    store_on_stack(*frame, offset, width, &Held::any(), false, state);
                }
                _ => self.write(*target, offset, width, insn.imm & !FETCH == i32::from(ADD)),
            }
        }
        if insn.imm & !FETCH != i32::from(ADD) {
            let stored = state.regs[src].clone();
            self.escapes(&stored);
        }
        state.memory_changes();
        if insn.imm & FETCH != 0 {
            let reg = if insn.imm == COMPARE { 0 } else { src };
            self.make(at, state, reg, Number::of_bytes(width));
        }
    }

    fn compute(&mut self, at: usize, insn: Insn, wide: bool, state: &mut State) {
        let op = insn.op & 0xf0;
        let is_register = insn.op & 0x08 != 0;
        let mut dst = state.regs[insn.dst].clone();
        let src = match (op, is_register) {
            (SWAP_BYTES, _) | (0x80, _) => {
                self.make(at, state, insn.dst, Number::of_bytes(if wide { 8 } else { 4 }).or(Number::ANY));
                if insn.dst < 10 {
                    state.regs[insn.dst].is_bent = dst.is_bent || !dst.loaded.is_empty();
                }
                return;
            }
            (_, true) => state.regs[usize::from(insn.src)].clone(),
            (_, false) => Held::number(0, Number::of(insn.imm.into())),
        };
        let made = made_at(at);
        if op == MOV {
            let mut src = src;
            if is_register && src.name == 0 {
                // Both are the same from now on.
                state.forget(made);
                (src.name, src.plus) = (made, 0);
                if insn.src < 10 {
                    state.regs[usize::from(insn.src)] = src.clone();
                }
                let moved = moved(insn, wide, src, 0);
                if insn.dst < 10 {
                    state.regs[insn.dst] = moved;
                }
                return;
            }
            let moved = moved(insn, wide, src, made);
            if moved.name == made {
                self.enter(at, state, insn.dst, moved)
            } else if insn.dst < 10 {
                state.regs[insn.dst] = moved
            }
            return;
        }
        if op == ADD && dst.targets.is_empty() && !src.targets.is_empty() {
            // A number and a pointer, in this order.
            let (number, loaded) = (dst.number, std::mem::take(&mut dst.loaded));
            dst = Held { loaded, ..src.clone() };
            let number = number.unwrap_or(Number::ANY);
            dst.targets.iter_mut().for_each(|(_, offset)| *offset = offset.plus(number));
            (dst.name, dst.plus) = (made, 0);
            return self.enter(at, state, insn.dst, dst);
        }
        let by = src.number.unwrap_or(Number::ANY);
        let moves = matches!(op, ADD | SUB) && wide && src.targets.is_empty();
        let loaded = added(&dst, &src, op, wide, is_register);
        dst.is_bent = bends(&dst, &src, op, &loaded);
        if moves {
            let by = if op == SUB { Number::of(0).minus(by) } else { by };
            dst.targets.iter_mut().for_each(|(_, offset)| *offset = offset.plus(by));
        } else {
            dst.targets.clear();
        }
        let number = dst.number.map(|number| {
            if wide { number.computed(op, by) } else { number.low_half().computed(op, by.low_half()).low_half() }
        });
        dst.number = if dst.targets.is_empty() { Some(number.unwrap_or(Number::ANY)) } else { number };
        // What is so far behind something is the same each time.
        match by.one().and_then(|by| i64::try_from(by).ok()).filter(|_| moves && dst.name != 0) {
            Some(by) => {
                let plus = if op == SUB { dst.plus.checked_sub(by) } else { dst.plus.checked_add(by) };
                match plus {
                    Some(plus) => dst.plus = plus,
                    None => (dst.name, dst.plus) = (0, 0),
                }
                dst.loaded = loaded;
                if insn.dst < 10 {
                    state.regs[insn.dst] = dst;
                }
            }
            None => {
                (dst.name, dst.plus) = (made, 0);
                dst.loaded = loaded;
                dst.loaded.retain(|place| place.base != made);
                self.enter(at, state, insn.dst, dst);
            }
        }
    }

    fn jump(&mut self, at: usize, insn: Insn, wide: bool, state: &mut State) -> Option<Next> {
        let op = insn.op & 0xf0;
        match op {
            0x00 => {
                let off = if wide { insn.off.into() } else { insn.imm.into() };
                return self.code.target(at, off).map(Next::Jump);
            }
            0x80 => {
                let goes_on = self.call(at, insn, state);
                return goes_on.then_some(Next::Follow(1));
            }
            0x90 => return Some(Next::Exit),
            _ => {}
        }
        let to = self.code.target(at, insn.off.into())?;
        let mut other = state.clone();
        let src = match insn.op & 0x08 {
            0 => Held::number(0, Number::of(insn.imm.into())),
            _ => state.regs[usize::from(insn.src)].clone(),
        };
        if op != 0xe0 {
            compare(state, insn.dst, &src, op, wide, false);
            compare(&mut other, insn.dst, &src, op, wide, true);
        }
        Some(Next::Either(to, Box::new(other)))
    }
}

/// Most different writes to one map.
const MAX_WRITES: usize = 4096;

/// Bytes of a load or store.
fn width(op: u8) -> u64 {
    match op & 0x18 {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}

/// What of the places that these were loaded from the sum is still that of, with something added.
fn added(dst: &Held, src: &Held, op: u8, wide: bool, is_register: bool) -> Vec<Place> {
    let fits = |place: &&Place| wide || place.width <= 4;
    match op {
        ADD => {
            let both = |place: &&Place| !(dst.loaded.contains(place) && src.loaded.contains(place));
            let all = dst.loaded.iter().chain(src.loaded.iter().filter(|place| !dst.loaded.contains(place)));
            all.filter(both).filter(fits).take(4).copied().collect()
        }
        SUB => dst.loaded.iter().filter(|place| !src.loaded.contains(place)).filter(fits).copied().collect(),
        // Cut to what is stored.
        AND if !is_register => {
            let mask = src.one().unwrap_or(0);
            let keeps = |place: &&Place| {
                let bits = if place.width >= 8 { u64::MAX } else { (1 << (place.width * 8)) - 1 };
                mask as u64 & bits == bits
            };
            dst.loaded.iter().filter(keeps).filter(fits).copied().collect()
        }
        _ => Vec::new(),
    }
}

/// True if what comes of it depends on what was loaded by more than adding: a mean that runs on, the distance from a value.
fn bends(dst: &Held, src: &Held, op: u8, loaded: &[Place]) -> bool {
    let is_kept = |of: &Held| of.loaded.iter().all(|place| loaded.contains(place));
    match op {
        ADD => dst.is_bent || src.is_bent || !is_kept(dst) || !is_kept(src),
        _ => dst.is_bent || src.is_bent || !is_kept(dst) || !src.loaded.is_empty(),
    }
}

fn store_on_stack(frame: usize, offset: Number, width: u64, stored: &Held, is_sure: bool, state: &mut State) {
    let whole = |at: i128| at % 8 == 0 && width == 8;
    let within = |at: i128| (-i128::from(STACK)..0).contains(&at);
    match offset.one() {
        Some(at) if within(at) => {
            let at = at as i64;
            let known = state.frames.get(frame).and_then(|frame| frame.slots.get(&at.div_euclid(8))).cloned();
            state.stack_changes(frame, at, at + width as i64);
            let Some(frame) = state.frames.get_mut(frame) else { return };
            let slot = at.div_euclid(8);
            if is_sure && whole(at.into()) {
                frame.slots.insert(slot, stored.clone());
            } else if let Some(known) = known.filter(|_| !is_sure) {
                frame.slots.insert(slot, either(known, stored));
            } else if !is_sure && whole(at.into()) {
                frame.slots.insert(slot, either(Held::any(), stored));
            }
        }
        Some(_) => {}
        None => {
            // Somewhere on it.
            state.stack_changes_somewhere(frame);
            let Some(frame) = state.frames.get_mut(frame) else { return };
            for held in frame.slots.values_mut() {
                *held = either(held.clone(), stored);
            }
        }
    }
}

/// What a comparison tells if its jump is taken, or is not.
fn compare(state: &mut State, reg: usize, with: &Held, op: u8, wide: bool, taken: bool) {
    let Some(bound) = with.one() else { return };
    let (held, bound) = (state.regs[reg].clone(), i128::from(bound));
    // Equal, or not; above, not below, not above, below; and the same of signed numbers.
    let is_equal = (op == 0x10) == taken;
    if matches!(op, 0x10 | 0x50) && bound == 0 && wide && !held.targets.is_empty() {
        return null(state, reg, is_equal);
    }
    let Some(number) = held.number.filter(|_| held.targets.is_empty()) else { return };
    let signed = matches!(op, 0x60 | 0x70 | 0xc0 | 0xd0);
    let can_tell = if wide { number.is_small() || !signed } else { number.is_half() };
    if bound < 0 || !can_tell && !matches!(op, 0x10 | 0x50) {
        return;
    }
    // As an unsigned number, it has no sign; that it is below something tells that it has none.
    let number =
        if number.low < 0 { Number { low: number.low.rem_euclid(number.step.max(1)), ..number } } else { number };
    let bounded = match (op, taken) {
        (0x10, true) | (0x50, false) if wide || number.is_half() => Number::of(bound as i64),
        (0x10, false) | (0x50, true) if number.high == bound => number.at_most(bound - 1),
        (0x10, false) | (0x50, true) if number.low == bound => number.at_least(bound + 1),
        (0x20 | 0x60, true) | (0xb0 | 0xd0, false) => number.at_least(bound + 1),
        (0x30 | 0x70, true) | (0xa0 | 0xc0, false) => number.at_least(bound),
        (0x20 | 0x60, false) | (0xb0 | 0xd0, true) => number.at_most(bound),
        (0x30 | 0x70, false) | (0xa0 | 0xc0, true) => number.at_most(bound - 1),
        _ => return,
    };
    // A bound from below alone does not tell the sign of an unsigned number that is read as a signed one.
    let set = |held: &mut Held| held.number = Some(bounded);
    set(&mut state.regs[reg]);
    state.each_named(held.name, held.plus, set);
}

/// A pointer is NULL, or is not.
fn null(state: &mut State, reg: usize, is_null: bool) {
    let held = state.regs[reg].clone();
    let set = |held: &mut Held| match is_null {
        true => {
            held.number = Some(Number::of(0));
            held.targets.clear();
        }
        false => held.number = held.number.filter(|number| number.one() != Some(0)),
    };
    set(&mut state.regs[reg]);
    state.each_named(held.name, held.plus, set);
    if is_null && held.plus == 0 {
        let absent: Vec<_> =
            state.looked_up.iter().filter(|(name, _)| held.is_named(*name)).map(|(_, looked)| *looked).collect();
        state.absent.extend(absent);
    }
}

//! What a call does, but for those of helpers.

use super::code::{Insn, Names, PSEUDO_KFUNC_CALL};
use super::flow::Follower;
use super::number::Number;
use super::value::{Frame, Held, MAX_FRAMES, State, Target, made_at};

impl Follower<'_> {
    /// Follows a call. False if it does not return.
    pub(super) fn call(&mut self, at: usize, insn: Insn, state: &mut State) -> bool {
        // By a register: of a helper, in what was not optimised.
        let by_register = insn.op & 0x08 != 0;
        match insn.names {
            Names::Call(to) if to < self.code.insns.len() => return self.call_function(at, to, state),
            Names::Call(_) => self.unknown_call(at, state),
            Names::Kernel => self.unknown_call(at, state),
            _ if insn.src == PSEUDO_KFUNC_CALL => self.unknown_call(at, state),
            _ if by_register => match state.regs[insn.dst].one().and_then(|helper| i32::try_from(helper).ok()) {
                Some(helper) => self.helper(at, helper, state),
                None => self.unknown_call(at, state),
            },
            _ if insn.src == 0 => self.helper(at, insn.imm, state),
            _ => self.unknown_call(at, state),
        }
        true
    }

    /// A function that can't be followed gets what is in the registers for arguments.
    pub(super) fn unknown_call(&mut self, at: usize, state: &mut State) {
        for reg in 1..=5 {
            let held = state.regs[reg].clone();
            // It may call a function with an entry of any map.
            if held.targets.iter().any(|(target, _)| matches!(target, Target::Function(_))) {
                self.all_partly();
            }
            self.escapes(&held);
        }
        self.returns(at, state, Held::number(made_at(at), Number::ANY));
    }

    /// A call is over, and its result is there.
    pub(super) fn returns(&mut self, at: usize, state: &mut State, result: Held) {
        (1..=5).for_each(|reg| state.regs[reg] = Held::any());
        self.enter(at, state, 0, result);
    }

    pub(super) fn call_function(&mut self, at: usize, to: usize, state: &mut State) -> bool {
        if state.frames.len() >= MAX_FRAMES {
            self.unknown_call(at, state);
            return true;
        }
        let mut inner = state.clone();
        inner.frames.push(Frame { saved: state.regs[6..10].to_vec(), ..Frame::default() });
        for reg in [0, 6, 7, 8, 9] {
            inner.regs[reg] = Held::any();
        }
        inner.regs[10] = Held::pointer(0, Target::Stack(state.frames.len()), 0);
        let Some(mut done) = self.run(to, inner) else { return false };
        let frame = done.frames.pop().unwrap_or_default();
        for (reg, saved) in (6..10).zip(frame.saved) {
            done.regs[reg] = saved;
        }
        done.regs[10] = state.regs[10].clone();
        (1..=5).for_each(|reg| done.regs[reg] = Held::any());
        *state = done;
        true
    }
}

//! What the kernel's helpers do with maps, and with memory that they are given.
//!
//! Source: `include/uapi/linux/bpf.h`, `kernel/bpf/helpers.c`.

use super::flow::Follower;
use super::number::Number;
use super::value::{Held, Key, LookedUp, State, Target, made_at};

/// The last helper whose number is known: newer functions of the kernel are no helpers.
const LAST: i32 = 211;

/// Of `bpf_map_update_elem`.
const ANY: i64 = 0;
const NOEXIST: i64 = 1;
const EXIST: i64 = 2;

/// How many bytes a helper writes: as an argument says, or always the same.
#[derive(Clone, Copy)]
enum Bytes {
    Arg(usize),
    Are(u64),
}

/// The argument to whose memory a helper writes.
fn output(helper: i32) -> Option<(usize, Bytes)> {
    use Bytes::{Are, Arg};
    Some(match helper {
        // probe_read and its kin, get_current_comm, copy_from_user, snprintf_btf, snprintf, get_branch_snapshot, dynptr_read
        4 | 16 | 45 | 112..=115 | 148 | 149 | 165 | 176 | 191 | 201 => (1, Arg(2)),
        // skb_get_tunnel_key and _opt, perf_prog_read_value, get_stack, fib_lookup, sysctl_get_.., read_branch_records, get_task_stack,
        // load_hdr_opt, d_path, ima_inode_hash, ima_file_hash
        20 | 29 | 56 | 67 | 69 | 101..=103 | 119 | 141 | 142 | 147 | 161 | 193 => (2, Arg(3)),
        // skb_load_bytes and _relative, perf_event_read_value, skb_get_xfrm_state, get_ns_current_pid_tgid, xdp_load_bytes
        26 | 55 | 66 | 68 | 120 | 189 => (3, Arg(4)),
        // getsockopt
        57 => (4, Arg(5)),
        // strtol, strtoul, kallsyms_lookup_name
        105 | 106 | 179 => (4, Are(8)),
        // check_mtu
        163 => (3, Are(4)),
        // get_func_arg, get_func_ret
        183 => (3, Are(8)),
        184 => (2, Are(8)),
        // kptr_xchg
        194 => (1, Are(8)),
        _ => return None,
    })
}

impl Follower<'_> {
    pub(super) fn helper(&mut self, at: usize, helper: i32, state: &mut State) {
        if !(1..=LAST).contains(&helper) {
            return self.unknown_call(at, state);
        }
        let mut result = Held::number(made_at(at), Number::ANY);
        let mut looked = None;
        match helper {
            // map_lookup_elem, map_lookup_percpu_elem
            1 | 195 => {
                result = self.value_of(at, state, true);
                looked = self.looked_up(state);
                self.each_map(state, 1, false, |_, _| {});
            }
            2 => self.update(state),
            3 => self.each_map(state, 1, true, |found, keyed| found.deletes |= keyed),
            // map_push_elem: with EXIST, the oldest makes room.
            87 => {
                let makes_room = state.regs[3].one() != Some(ANY);
                self.each_map(state, 1, true, |found, _| {
                    found.inserts = true;
                    found.deletes |= makes_room;
                });
            }
            // map_pop_elem, and map_peek_elem
            88 => self.each_map(state, 1, true, |found, _| found.deletes = true),
            // sock_map_update, sock_hash_update; get_stackid
            53 | 70 | 27 => self.each_map(state, 2, true, |found, _| found.inserts = true),
            // get_local_storage
            81 => result = self.value_of(at, state, false),
            // sk_storage_get, and those of inodes, tasks and cgroups: the lowest flag makes one.
            107 | 145 | 156 | 210 => {
                result = self.value_of(at, state, true);
                if state.regs[4].one().is_none_or(|flags| flags & 1 != 0) {
                    self.each_map(state, 1, true, |found, _| found.inserts = true);
                }
            }
            108 | 146 | 157 | 211 => self.each_map(state, 1, true, |found, _| found.deletes = true),
            // sys_bpf does with maps what user space can.
            166 => self.all_partly(),
            // for_each_map_elem
            164 => self.for_each(at, state),
            // loop
            181 => self.repeat(at, state, 2, |state| {
                let ctx = state.regs[3].clone();
                (state.regs[1], state.regs[2]) = (Held::number(0, Number::of_bytes(4)), ctx);
            }),
            // find_vma, user_ringbuf_drain: their functions get memory of the kernel, and what they are given.
            180 => self.repeat(at, state, 3, |state| {
                let ctx = state.regs[4].clone();
                (state.regs[1], state.regs[2], state.regs[3]) = (Held::any(), Held::any(), ctx);
            }),
            209 => self.repeat(at, state, 2, |state| {
                let ctx = state.regs[3].clone();
                (state.regs[1], state.regs[2]) = (Held::any(), ctx);
            }),
            // timer_set_callback
            170 => {
                let timers = &state.regs[1].targets;
                let maps: Vec<_> = timers
                    .iter()
                    .filter_map(|(target, _)| match target {
                        Target::Value(map) => Some(*map),
                        _ => None,
                    })
                    .collect();
                let functions = functions(&state.regs[2]);
                if maps.is_empty() || maps.len() < timers.len() || functions.is_empty() {
                    self.all_partly();
                }
                let both = maps.into_iter().flat_map(|map| functions.iter().map(move |function| (*function, map)));
                self.later.extend(both);
            }
            _ => {}
        }
        if let Some((arg, bytes)) = output(helper) {
            self.is_given_back(arg, bytes, state);
        }
        // map_pop_elem and map_peek_elem write as much as the map has.
        if matches!(helper, 88 | 89) {
            let sizes = maps(&state.regs[1]).map(|map| u64::from(self.maps[map].value_size));
            let most = sizes.max().unwrap_or(0);
            self.is_given_back(2, Bytes::Are(most), state);
        }
        // dynptr_from_mem: what it is made from is written through it later.
        if helper == 197 {
            let held = state.regs[1].clone();
            self.escapes(&held);
        }
        self.returns(at, state, result);
        state.looked_up.extend(looked.map(|looked| (made_at(at), looked)));
    }

    /// Does that with each map that a register may lead to: with what is found of it, and whether its entries come and go.
    fn each_map(&mut self, state: &State, reg: usize, writes: bool, change: impl Fn(&mut super::flow::Found, bool)) {
        let held = &state.regs[reg];
        let mut is_known = false;
        for (target, _) in &held.targets {
            match target {
                Target::Map(map) => {
                    let is_keyed = !self.maps[*map].map_type.is_array();
                    change(&mut self.found[*map], is_keyed);
                    is_known = true;
                }
                Target::Inner(map) => {
                    self.found[*map].writes_inner |= writes;
                    is_known = true;
                }
                _ => {}
            }
        }
        if !is_known {
            self.all_partly();
        }
    }

    /// The entry of a map, as a helper finds it.
    fn value_of(&mut self, at: usize, state: &State, or_null: bool) -> Held {
        let targets = state.regs[1].targets.iter().filter_map(|(target, _)| match target {
            Target::Map(map) if self.maps[*map].map_type.holds_maps() => Some(Target::Inner(*map)),
            Target::Map(map) => Some(Target::Value(*map)),
            Target::Inner(map) => Some(Target::InnerValue(*map)),
            _ => None,
        });
        let mut targets: Vec<_> = targets.map(|target| (target, Number::of(0))).collect();
        targets.sort();
        // Of nobody knows which map, nothing is known of its entry.
        let number = if targets.is_empty() { Some(Number::ANY) } else { or_null.then(|| Number::of(0)) };
        Held { number, targets, ..Held::number(made_at(at), Number::ANY) }
    }

    /// Which entry a look-up is of.
    fn looked_up(&self, state: &State) -> Option<LookedUp> {
        let [(Target::Map(map), _)] = state.regs[1].targets.as_slice() else { return None };
        Some(LookedUp { map: *map, key: state.key(2)?, len: self.maps[*map].key_size.into() })
    }

    fn update(&mut self, state: &mut State) {
        let flags = state.regs[4].one().map(|flags| flags & 3);
        let key = state.key(2);
        for map in maps(&state.regs[1]).collect::<Vec<_>>() {
            let is_keyed = !self.maps[map].map_type.is_array();
            let is_of = |looked: &LookedUp| looked.map == map && same_key(Some(looked.key), key);
            let is_new = state.absent.iter().any(is_of) && !matches!(flags, Some(EXIST));
            let found = &mut self.found[map];
            match flags {
                // In an array, no entry is new.
                Some(NOEXIST) => found.inserts |= is_keyed,
                Some(EXIST) => found.overwrites = true,
                _ => {
                    found.inserts |= is_keyed;
                    found.overwrites |= !(is_new && is_keyed);
                }
            }
            // It is there now.
            state.absent.retain(|looked| looked.map != map);
        }
        self.each_map(state, 1, true, |_, _| {});
    }

    /// A helper has written to memory that it was given.
    fn is_given_back(&mut self, arg: usize, bytes: Bytes, state: &mut State) {
        let bytes = match bytes {
            Bytes::Arg(arg) => state.regs[arg].one().and_then(|len| u64::try_from(len).ok()),
            Bytes::Are(bytes) => Some(bytes),
        };
        let held = state.regs[arg].clone();
        for (target, offset) in &held.targets {
            match (target, bytes) {
                (Target::Stack(frame), Some(bytes)) => {
                    if let Some(start) = offset.one().and_then(|at| i64::try_from(at).ok()) {
                        let end = start.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX));
                        state.stack_changes(*frame, start, end);
                    } else {
                        state.stack_changes_somewhere(*frame);
                    }
                }
                (Target::Stack(frame), None) => state.stack_changes_somewhere(*frame),
                (_, Some(0)) => {}
                // Of nobody knows how many, each byte may be one.
                (Target::Value(map), None) => self.found[*map].partly = true,
                (target, bytes) => self.write(*target, *offset, bytes.unwrap_or(1), false),
            }
        }
        state.memory_changes();
    }

    fn for_each(&mut self, at: usize, state: &mut State) {
        let known: Vec<_> = maps(&state.regs[1]).collect();
        let value = self.value_of(at, state, false);
        // Of a map that is chosen while the program runs.
        if known.is_empty() && value.targets.is_empty() {
            self.all_partly();
        }
        self.repeat(at, state, 2, move |state| {
            let (map, ctx) = (state.regs[1].clone(), state.regs[3].clone());
            (state.regs[1], state.regs[2]) = (map, Held::any());
            (state.regs[3], state.regs[4]) = (value.clone(), ctx);
        });
    }

    /// Calls the functions of a register any number of times, each with the registers as `enter` puts them.
    fn repeat(&mut self, at: usize, state: &mut State, reg: usize, enter: impl Fn(&mut State)) {
        /// Numbers lose their bounds after some times, and mostly nothing changes any more.
        const TIMES: usize = 12;
        let functions = functions(&state.regs[reg]);
        if functions.is_empty() {
            return self.all_partly();
        }
        for function in functions {
            let mut is_settled = false;
            for time in 0..TIMES {
                let mut called = state.clone();
                called.forget(made_at(at));
                enter(&mut called);
                let args = state.regs[1..=5].to_vec();
                // It never returns, or adds nothing to what is known.
                is_settled = !self.call_function(at, function, &mut called) || {
                    called.regs[1..=5].clone_from_slice(&args);
                    called.regs[0] = state.regs[0].clone();
                    !state.join(called, at, time > 2)
                };
                if is_settled {
                    break;
                }
            }
            // Once more, and it might do something else.
            if !is_settled {
                self.all_partly();
            }
        }
    }
}

/// The maps that a register may lead to.
fn maps(held: &Held) -> impl Iterator<Item = usize> {
    held.targets.iter().filter_map(|(target, _)| match target {
        Target::Map(map) => Some(*map),
        _ => None,
    })
}

fn functions(held: &Held) -> Vec<usize> {
    let functions = held.targets.iter().filter_map(|(target, _)| match target {
        Target::Function(at) => Some(*at),
        _ => None,
    });
    functions.collect()
}

fn same_key(one: Option<Key>, other: Option<Key>) -> bool {
    one.is_some() && one == other
}

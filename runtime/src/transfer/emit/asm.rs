//! A small eBPF assembler: the instructions that the programs of this module need, by the names of
//! Documentation/bpf/standardization/instruction-set.rst.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::fd::{AsFd as _, BorrowedFd};

use crate::sys::consts;
use crate::sys::{Btf, Insn, Map, NewProg, Prog};

/// A register. `R0` is the result, `R1` to `R5` are arguments that a call spoils, `R6` to `R9` are kept, `R10` is the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transfer) enum Reg {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
}

/// Width of a memory access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transfer) enum Size {
    B1,
    B2,
    B4,
    B8,
}

impl Size {
    pub(in crate::transfer) fn of(bytes: u32) -> Self {
        match bytes {
            1 => Self::B1,
            2 => Self::B2,
            4 => Self::B4,
            _ => Self::B8,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::B1 => 0x10,
            Self::B2 => 0x08,
            Self::B4 => 0x00,
            Self::B8 => 0x18,
        }
    }
}

/// A condition between a register and another, or a number. Comparisons are unsigned if they don't say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transfer) enum If {
    Eq,
    Ne,
    Lt,
    Gt,
    Ge,
    SignedLt,
    SignedGt,
}

impl If {
    fn bits(self) -> u8 {
        match self {
            Self::Eq => 0x10,
            Self::Ne => 0x50,
            Self::Lt => 0xa0,
            Self::Gt => 0x20,
            Self::Ge => 0x30,
            Self::SignedLt => 0xc0,
            Self::SignedGt => 0x60,
        }
    }
}

/// The first half of an instruction with a number of 64 bits.
pub(in crate::transfer) const WIDE: u8 = 0x18;

/// Helpers of the kernel, by their numbers in `enum bpf_func_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transfer) enum Helper {
    MapLookupElem = 1,
    MapUpdateElem = 2,
    MapDeleteElem = 3,
    GetSmpProcessorId = 8,
    MapPushElem = 87,
    MapPopElem = 88,
    MapPeekElem = 89,
    SpinLock = 93,
    SpinUnlock = 94,
    ProbeReadKernel = 113,
    SeqWrite = 127,
    Loop = 181,
    MapLookupPercpuElem = 195,
}

impl Helper {
    /// True for those that return an `int`, 0 or an error. Of look-ups, the result is a pointer.
    pub(in crate::transfer) fn returns_int(self) -> bool {
        match self {
            Self::MapUpdateElem | Self::MapDeleteElem | Self::MapPushElem | Self::MapPopElem | Self::MapPeekElem => {
                true
            }
            Self::MapLookupElem
            | Self::MapLookupPercpuElem
            | Self::GetSmpProcessorId
            | Self::ProbeReadKernel
            | Self::SpinLock
            | Self::SpinUnlock
            | Self::SeqWrite
            | Self::Loop => false,
        }
    }
}

/// Flags of updates and errors, as instructions have them.
pub(in crate::transfer) const BPF_ANY: i32 = consts::BPF_ANY as i32;
pub(in crate::transfer) const BPF_NOEXIST: i32 = consts::BPF_NOEXIST as i32;
pub(in crate::transfer) const EEXIST: i32 = -libc::EEXIST;
pub(in crate::transfer) const ERANGE: i32 = -libc::ERANGE;

/// A place to jump to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transfer) struct Label(usize);

/// A program under construction. Its first function starts with its first instruction.
#[derive(Debug, Default)]
pub(in crate::transfer) struct Asm {
    insns: Vec<Insn>,
    places: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
    callbacks: Vec<(usize, Label)>,
    functions: Vec<usize>,
    behind: Vec<Function>,
}

/// A function that comes behind all that is emitted before it is known where that ends. Places are those in it.
#[derive(Debug, Default)]
struct Function {
    insns: Vec<Insn>,
    labels: Vec<(usize, usize)>,
    jumps: Vec<(usize, Label)>,
}

impl Asm {
    fn push(&mut self, code: u8, dst: Reg, src: Reg, off: i16, imm: i32) {
        self.insns.push(Insn { code, dst: dst as u8, src: src as u8, off, imm });
    }

    /// A label whose place is still to be bound.
    pub(in crate::transfer) fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// The label is here.
    pub(in crate::transfer) fn bind(&mut self, label: Label) {
        self.places[label.0] = Some(self.insns.len());
    }

    /// True if something jumps there. The kernel refuses instructions that nothing leads to.
    pub(in crate::transfer) fn is_used(&self, label: Label) -> bool {
        self.jumps.iter().any(|(_, to)| *to == label)
    }

    /// True if the next instruction is reached: by the one before it, or by a jump.
    pub(in crate::transfer) fn is_reached(&self) -> bool {
        const JA: u8 = 0x05;
        self.insns.last().is_none_or(|insn| insn.code != JA) || self.places.contains(&Some(self.insns.len()))
    }

    /// Another function starts here, at that label.
    pub(in crate::transfer) fn function(&mut self, label: Label) {
        self.bind(label);
        self.functions.push(self.insns.len());
    }

    /// Where something is that [`Self::move_behind`] moves.
    pub(in crate::transfer) fn here(&self) -> usize {
        self.insns.len()
    }

    /// What was emitted since `start` is a function, which comes behind all others. It calls no function itself.
    pub(in crate::transfer) fn move_behind(&mut self, start: usize) {
        let mut moved = Function { insns: self.insns.split_off(start), ..Function::default() };
        for (label, place) in self.places.iter_mut().enumerate() {
            if let Some(at) = place.take_if(|at| *at >= start) {
                moved.labels.push((label, at - start));
            }
        }
        moved.jumps = self.jumps.extract_if(.., |(at, _)| *at >= start).map(|(at, to)| (at - start, to)).collect();
        self.behind.push(moved);
    }

    pub(in crate::transfer) fn mov(&mut self, dst: Reg, src: Reg) {
        self.push(0xbf, dst, src, 0, 0);
    }

    pub(in crate::transfer) fn mov_imm(&mut self, dst: Reg, imm: i32) {
        self.push(0xb7, dst, Reg::R0, 0, imm);
    }

    pub(in crate::transfer) fn add(&mut self, dst: Reg, src: Reg) {
        self.push(0x0f, dst, src, 0, 0);
    }

    pub(in crate::transfer) fn sub(&mut self, dst: Reg, src: Reg) {
        self.push(0x1f, dst, src, 0, 0);
    }

    pub(in crate::transfer) fn mul(&mut self, dst: Reg, src: Reg) {
        self.push(0x2f, dst, src, 0, 0);
    }

    /// Unsigned.
    pub(in crate::transfer) fn div(&mut self, dst: Reg, src: Reg) {
        self.push(0x3f, dst, src, 0, 0);
    }

    pub(in crate::transfer) fn or(&mut self, dst: Reg, src: Reg) {
        self.push(0x4f, dst, src, 0, 0);
    }

    pub(in crate::transfer) fn xor(&mut self, dst: Reg, src: Reg) {
        self.push(0xaf, dst, src, 0, 0);
    }

    pub(in crate::transfer) fn add_imm(&mut self, dst: Reg, imm: i32) {
        self.push(0x07, dst, Reg::R0, 0, imm);
    }

    pub(in crate::transfer) fn mul_imm(&mut self, dst: Reg, imm: i32) {
        self.push(0x27, dst, Reg::R0, 0, imm);
    }

    pub(in crate::transfer) fn and_imm(&mut self, dst: Reg, imm: i32) {
        self.push(0x57, dst, Reg::R0, 0, imm);
    }

    pub(in crate::transfer) fn shift_left_imm(&mut self, dst: Reg, imm: i32) {
        self.push(0x67, dst, Reg::R0, 0, imm);
    }

    pub(in crate::transfer) fn or_imm(&mut self, dst: Reg, imm: i32) {
        self.push(0x47, dst, Reg::R0, 0, imm);
    }

    /// The top bit stays.
    pub(in crate::transfer) fn shift_right_signed_imm(&mut self, dst: Reg, imm: i32) {
        self.push(0xc7, dst, Reg::R0, 0, imm);
    }

    pub(in crate::transfer) fn shift_right_imm(&mut self, dst: Reg, imm: i32) {
        self.push(0x77, dst, Reg::R0, 0, imm);
    }

    /// `dst = *(size *)(src + off)`
    pub(in crate::transfer) fn load(&mut self, size: Size, dst: Reg, src: Reg, off: i16) {
        self.push(0x61 | size.bits(), dst, src, off, 0);
    }

    /// `*(size *)(dst + off) = src`
    pub(in crate::transfer) fn store(&mut self, size: Size, dst: Reg, off: i16, src: Reg) {
        self.push(0x63 | size.bits(), dst, src, off, 0);
    }

    /// `*(size *)(dst + off) = imm`
    pub(in crate::transfer) fn store_imm(&mut self, size: Size, dst: Reg, off: i16, imm: i32) {
        self.push(0x62 | size.bits(), dst, Reg::R0, off, imm);
    }

    /// `lock *(size *)(dst + off) += src`; 4 or 8 bytes.
    pub(in crate::transfer) fn atomic_add(&mut self, size: Size, dst: Reg, off: i16, src: Reg) {
        self.push(0xc3 | size.bits(), dst, src, off, 0);
    }

    /// `src = fetch_add(dst + off, src)`; 4 or 8 bytes. Linux 5.12.
    pub(in crate::transfer) fn fetch_add(&mut self, size: Size, dst: Reg, off: i16, src: Reg) {
        self.push(0xc3 | size.bits(), dst, src, off, 0x01);
    }

    /// `R0 = cmpxchg(dst + off, R0, src)`; 4 or 8 bytes. Linux 5.12.
    pub(in crate::transfer) fn compare_exchange(&mut self, size: Size, dst: Reg, off: i16, src: Reg) {
        self.push(0xc3 | size.bits(), dst, src, off, 0xf1);
    }

    pub(in crate::transfer) fn jump(&mut self, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.push(0x05, Reg::R0, Reg::R0, 0, 0);
    }

    pub(in crate::transfer) fn jump_if(&mut self, reg: Reg, condition: If, other: Reg, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.push(0x0d | condition.bits(), reg, other, 0, 0);
    }

    pub(in crate::transfer) fn jump_if_imm(&mut self, reg: Reg, condition: If, imm: i32, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.push(0x05 | condition.bits(), reg, Reg::R0, 0, imm);
    }

    /// `R0 = helper(R1 .. R5)`, as a number of 64 bits. Before Linux 6.4, calls to a map's own functions that the verifier puts
    /// in the helper's place (`do_misc_fixups`) leave an `int` of 32 bits in R0: -17 is 0xffffffef.
    pub(in crate::transfer) fn call(&mut self, helper: Helper) {
        self.push(0x85, Reg::R0, Reg::R0, 0, helper as i32);
        if helper.returns_int() {
            self.shift_left_imm(Reg::R0, 32);
            self.shift_right_signed_imm(Reg::R0, 32);
        }
    }

    pub(in crate::transfer) fn exit(&mut self) {
        self.push(0x95, Reg::R0, Reg::R0, 0, 0);
    }

    /// `dst` is a number of 64 bits.
    pub(in crate::transfer) fn mov_wide(&mut self, dst: Reg, number: u64) {
        let [low, high] = [number as u32, (number >> 32) as u32];
        self.wide(dst, 0, low.cast_signed(), high.cast_signed());
    }

    fn wide(&mut self, dst: Reg, kind: u8, low: i32, high: i32) {
        self.insns.push(Insn { code: WIDE, dst: dst as u8, src: kind, off: 0, imm: low });
        self.insns.push(Insn { code: 0, dst: 0, src: 0, off: 0, imm: high });
    }

    /// `dst` is the map (`BPF_PSEUDO_MAP_FD`).
    pub(in crate::transfer) fn map(&mut self, dst: Reg, map: BorrowedFd<'_>) {
        self.wide(dst, 1, map.as_raw_fd(), 0);
    }

    /// `dst` points to the only value of an array (`BPF_PSEUDO_MAP_VALUE`, Linux 5.2).
    pub(in crate::transfer) fn map_value(&mut self, dst: Reg, map: &Map) {
        self.wide(dst, 2, map.as_fd().as_raw_fd(), 0);
    }

    /// `dst` is a function of this program, for a helper that calls it (`BPF_PSEUDO_FUNC`, Linux 5.13).
    pub(in crate::transfer) fn callback(&mut self, dst: Reg, function: Label) {
        self.callbacks.push((self.insns.len(), function));
        self.wide(dst, 4, 0, 0);
    }

    fn place(&self, label: Label) -> io::Result<i64> {
        let place = self.places[label.0].ok_or_else(|| io::Error::other("a jump of the program leads nowhere"))?;
        i64::try_from(place).map_err(io::Error::other)
    }

    /// The program, with its jumps resolved.
    ///
    /// # Errors
    /// If it is too long for a jump.
    pub(in crate::transfer) fn finish(mut self, name: &'static str, kind: Kind) -> io::Result<Code> {
        for function in std::mem::take(&mut self.behind) {
            let start = self.insns.len();
            self.functions.push(start);
            function.labels.into_iter().for_each(|(label, at)| self.places[label] = Some(start + at));
            self.jumps.extend(function.jumps.into_iter().map(|(at, to)| (start + at, to)));
            self.insns.extend(function.insns);
        }
        for (at, label) in std::mem::take(&mut self.jumps) {
            let distance = self.place(label)? - at as i64 - 1;
            self.insns[at].off =
                i16::try_from(distance).map_err(|_| io::Error::other("the program is too long for its jumps"))?;
        }
        for (at, label) in std::mem::take(&mut self.callbacks) {
            self.insns[at].imm = i32::try_from(self.place(label)? - at as i64 - 1).map_err(io::Error::other)?;
        }
        Ok(Code { name, kind, insns: self.insns, functions: self.functions })
    }
}

/// A program, ready to be loaded.
#[derive(Debug)]
pub(in crate::transfer) struct Code {
    name: &'static str,
    kind: Kind,
    pub(in crate::transfer) insns: Vec<Insn>,
    /// Where each function but the first starts.
    functions: Vec<usize>,
}

impl Code {
    /// Loads it.
    ///
    /// # Errors
    /// The kernel's.
    pub(in crate::transfer) fn load(self) -> io::Result<Prog> {
        let btf = if self.functions.is_empty() { None } else { Some(Btf::load(&functions_btf())?) };
        let insns: Vec<u64> = self.insns.iter().map(|insn| insn.word()).collect();
        // Type 3 is `maplock`, a static function: callbacks must be static, and one type serves them all.
        let starts = std::iter::once(0).chain(self.functions.iter().copied());
        let functions: Vec<[u32; 2]> = starts.map(|at| [u32::try_from(at).unwrap_or(u32::MAX), 3]).collect();
        let (prog_type, expected_attach_type, attach_btf_id) = match self.kind {
            Kind::Runnable => (1, 0, 0),
            // BPF_PROG_TYPE_SCHED_CLS: socket filters may not use maps with locks.
            Kind::Locking => (3, 0, 0),
            Kind::Iterator { btf_id } => (26, 28, btf_id),
        };
        Prog::load(&NewProg {
            prog_type,
            expected_attach_type,
            name: self.name,
            insns: &insns,
            flags: 0,
            functions: btf.as_ref().map(|btf| (btf, &functions[..])),
            attach_btf_id,
        })
    }
}

/// How a program is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transfer) enum Kind {
    /// By `BPF_PROG_TEST_RUN`: a socket filter, which needs no privilege beyond CAP_BPF, may use every type of map that is
    /// copied, and runs on the CPU of its caller. (`BPF_PROG_TYPE_SYSCALL` is sleepable, and may not use LPM tries.)
    Runnable,
    /// The same, of maps whose values have a lock.
    Locking,
    /// By reading an iterator over a map's entries (`BPF_TRACE_ITER`, Linux 5.9); `btf_id` is `bpf_iter_bpf_map_elem`.
    Iterator { btf_id: u32 },
}

/// BTF of `static int maplock(void)`, which the kernel wants for functions that are called back.
fn functions_btf() -> Vec<u8> {
    const STRINGS: &[u8] = b"\0int\0maplock\0";
    let types: [u32; 4 + 3 + 3] = [
        1,
        1 << 24,
        4,
        1 << 24 | 32, // [1] INT `int`, signed, 32 bits
        0,
        13 << 24,
        1, // [2] FUNC_PROTO returning [1]
        5,
        12 << 24,
        2, // [3] FUNC `maplock` of [2], linkage static
    ];
    let types_len = u32::try_from(size_of_val(&types)).unwrap_or(0);
    let strings_len = u32::try_from(STRINGS.len()).unwrap_or(0);
    let mut bytes = Vec::new();
    bytes.extend(0xeb9f_u16.to_ne_bytes());
    bytes.extend([1, 0]);
    for word in [24, 0, types_len, types_len, strings_len].iter().chain(&types) {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(STRINGS);
    bytes
}

//! Instructions of programs, as `struct bpf_insn` has them.

/// An instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insn {
    /// What is done.
    pub code: u8,
    /// The register that is written, or compared.
    pub dst: u8,
    /// The other register.
    pub src: u8,
    /// How far from a register's address, or to where it jumps.
    pub off: i16,
    /// A number.
    pub imm: i32,
}

impl Insn {
    /// As the kernel of this machine takes it: see [`NewProg::insns`](super::NewProg::insns).
    #[must_use]
    pub fn word(self) -> u64 {
        u64::from_ne_bytes(self.bytes(cfg!(target_endian = "little")))
    }

    /// On a machine whose lowest byte comes first, or last. The registers are bit-fields, whose order is the machine's too.
    fn bytes(self, is_little: bool) -> [u8; 8] {
        let Self { code, dst, src, off, imm } = self;
        let (registers, [a, b], [c, d, e, f]) = match is_little {
            true => (dst | src << 4, off.to_le_bytes(), imm.to_le_bytes()),
            false => (dst << 4 | src, off.to_be_bytes(), imm.to_be_bytes()),
        };
        [code, registers, a, b, c, d, e, f]
    }
}

#[cfg(test)]
mod tests {
    use super::Insn;

    /// What clang has made of C for both byte orders (`-target bpfel`, `-target bpfeb`).
    #[test]
    fn instructions_are_those_of_clang_in_both_byte_orders() {
        let insn = |code, dst, src, off, imm| Insn { code, dst, src, off, imm };
        for (insn, little, big) in [
            (insn(0x7b, 10, 6, -8, 0), 0x7b6a_f8ff_0000_0000, 0x7ba6_fff8_0000_0000_u64),
            (insn(0xb7, 2, 0, 0, 0x0102_0304), 0xb702_0000_0403_0201, 0xb720_0000_0102_0304),
            (insn(0x07, 1, 0, 0, -8), 0x0701_0000_f8ff_ffff, 0x0710_0000_ffff_fff8),
            (insn(0x15, 1, 0, 2, 5), 0x1501_0200_0500_0000, 0x1510_0002_0000_0005),
            (insn(0xdb, 7, 6, 16, 0), 0xdb67_1000_0000_0000, 0xdb76_0010_0000_0000),
        ] {
            assert_eq!(insn.bytes(true), u64::to_be_bytes(little), "{insn:?}");
            assert_eq!(insn.bytes(false), u64::to_be_bytes(big), "{insn:?}");
            let own = if cfg!(target_endian = "little") { little } else { big };
            assert_eq!(insn.word().to_ne_bytes(), u64::to_be_bytes(own), "{insn:?}");
        }
    }
}

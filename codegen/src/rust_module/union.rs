//! Unions of entries: bytes that are read and written as one of the arms.
//!
//! A union of Rust's own has no safe way to its bytes, as an arm need not fill it. Here all bytes are always there, every arm is read
//! from them and written to them by value, and a user needs no `unsafe`.

use std::fmt::Write as _;

use super::QUIET;
use super::composite::{Field, Holds, entry_impls, entry_traits};
use super::names::Names;
use super::types::comment;

/// A union, all but its name.
pub(super) struct Union {
    pub(super) doc: String,
    pub(super) size: u64,
    pub(super) align: u64,
    pub(super) arms: Vec<Field>,
}

impl Union {
    pub(super) fn item(&self, name: &str) -> String {
        let Self { size, align, .. } = self;
        // An array of integers has the alignment without `repr(align)`, which a packed struct could not hold.
        let (word, words) = (align * 8, size / align);
        let mut methods = String::new();
        let mut names = Names::default();
        let arms: Vec<_> = self.arms.iter().filter(|arm| arm.holds != Holds::Padding).collect();
        let readers: Vec<_> = arms.iter().map(|arm| names.claim(arm.name.clone())).collect();
        for (arm, reader) in arms.into_iter().zip(readers) {
            let plain = arm.name.trim_start_matches("r#").to_owned();
            let (setter, maker) = (names.claim(format!("set_{plain}")), names.claim(format!("of_{plain}")));
            let ty = &arm.ty.text;
            _ = write!(
                methods,
                "{}    pub fn {reader}(&self) -> {ty} {{\n        ::maplock::generated::read_arm(self)\n    }}\n\n    \
                 /// Writes `{plain}`; bytes that it does not have stay.\n    pub fn {setter}(&mut self, value: {ty}) {{\n        \
                 ::maplock::generated::write_arm(self, &value)\n    }}\n\n    \
                 /// One that holds `{plain}`; bytes that it does not have are zero.\n    pub fn {maker}(value: {ty}) -> Self {{\n        \
                 let mut new = <Self as ::core::default::Default>::default();\n        new.{setter}(value);\n        new\n    }}\n",
                comment(&arm.doc, "    ")
            );
        }
        let shown = format!("debug_tuple({name:?}).field(&::maplock::zerocopy::IntoBytes::as_bytes(self))");
        format!(
            "\n{}{QUIET}\n#[repr(C)]\n#[derive(Clone, Copy{})]\npub struct {name} {{\n    \
             /// All of its bytes.\n    pub __words: [u{word}; {words}],\n}}\n\n\
             {QUIET}\nconst _: () = {{\n    assert!(::core::mem::size_of::<{name}>() == {size});\n    \
             #[cfg(target_pointer_width = \"64\")]\n    assert!(::core::mem::align_of::<{name}>() == {align});\n}};\n{}\n\
             {QUIET}\nimpl {name} {{\n{methods}}}\n",
            comment(&self.doc, ""),
            entry_traits(),
            entry_impls(name, &shown, true)
        )
    }
}

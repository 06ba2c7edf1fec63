//! Structs and unions.
//!
//! Every struct is `repr(C)` with each byte of padding written out, so that it has no other bytes than those in it, and is
//! followed by assertions of its size, its alignment and every offset.

use std::fmt::Write as _;

use maplock_layout::{Composite, CompositeKind, Layout, Member};

use super::QUIET;
use super::names::{Names, camel_case, identifier};
use super::types::{BYTES, ENTRY, Home, Ty, Types, comment};
use super::union::Union;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Member,
    /// An anonymous struct or union, which has a name in Rust alone.
    Anonymous,
    /// Neighbouring bit-fields.
    Bits,
    /// Bytes that C leaves unused.
    Padding,
}

/// A member of a struct as Rust has it.
pub(super) struct Field {
    pub(super) holds: Holds,
    pub(super) name: String,
    pub(super) ty: Ty,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) doc: String,
}

impl Types<'_> {
    pub(super) fn composite(&mut self, of: &Composite, layout: &Layout, wanted: &str, home: &Home) -> Ty {
        let is_union = of.kind() == CompositeKind::Union;
        let mut fields = if is_union {
            self.arms(of, wanted, layout.size, home)
        } else {
            self.fields(of, wanted, layout.size, home)
        };
        // Names that people chose come first; those made up here make way.
        let mut names = Names::default();
        for chosen in [true, false] {
            for field in fields.iter_mut().filter(|field| (field.holds == Holds::Member) == chosen) {
                field.name = names.claim(std::mem::take(&mut field.name));
            }
        }
        let title = of.name().map_or_else(
            || format!("An anonymous {}.", of.kind().keyword()),
            |name| format!("`{} {name}`.", of.kind().keyword()),
        );
        let is_own = of.name().is_some() || layout.typedef.is_some();
        let doc = home.title(self.declarations, is_own, &title);
        let natural = fields.iter().map(|field| field.ty.align).max().unwrap_or(1);
        let fits = layout.size.is_multiple_of(natural)
            && fields.iter().all(|field| field.offset.is_multiple_of(field.ty.align));
        let align = if fits { natural } else { 1 };
        if is_union && self.runtime {
            let union = Union { doc, size: layout.size, align, arms: fields };
            return Ty::new(self.enter(wanted, |name| union.item(name)), align);
        }
        let accessors = self.accessors(of, &fields);
        let runtime = self.runtime.then_some(accessors.readers);
        let shape = Shaped { doc, size: layout.size, align, is_packed: !fits, is_union, fields, runtime };
        Ty::new(self.enter(wanted, |name| shape.item(name) + &accessors.text.replace("{TYPE}", name)), align)
    }

    fn member_type(&mut self, member: &Member, parent: &str, index: usize, home: &Home) -> Ty {
        let own = if member.name.is_empty() { format!("Anonymous{index}") } else { camel_case(&member.name) };
        self.ty(&member.layout, &format!("{parent}{own}"), &home.member(&member.name))
    }

    fn field(&mut self, member: &Member, parent: &str, index: usize, home: &Home) -> Field {
        let place = maplock_layout::Place { offset_bits: member.offset_bits, size_bits: member.size_bits() };
        let (holds, name) = match &*member.name {
            "" => (Holds::Anonymous, format!("anonymous{index}")),
            name => (Holds::Member, identifier(name)),
        };
        Field {
            holds,
            name,
            ty: self.member_type(member, parent, index, home),
            offset: member.offset_bits / 8,
            size: member.layout.size,
            doc: {
                let own = format!("`{}` at {place}.", member.layout.spelling());
                if member.name.is_empty() { own } else { home.doc(self.declarations, &member.name, &own) }
            },
        }
    }

    /// The arms of a union, and one that has all of its bytes if none of them does.
    fn arms(&mut self, of: &Composite, parent: &str, size: u64, home: &Home) -> Vec<Field> {
        let plain = of.members().iter().enumerate().filter(|(_, member)| member.bits.is_none());
        let mut fields: Vec<_> = plain.map(|(index, member)| self.field(member, parent, index, home)).collect();
        if fields.iter().all(|field| field.size < size) {
            fields.push(Field { name: "__bytes".to_owned(), doc: "All of its bytes.".to_owned(), ..padding(0, size) });
        }
        fields
    }

    /// The members in the order of their bytes; neighbouring bit-fields share an array of bytes.
    fn fields(&mut self, of: &Composite, parent: &str, size: u64, home: &Home) -> Vec<Field> {
        let mut members: Vec<_> =
            of.members().iter().enumerate().filter(|(_, member)| member.size_bits() != 0).collect();
        members.sort_by_key(|(_, member)| member.offset_bits);
        let mut fields: Vec<Field> = Vec::with_capacity(members.len());
        for (index, member) in members {
            if member.bits.is_none() {
                fields.push(self.field(member, parent, index, home));
                continue;
            }
            let (start, end) = (member.offset_bits / 8, member.end_bits().div_ceil(8));
            match fields.last_mut() {
                Some(last) if last.holds == Holds::Bits && start <= last.offset + last.size => {
                    last.size = last.size.max(end - last.offset);
                    last.ty = Ty::bytes(last.size);
                }
                _ => fields.push(Field {
                    holds: Holds::Bits,
                    name: format!("__bits{start}"),
                    ty: Ty::bytes(end - start),
                    offset: start,
                    size: end - start,
                    doc: "Bit-fields; see the methods.".to_owned(),
                }),
            }
        }
        // What can't be said in Rust, such as members that overlap without being a union, is bytes.
        let overlaps = fields.windows(2).any(|pair| pair[0].offset + pair[0].size > pair[1].offset);
        if overlaps {
            fields.clear();
        }
        let mut padded = Vec::with_capacity(fields.len());
        let mut at = 0;
        for field in fields {
            if at < field.offset {
                padded.push(padding(at, field.offset));
            }
            at = field.offset + field.size;
            padded.push(field);
        }
        if at < size {
            padded.push(padding(at, size));
        }
        padded
    }
}

/// A struct, or a union that is one in Rust too; all but its name.
struct Shaped {
    doc: String,
    size: u64,
    align: u64,
    is_packed: bool,
    is_union: bool,
    fields: Vec<Field>,
    /// With the traits of `maplock` and zerocopy; and the methods that read its bit-fields.
    runtime: Option<Vec<String>>,
}

impl Shaped {
    /// The type, and what the compiler is to make sure of.
    fn item(&self, name: &str) -> String {
        let Self { size, align, .. } = self;
        let (mut body, mut asserts) = (String::new(), String::new());
        for field in &self.fields {
            _ = writeln!(body, "{}    pub {}: {},", comment(&field.doc, "    "), field.name, field.ty.text);
            _ = writeln!(asserts, "    assert!(::core::mem::offset_of!({name}, {}) == {});", field.name, field.offset);
        }
        let repr = if self.is_packed { "C, packed" } else { "C" };
        let keyword = if self.is_union { "union" } else { "struct" };
        let (traits, impls) = match &self.runtime {
            Some(readers) => (entry_traits(), self.impls(name, readers)),
            None => (String::new(), String::new()),
        };
        format!(
            "\n{}{QUIET}\n#[repr({repr})]\n#[derive(Clone, Copy{traits})]\n\
             pub {keyword} {name} {{\n{body}}}\n\n\
             {QUIET}\nconst _: () = {{\n    assert!(::core::mem::size_of::<{name}>() == {size});\n    \
             #[cfg(target_pointer_width = \"64\")]\n    assert!(::core::mem::align_of::<{name}>() == {align});\n{asserts}}};\n{impls}",
            comment(&self.doc, "")
        )
    }

    fn impls(&self, name: &str, readers: &[String]) -> String {
        let mut shown = String::new();
        let mut is_whole = true;
        for field in &self.fields {
            match field.holds {
                Holds::Member | Holds::Anonymous if field.ty.is_extern => is_whole = false,
                // By value: in a packed struct there are no references to them.
                Holds::Member | Holds::Anonymous => {
                    let plain = field.name.trim_start_matches("r#");
                    _ = write!(shown, "\n            .field(\"{plain}\", &{{ self.{} }})", field.name);
                }
                Holds::Bits | Holds::Padding => {}
            }
        }
        for reader in readers {
            _ = write!(shown, "\n            .field(\"{}\", &self.{reader}())", reader.trim_start_matches("r#"));
        }
        entry_impls(name, &format!("debug_struct({name:?}){shown}"), is_whole)
    }
}

/// What stands in the `derive` of a type of entries, after `Clone` and `Copy`: equal is what the kernel takes for equal, which is
/// the same bytes.
pub(super) fn entry_traits() -> String {
    format!(", ::maplock::zerocopy::ByteEq, ::maplock::zerocopy::ByteHash{BYTES}")
}

/// What is implemented for a type of entries. `shown` is what its `Debug` calls on the formatter.
pub(super) fn entry_impls(name: &str, shown: &str, is_whole: bool) -> String {
    let finish = if is_whole { "finish" } else { "finish_non_exhaustive" };
    format!(
        "\n{}{QUIET}\nimpl ::core::default::Default for {name} {{\n    fn default() -> Self {{\n        \
         ::maplock::zerocopy::FromZeros::new_zeroed()\n    }}\n}}\n\n\
         {QUIET}\nimpl ::core::fmt::Debug for {name} {{\n    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> \
         ::core::fmt::Result {{\n        f.{shown}\n            .{finish}()\n    }}\n}}\n",
        ENTRY.replace("{TYPE}", name)
    )
}

/// A field for the bytes that C leaves between members, or behind them.
fn padding(from: u64, to: u64) -> Field {
    Field {
        holds: Holds::Padding,
        name: format!("__pad{from}"),
        ty: Ty::bytes(to - from),
        offset: from,
        size: to - from,
        doc: "Padding.".to_owned(),
    }
}

//! Fields of a value that belong to the kernel: it finds them by the names of their types, and keeps them from system calls.

use std::collections::HashSet;
use std::ptr;

use crate::layout::{Composite, Layout, Shape};

/// What a copy of the value has in the place of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InCopy {
    /// A lock that is free, as it should be.
    Free,
    /// Nothing: what the field held is not in the copy.
    Nothing,
}

/// Structs to which the kernel gives a meaning of their own in a map's value (`btf_get_field_type`).
const STRUCTS: [(&str, InCopy); 10] = [
    ("bpf_spin_lock", InCopy::Free),
    ("bpf_res_spin_lock", InCopy::Free),
    ("bpf_timer", InCopy::Nothing),
    ("bpf_wq", InCopy::Nothing),
    ("bpf_task_work", InCopy::Nothing),
    ("bpf_list_head", InCopy::Nothing),
    ("bpf_list_node", InCopy::Nothing),
    ("bpf_rb_root", InCopy::Nothing),
    ("bpf_rb_node", InCopy::Nothing),
    ("bpf_refcount", InCopy::Nothing),
];

/// Type tags with which a pointer in a value belongs to the kernel (`btf_find_kptr`).
const TAGS: [&str; 4] = ["kptr", "kptr_untrusted", "percpu_kptr", "uptr"];

impl Composite {
    /// Its tag, if the kernel gives a struct of that name a meaning of its own in a map's value: it finds locks, timers
    /// and lists by name (`btf_get_field_type`).
    #[must_use]
    pub fn kernel_name(&self) -> Option<&str> {
        self.name().map(|name| &**name).filter(|name| STRUCTS.iter().any(|(known, _)| known == name))
    }
}

/// The tag of a pointer's target as [`Shape::Pointer`] spells it, if the kernel gives it a meaning.
pub(crate) fn tag(target: &str) -> Option<&'static str> {
    let (first, _) = target.split_once(' ')?;
    TAGS.into_iter().find(|tag| *tag == first)
}

/// True for a lock, which no entry holds while it is copied, and which is free in a copy.
pub(crate) fn is_lock(name: &str) -> bool {
    STRUCTS.contains(&(name, InCopy::Free))
}

/// A field of the kernel's somewhere in a layout: its struct's name, or its pointer's tag.
pub(crate) fn any(layout: &Layout) -> Option<&str> {
    find(layout, &|_| true, &mut HashSet::new())
}

/// A field somewhere in a value that no copy can carry: a timer, a work queue, a list, a tree, a pointer of the kernel's. Locks can't
/// be carried either, and need not be.
#[must_use]
pub fn uncarried(value: &Layout) -> Option<&str> {
    find(value, &|name| !is_lock(name), &mut HashSet::new())
}

/// Where in a value a lock is: the offset of its first byte, its size, and its struct's name. The kernel takes one at the most.
#[must_use]
pub fn lock(value: &Layout) -> Option<(u64, u64, &str)> {
    let of = value.composite()?;
    of.members().iter().find_map(|member| {
        let offset = member.offset_bits / 8;
        let inner = member.layout.composite()?;
        match inner.kernel_name() {
            Some(name) => is_lock(name).then_some((offset, member.layout.size, name)),
            None => lock(&member.layout).map(|(at, size, name)| (offset + at, size, name)),
        }
    })
}

/// Looks at each composite once: the number of ways to one can be exponential.
fn find<'a>(
    layout: &'a Layout,
    wanted: &dyn Fn(&str) -> bool,
    seen: &mut HashSet<*const Composite>,
) -> Option<&'a str> {
    match &layout.shape {
        Shape::Pointer { target } => tag(target).filter(|tag| wanted(tag)),
        Shape::Array { element, .. } => find(element, wanted, seen),
        Shape::Composite(of) => match of.kernel_name() {
            Some(name) => Some(name).filter(|name| wanted(name)),
            None if seen.insert(ptr::from_ref(of.as_ref())) => {
                of.members().iter().find_map(|member| find(&member.layout, wanted, seen))
            }
            None => None,
        },
        _ => None,
    }
}

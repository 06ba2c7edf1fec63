//! The rules: what may change between two definitions of a map, and what maplock makes of it.
//!
//! To add a rule, add a file with a `RULE`, list it below (a test fails until you do), and report it where `diff` compares. The
//! id is for ever: locks and configurations name it.

mod rule;

pub use rule::{Attribute, Compares, Decision, Effect, Example, Level, Rule, Tier};

macro_rules! rules {
    ($($module:ident $constant:ident,)*) => {
        $(mod $module;)*
        $(pub use $module::RULE as $constant;)*

        /// Every rule, gravest tier first, then by id.
        pub const ALL: &[&Rule] = &[$(&$constant,)*];
    };
}

rules! {
    // bytes
    array_length_changed ARRAY_LENGTH_CHANGED,
    array_stride_changed ARRAY_STRIDE_CHANGED,
    bit_width_changed BIT_WIDTH_CHANGED,
    key_type_changed KEY_TYPE_CHANGED,
    member_added MEMBER_ADDED,
    member_moved MEMBER_MOVED,
    member_removed MEMBER_REMOVED,
    member_type_changed MEMBER_TYPE_CHANGED,
    union_arm_added UNION_ARM_ADDED,
    union_arm_removed UNION_ARM_REMOVED,
    value_type_changed VALUE_TYPE_CHANGED,
    // kernel
    capacity_at_run_time CAPACITY_AT_RUN_TIME,
    capacity_stays CAPACITY_STAYS,
    flags_changed FLAGS_CHANGED,
    inner_capacity_changed INNER_CAPACITY_CHANGED,
    inner_map_changed INNER_MAP_CHANGED,
    key_size_changed KEY_SIZE_CHANGED,
    map_added MAP_ADDED,
    map_conflict MAP_CONFLICT,
    map_extra_changed MAP_EXTRA_CHANGED,
    map_removed MAP_REMOVED,
    map_type_changed MAP_TYPE_CHANGED,
    max_entries_decreased MAX_ENTRIES_DECREASED,
    max_entries_increased MAX_ENTRIES_INCREASED,
    pinning_added PINNING_ADDED,
    pinning_removed PINNING_REMOVED,
    value_size_changed VALUE_SIZE_CHANGED,
    // meaning
    enum_value_added ENUM_VALUE_ADDED,
    enum_value_changed ENUM_VALUE_CHANGED,
    enum_value_removed ENUM_VALUE_REMOVED,
    enum_value_renamed ENUM_VALUE_RENAMED,
    layout_added LAYOUT_ADDED,
    layout_removed LAYOUT_REMOVED,
    map_renamed MAP_RENAMED,
    meaning_changed MEANING_CHANGED,
    member_renamed MEMBER_RENAMED,
    scalar_kind_changed SCALAR_KIND_CHANGED,
    signedness_changed SIGNEDNESS_CHANGED,
    stale_epoch STALE_EPOCH,
    unmerged_counter UNMERGED_COUNTER,
    // spelling
    btf_refused BTF_REFUSED,
    empty_member_changed EMPTY_MEMBER_CHANGED,
    padding_changed PADDING_CHANGED,
    type_spelling_changed TYPE_SPELLING_CHANGED,
    unpromised_layout UNPROMISED_LAYOUT,
    untyped_map UNTYPED_MAP,
}

/// The rule of that id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Rule> {
    ALL.iter().copied().find(|rule| rule.id == id)
}

/// The id nearest to a mistyped one, if any is near.
#[must_use]
pub fn suggest(mistyped: &str) -> Option<&'static str> {
    nearest(mistyped, ALL.iter().map(|rule| rule.id))
}

/// The candidate most like `word`, if it is like it at all.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |candidate: &&str| (strsim::jaro_winkler(word, candidate) * 1000.0) as u32;
    candidates.into_iter().filter(|candidate| likeness(candidate) > 800).max_by_key(likeness)
}

//! What the definitions, the epochs and the policies say about one map.

use super::*;

#[test]
fn a_map_that_is_not_pinned_is_created() {
    let case = Case { lock: lock([hash(&counters(4), 64)]), ..Case::default() };
    let map = case.decide();
    assert_is(&map, D::Create, "not pinned here");
    assert!(matches!(map.action, Action::Create { .. }));
}

#[test]
fn a_map_of_the_same_definition_is_reused() {
    let def = hash(&counters(4), 64);
    let map = Case::one(&def, &def).decide();
    assert_is(&map, D::Reuse, "same layout");
    assert_eq!(map.action.source(), Some((Path::new("/bpf/mesh/stats"), 7)));
    assert_eq!((from(&map), to(&map)), (Some(def.digest()), Some(def.digest())));
}

#[test]
fn a_larger_capacity_grows_the_map_and_says_what_it_takes() {
    let map = Case::one(&hash(&counters(4), 64), &hash(&counters(4), 4096)).decide();
    assert_is(&map, D::Grow, "max_entries 64 -> 4096, every entry kept");
    // Memory for all that it has room for is set aside at once, and for some that come and go meanwhile.
    assert_eq!(carry(&map).snapshot, (64 + 1024) * (8 + 16));
    let of = |max_entries| MapDef { flags: 1, ..hash(&counters(4), max_entries) };
    let as_needed = Case::one(&of(64), &of(4096)).decide();
    assert_eq!(carry(&as_needed).snapshot, 12 * (8 + 16));
    assert_eq!(map.estimate().as_nanos(), 12 * 600);
}

#[test]
fn a_capacity_chosen_at_run_time_counts_instead_of_the_declared_one() {
    let def = hash(&counters(4), 64);
    let chosen = Policy { max_entries: Some(100), ..Policy::default() };
    let map = Case::one(&def, &def).policy(chosen.clone()).decide();
    assert_is(&map, D::Grow, "max_entries 64 -> 100, every entry kept");
    assert_eq!(asked(&map), 100);
    let map = Case::one(&hash(&counters(4), 100), &def).policy(chosen).decide();
    assert_is(&map, D::Reuse, "same layout");
}

#[test]
fn a_change_that_no_epoch_knows_is_refused_with_the_change() {
    let (old, new) = (hash(&counters(4), 64), hash(&counters(8), 64));
    let map = Case::one(&old, &new).decide();
    let why = format!("packets u32 -> u64; no accepted change leads from layout {}", old.digest().short());
    assert_is(&map, D::Refuse, &why);
    assert!(map.findings.iter().any(|finding| finding.rule.id == "member-type-changed"), "{:?}", map.findings);
    assert!(!map.action.loses_entries());
}

#[test]
fn an_epoch_decides_what_it_was_accepted_for() {
    let (old, new) = (hash(&counters(4), 64), hash(&counters(8), 64));
    let swap = Case::accepted(&old, &new, OnUpgrade::Swap).decide();
    assert_is(&swap, D::Swap, "starts empty: packets u32 -> u64 (accepted: \"because\")");
    assert!(swap.action.loses_entries());
    let migrate = Case::accepted(&old, &new, OnUpgrade::Migrate).decide();
    assert_is(&migrate, D::Migrate, "packets u32 -> u64 (accepted: \"because\")");
    assert!(matches!(migrate.action, Action::Convert { .. }) && carry(&migrate).snapshot > 0);
    // The other way, numbers may not fit, and the epoch does not say what then.
    let unable = format!(
        "packets u64 -> u32 (accepted: \"because\"); its entries can't be converted: the change from layout {}: `value.packets` was u64 and is narrower now, u32: what becomes of a number that does not fit? --cast value.packets=refuse or --cast value.packets=saturate or --cast value.packets=truncate or --drop value.packets",
        new.digest().short()
    );
    let narrowed = Case::accepted(&new, &old, OnUpgrade::Migrate).decide();
    assert_is(&narrowed, D::Refuse, &unable);
    let instead = Case::accepted(&new, &old, OnUpgrade::Migrate).policy(policy(OnMismatch::Swap)).decide();
    assert_is(&instead, D::Swap, &format!("{unable} (policy: swap)"));
    let reuse = Case::accepted(&old, &new, OnUpgrade::Reuse).decide();
    assert_is(&reuse, D::Reuse, "packets u32 -> u64 (accepted: \"because\")");
    let refuse = Case::accepted(&old, &new, OnUpgrade::Refuse).policy(policy(OnMismatch::Swap)).decide();
    assert_is(&refuse, D::Refuse, "packets u32 -> u64; accepted as `refuse` (accepted: \"because\")");
}

#[test]
fn a_policy_decides_what_no_epoch_knows() {
    let (old, new) = (hash(&counters(4), 64), hash(&counters(8), 64));
    let why = format!("packets u32 -> u64; no accepted change leads from layout {}", old.digest().short());
    let swap = Case::one(&old, &new).policy(policy(OnMismatch::Swap)).decide();
    assert_is(&swap, D::Swap, &format!("{why} (policy: swap)"));
    let reuse = Case::one(&old, &new).policy(policy(OnMismatch::Reuse)).decide();
    assert_is(&reuse, D::Reuse, &format!("{why} (policy: reuse)"));
    let all =
        Case { policies: Policies { all: policy(OnMismatch::Swap), ..Policies::default() }, ..Case::one(&old, &new) };
    assert_eq!(all.decide().disposition(), D::Swap);
}

#[test]
fn a_policy_cannot_reuse_what_the_kernel_would_not_take() {
    let bigger = structure("stats", 24, &[("packets", 0, uint(8)), ("seen", 8, uint(8)), ("more", 16, uint(8))]);
    let (old, new) = (hash(&counters(8), 64), hash(&bigger, 64));
    let map = Case::one(&old, &new).policy(policy(OnMismatch::Reuse)).decide();
    assert_eq!(map.disposition(), D::Refuse);
    let expected = "; policy `reuse` is not possible: the value of `stats` grew from 16 to 24 bytes";
    assert!(map.why.ends_with(expected), "{}", map.why);
    let flags = MapDef { flags: 1, ..old.clone() };
    let map = Case::one(&old, &flags).policy(policy(OnMismatch::Reuse)).decide();
    assert_eq!(map.disposition(), D::Refuse, "{}", map.why);
}

#[test]
fn a_map_whose_layout_nothing_tells_is_refused_unless_a_policy_says_otherwise() {
    let def = hash(&counters(4), 64);
    let case = || Case { live: vec![untyped(&def, 7)], ..Case::one(&def, &def) };
    let why = "its layout is unknown: it has no BTF, and no maplock_meta names it";
    assert_is(&case().decide(), D::Refuse, why);
    assert_is(&case().policy(policy(OnMismatch::Swap)).decide(), D::Swap, &format!("{why} (policy: swap)"));
    assert_is(&case().policy(policy(OnMismatch::Reuse)).decide(), D::Reuse, &format!("{why} (policy: reuse)"));
    let unreadable = Observed { problem: Some("its BTF, id 5, can't be read: ENOMEM".to_owned()), ..untyped(&def, 7) };
    let map = Case { live: vec![unreadable], ..case() }.decide();
    assert_is(&map, D::Refuse, "its layout is unknown: its BTF, id 5, can't be read: ENOMEM");
}

/// A map whose BTF this process may not read.
fn denied(def: &MapDef, said: Option<Digest>) -> Observed {
    let problem = Some("reading its BTF, id 5, needs CAP_SYS_ADMIN".to_owned());
    Observed { problem, is_denied: true, said, ..untyped(def, 7) }
}

#[test]
fn a_map_that_may_not_be_read_is_what_its_generation_says() {
    let (old, new) = (hash(&counters(4), 64), hash(&counters(8), 64));
    let case =
        |def: &MapDef, said| Case { live: vec![denied(def, said)], ..Case::accepted(&old, &new, OnUpgrade::Swap) };
    assert_is(&case(&new, Some(new.digest())).decide(), D::Reuse, "same layout");
    let map = case(&old, Some(old.digest())).decide();
    assert_eq!((map.disposition(), from(&map)), (D::Swap, Some(old.digest())), "{}", map.why);
    let larger = MapDef { max_entries: 256, ..new.clone() };
    let grown = Case { live: vec![denied(&new, Some(new.digest()))], ..Case::one(&new, &larger) }.decide();
    assert_eq!(grown.disposition(), D::Grow, "{}", grown.why);
    // Of other sizes than the definition that is named.
    let other = MapDef { value_size: 24, ..new.clone() };
    let map = case(&other, Some(old.digest())).decide();
    assert_eq!(map.needs, Some("CAP_SYS_ADMIN"), "{}", map.why);
}

#[test]
fn a_map_that_may_not_be_read_is_refused_whatever_the_policies_are() {
    let def = hash(&counters(4), 64);
    let stranger = hash(&counters(8), 64).digest();
    for said in [None, Some(stranger)] {
        for answer in [OnMismatch::Refuse, OnMismatch::Swap, OnMismatch::Reuse] {
            let case = Case { live: vec![denied(&def, said)], ..Case::one(&def, &def) };
            for case in [
                case.policy(policy(answer)),
                Case { live: vec![denied(&def, said)], ..Case::one(&def, &def) }.kept(&def),
            ] {
                let map = case.decide();
                assert_is(&map, D::Refuse, "reading its BTF, id 5, needs CAP_SYS_ADMIN");
                assert_eq!(map.needs, Some("CAP_SYS_ADMIN"));
            }
        }
    }
}

#[test]
fn a_map_that_is_declared_by_sizes_is_verified_by_sizes() {
    let bare = MapDef { key: None, value: None, ..hash(&counters(4), 64) };
    let case = Case { live: vec![untyped(&bare, 7)], ..Case::one(&bare, &bare) };
    assert_is(&case.decide(), D::Reuse, "same sizes; its types are unknown");
}

#[test]
fn a_map_that_was_declared_by_sizes_follows_the_epoch_that_gave_it_types() {
    let (typed, bare) = (hash(&counters(4), 64), MapDef { key: None, value: None, ..hash(&counters(4), 64) });
    let observed = Observation { lock: lock([typed.clone()]), ..Observation::default() };
    let lock = epochs::update(&lock([bare]), &observed, &Levels::default()).expect("needs no decision");
    let case = Case { lock, live: vec![untyped(&typed, 7)], ..Case::default() };
    assert_eq!(case.decide().disposition(), D::Reuse);
}

#[test]
fn types_of_indexes_are_not_missed_where_the_kernel_keeps_none() {
    for map_type in [T::DEVMAP, T::XSKMAP, T::STACK_TRACE] {
        let def = def("stats", map_type, &uint(4), 8);
        let flags = def.effective_flags();
        let live = Observed { def: MapDef { flags, ..untyped(&def, 7).def }, ..untyped(&def, 7) };
        assert_is(&Case { live: vec![live], ..Case::one(&def, &def) }.decide(), D::Reuse, "same layout");
    }
}

#[test]
fn a_larger_map_than_asked_is_used_as_it_is_unless_the_policy_says_otherwise() {
    let (old, new) = (hash(&counters(4), 4096), hash(&counters(4), 64));
    let why = "holds up to 4096 entries, 64 asked";
    let kept = Case::one(&old, &new).decide();
    assert_is(&kept, D::Reuse, "same layout; max_entries stays at 4096: 64 asked");
    assert_eq!(asked(&kept), 4096);
    assert_is(&Case::one(&old, &new).policy(policy(OnMismatch::Refuse)).decide(), D::Refuse, why);
    assert_is(
        &Case::one(&old, &new).policy(policy(OnMismatch::Swap)).decide(),
        D::Swap,
        &format!("{why} (policy: swap)"),
    );
}

#[test]
fn an_accepted_smaller_capacity_is_refused_where_the_entries_do_not_fit() {
    let (old, new) = (hash(&counters(4), 64), hash(&counters(4), 16));
    let mut case = Case::accepted(&old, &new, OnUpgrade::Migrate);
    assert_eq!(case.decide().disposition(), D::Migrate);
    case.live[0].entries = Some(17);
    assert_is(&case.decide(), D::Refuse, "17 entries don't fit into 16");
}

#[test]
fn several_releases_in_one_step_follow_their_epochs() {
    let named = |name: &str| structure("stats", 16, &[(name, 0, uint(8)), ("seen", 8, uint(8))]);
    let releases =
        [hash(&counters(4), 64), hash(&counters(8), 64), hash(&named("frames"), 64), hash(&named("cells"), 64)];
    let mut lock = lock([releases[0].clone()]);
    for new in &releases[1..] {
        lock = accept(&lock, new, OnUpgrade::Swap);
    }
    for old in &releases[..3] {
        let case = Case { lock: lock.clone(), live: vec![pinned(old, 7, 12)], ..Case::default() };
        let map = case.decide();
        assert_eq!(map.disposition(), D::Swap, "{}", map.why);
        assert_eq!(from(&map), Some(old.digest()));
    }
    let stranger = hash(&named("other"), 64);
    let case = Case { lock, live: vec![pinned(&stranger, 7, 12)], ..Case::default() };
    assert_eq!(case.decide().disposition(), D::Refuse);
}

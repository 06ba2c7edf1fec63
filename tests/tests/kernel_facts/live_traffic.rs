//! Facts 31 to 34: a new release takes the counts over while both count. The interleavings that a busy machine produces are
//! made here one step at a time, so that each test says which one it is about.

use std::net::UdpSocket;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use maplock::internals::sys::{Link, Map, Mmap, NewLink, NewMap, Prog, wait_for_running_programs};
use maplock::layout::map::MapType;
use maplock_tests::kernel::Cgroup;
use maplock_tests::toolchain;

use super::support::{Loaded, array, attach_type, compile, cpus, key, keys, number, on_cpu, stay_on};

const BPF_NOEXIST: u64 = 1;

fn attach(cgroup: &Cgroup, prog: &Prog) -> Link {
    let target = cgroup.fd().as_raw_fd().cast_unsigned();
    let attach_type = attach_type::CGROUP_INET_SOCK_CREATE;
    Link::create(&NewLink { prog: prog.as_fd(), target, attach_type, flags: 0 }).unwrap()
}

/// Switches a link while the old program runs, and lets it end only after `wait` was called; true where `wait` came back
/// after that. `None` where there is no clang. The program has a CPU to itself, on which nothing else would get to run.
fn comes_back_after_the_old_program(wait: impl FnOnce() + Send) -> Option<bool> {
    // The old program runs until it is told to end.
    let source = "struct state { __u64 started, end, done; };
        MAP(states, BPF_MAP_TYPE_ARRAY, __u32, struct state, 1, BPF_F_MMAPABLE);
        static long look(__u32 at, __u64 *waits) {
            __u32 key = 0;
            struct state *state = bpf_map_lookup_elem(&states, &key);
            if (state && !*(volatile __u64 *)&state->end) return 0;
            *waits = 0;
            return 1;
        }
        static long wait(__u32 at, __u64 *waits) { bpf_loop(1 << 20, look, waits, 0); return !*waits; }
        SEC(\"cgroup/sock_create\") int old(void *context) {
            __u32 key = 0;
            __u64 waits = 1;
            struct state *state = bpf_map_lookup_elem(&states, &key);
            if (!state) return 1;
            state->started = 1;
            bpf_loop(10000, wait, &waits, 0);
            state->done = 1;
            return 1;
        }
        SEC(\"cgroup/sock_create\") int new(void *context) { return 1; }";
    let loaded = Loaded::from_source(source)?;
    let states = loaded.map("states");
    let word = |at: usize| {
        let mut bytes = [0; 8];
        Mmap::new(&states).unwrap().read(at * 8, &mut bytes);
        u64::from_ne_bytes(bytes)
    };
    let (started, done) = (|| word(0), || word(2));
    let cgroup = Cgroup::threaded();
    let link = attach(&cgroup, &loaded.prog("old"));
    let new = loaded.prog("new");
    let called = AtomicBool::new(false);
    let (called, done) = (&called, &done);
    thread::scope(|scope| {
        scope.spawn(|| {
            cgroup.run(|| {
                stay_on(cpus()[1]);
                UdpSocket::bind("127.0.0.1:0").unwrap()
            })
        });
        while started() == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        link.update(new.as_fd(), None).unwrap();
        assert_eq!(link.info().unwrap().prog_id, new.info().unwrap().id);
        assert_eq!(done(), 0, "the old program still runs, and writes what it likes");

        let waiter = scope.spawn(move || {
            called.store(true, Ordering::Relaxed);
            wait();
            done() == 1
        });
        while !called.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(1));
        }
        // If it did not wait, it would be back before this is over.
        thread::sleep(Duration::from_millis(50));
        Mmap::new(&states).unwrap().write(8, &1_u64.to_ne_bytes());
        Some(waiter.join().unwrap())
    })
}

/// On one CPU nothing runs beside the program, and membarrier(2) does not wait.
fn has_two_cpus() -> bool {
    let has = cpus().len() > 1;
    if !has {
        toolchain::skip("two CPUs");
    }
    has
}

#[test]
fn fact_31_an_update_of_a_link_does_not_wait_and_membarrier_does() {
    needs_kernel!();
    if has_two_cpus() {
        let waited = on_cpu(cpus()[0], || comes_back_after_the_old_program(|| wait_for_running_programs().unwrap()));
        assert_ne!(waited, Some(false));
    }
}

#[test]
fn fact_31_an_update_of_a_map_of_maps_waits_too() {
    needs_kernel!();
    if has_two_cpus() {
        let inner = array();
        let new = NewMap { inner: Some(inner.as_fd()), ..NewMap::new(MapType::ARRAY_OF_MAPS, 4, 4, 1) };
        let outer = Map::create(&new).unwrap();
        let value = inner.as_fd().as_raw_fd().to_ne_bytes();
        let update = || outer.update(&key(0), &value, 0).unwrap();
        assert_ne!(on_cpu(cpus()[0], || comes_back_after_the_old_program(update)), Some(false));
    }
}

/// Two releases, each with a map of counts, and what an upgrade does in the kernel.
const RELEASES: &str = "
MAP(old, BPF_MAP_TYPE_HASH, __u32, __u64, 1024, 0);
MAP(new, BPF_MAP_TYPE_HASH, __u32, __u64, 1024, 0);
static void add(void *map, __u32 *key, __u64 amount) {
	__u64 zero = 0, *count = bpf_map_lookup_elem(map, key);
	if (!count) {
		bpf_map_update_elem(map, key, &zero, BPF_NOEXIST);
		count = bpf_map_lookup_elem(map, key);
	}
	if (count) __sync_fetch_and_add(count, amount);
}
/* Context: a key, and an amount. */
SEC(\"syscall\") int in_old(__u64 *context) { __u32 key = context[0]; add(&old, &key, context[1]); return 0; }
SEC(\"syscall\") int in_new(__u64 *context) { __u32 key = context[0]; add(&new, &key, context[1]); return 0; }

/* Takes the counts of up to so many entries out of the old map and adds them to the new one. */
static long drain_entry(void *map, __u32 *key, __u64 *value, __u64 *left) {
	if (*left == 0) return 1;
	*left -= 1;
	add(&new, key, __sync_lock_test_and_set(value, 0));
	return 0;
}
SEC(\"syscall\") int drain(__u64 *context) {
	__u64 left = context[0];
	bpf_for_each_map_elem(&old, drain_entry, &left, 0);
	return 0;
}

SEC(\"cgroup/sock_create\") int old_program(void *context) { __u32 key = 0; add(&old, &key, 1); return 1; }
SEC(\"cgroup/sock_create\") int new_program(void *context) { __u32 key = 0; add(&new, &key, 1); return 1; }
";

struct Releases {
    loaded: Loaded,
    old: Map,
    new: Map,
}

const KEY: u32 = 7;

impl Releases {
    /// With 100 counted by the old one.
    fn start() -> Option<Self> {
        static OBJECT: OnceLock<Option<Vec<u8>>> = OnceLock::new();
        let loaded = Loaded::from_object(OBJECT.get_or_init(|| compile(RELEASES)).as_ref()?);
        let (old, new) = (loaded.map("old"), loaded.map("new"));
        let releases = Self { loaded, old, new };
        (0..100).for_each(|_| releases.old_counts());
        Some(releases)
    }

    /// The old release's program counts one.
    fn old_counts(&self) {
        self.loaded.call("in_old", [KEY.into(), 1]);
    }

    fn new_counts(&self) {
        self.loaded.call("in_new", [KEY.into(), 1]);
    }

    /// Adds to the new map in the kernel, atomically.
    fn add(&self, of: u32, amount: u64) {
        self.loaded.call("in_new", [of.into(), amount]);
    }

    fn old_value(&self) -> u64 {
        number(&self.old, KEY).unwrap()
    }

    fn new_value(&self) -> u64 {
        number(&self.new, KEY).unwrap_or(0)
    }

    fn write_new(&self, value: u64) {
        self.new.update(&key(KEY), &value.to_ne_bytes(), 0).unwrap();
    }
}

#[test]
fn fact_32_copy_then_switch_loses_what_is_counted_between() {
    needs_kernel!();
    let Some(releases) = Releases::start() else { return };
    releases.write_new(releases.old_value());
    releases.old_counts();
    // The links switch.
    releases.new_counts();
    assert_eq!(releases.new_value(), 101, "of 102");
}

#[test]
fn fact_32_copying_again_overwrites_what_the_new_programs_counted() {
    needs_kernel!();
    let Some(releases) = Releases::start() else { return };
    let first = releases.old_value();
    releases.write_new(first);
    releases.old_counts();
    // The links switch.
    releases.new_counts();
    assert_ne!(releases.old_value(), first, "so it is copied again");
    releases.write_new(releases.old_value());
    assert_eq!(releases.new_value(), 101, "of 102");
}

#[test]
fn fact_32_programs_that_write_both_maps_race_with_the_copy() {
    needs_kernel!();
    for flags in [0, BPF_NOEXIST] {
        let Some(releases) = Releases::start() else { return };
        let copied = releases.old_value();
        releases.old_counts();
        releases.new_counts();
        _ = releases.new.update(&key(KEY), &copied.to_ne_bytes(), flags);
        let expected = if flags == 0 { 100 } else { 1 };
        assert_eq!((releases.old_value(), releases.new_value()), (101, expected));
    }
}

#[test]
fn fact_32_a_sum_made_in_user_space_loses() {
    needs_kernel!();
    let Some(releases) = Releases::start() else { return };
    // The links have switched, and the old map is quiet.
    releases.new_counts();
    let sum = releases.old_value() + releases.new_value();
    releases.new_counts();
    releases.write_new(sum);
    assert_eq!(releases.new_value(), 101, "of 102");
}

#[test]
fn fact_32_the_difference_added_in_the_kernel_loses_nothing() {
    needs_kernel!();
    let Some(releases) = Releases::start() else { return };
    // Whatever may count at a step, does.
    releases.old_counts();
    let snapshot = releases.old_value();
    releases.old_counts();
    releases.add(KEY, snapshot);
    releases.old_counts();
    // The links switch: both count, the old one until it has returned.
    releases.new_counts();
    releases.old_counts();
    // The grace period is over: the old one is quiet.
    releases.new_counts();
    let difference = releases.old_value() - snapshot;
    releases.new_counts();
    releases.add(KEY, difference);
    releases.new_counts();
    assert_eq!(releases.new_value(), 100 + 4 + 4);
}

#[test]
fn fact_32_without_a_grace_period_a_slow_program_is_not_counted() {
    needs_kernel!();
    let Some(releases) = Releases::start() else { return };
    let snapshot = releases.old_value();
    releases.add(KEY, snapshot);
    // The links switch, and the old map is swept at once.
    releases.add(KEY, releases.old_value() - snapshot);
    releases.old_counts();
    assert_eq!(releases.new_value(), 100, "of 101");
}

#[test]
fn fact_32_zero_add_loses_nothing_and_dips() {
    needs_kernel!();
    let Some(releases) = Releases::start() else { return };
    releases.add(KEY, 0);
    releases.old_counts();
    // The links switch.
    releases.new_counts();
    assert_eq!(releases.new_value(), 1, "what a reader sees until the second pass");
    releases.old_counts();
    // The grace period is over.
    releases.add(KEY, releases.old_value());
    releases.new_counts();
    assert_eq!(releases.new_value(), 104);
}

#[test]
fn fact_33_a_deletion_between_the_passes_is_replayed() {
    needs_kernel!();
    let Some(releases) = Releases::start() else { return };
    let gone = KEY + 1;
    releases.loaded.call("in_old", [gone.into(), 5]);
    let snapshot = keys(&releases.old);
    assert_eq!(snapshot.len(), 2);
    for copied in &snapshot {
        releases.new.update(copied, &releases.old.lookup(copied).unwrap().unwrap(), 0).unwrap();
    }
    assert!(releases.old.delete(&key(gone)).unwrap());
    // A second pass over the old map can't see what is not there any more.
    let second = keys(&releases.old);
    assert!(!second.contains(&key(gone).to_vec()));
    assert_eq!(number(&releases.new, gone), Some(5), "it came back to life");
    // The snapshot can.
    for copied in snapshot.iter().filter(|copied| !second.contains(copied)) {
        assert!(releases.new.delete(copied).unwrap());
    }
    assert_eq!(keys(&releases.new), [key(KEY)]);
}

/// What is to be in the new map, of a member whose changes don't add up.
fn three_way(snapshot: u64, old: u64, new: u64) -> u64 {
    if new == snapshot { old } else { new }
}

#[test]
fn fact_33_what_does_not_add_up_needs_three_values() {
    needs_kernel!();
    // A state, of a key that both may write: only with the snapshot is it known who did.
    for (old_writes, new_writes, expected) in
        [(None, None, 1), (Some(2), None, 2), (None, Some(3), 3), (Some(2), Some(3), 3)]
    {
        let Some(releases) = Releases::start() else { return };
        let put = |map: &Map, value: u64| map.update(&key(KEY), &value.to_ne_bytes(), 0).unwrap();
        put(&releases.old, 1);
        let snapshot = releases.old_value();
        put(&releases.new, snapshot);
        if let Some(value) = old_writes {
            put(&releases.old, value);
        }
        if let Some(value) = new_writes {
            put(&releases.new, value);
        }
        let settled = three_way(snapshot, releases.old_value(), releases.new_value());
        assert_eq!(settled, expected, "{old_writes:?} {new_writes:?}");
        // What two values would say: the difference is no state at all.
        if old_writes.is_some() && new_writes.is_some() {
            releases.add(KEY, releases.old_value() - snapshot);
            assert_eq!(releases.new_value(), 4);
        }
    }
}

#[test]
fn fact_34_draining_can_be_killed_and_run_again() {
    needs_kernel!();
    let Some(releases) = Releases::start() else { return };
    for of in 0..50 {
        releases.loaded.call("in_old", [1000 + of, of]);
    }
    let total = |map: &Map| -> u64 {
        keys(map).iter().map(|key| u64::from_ne_bytes(map.lookup(key).unwrap().unwrap().try_into().unwrap())).sum()
    };
    let before = total(&releases.old);
    // Killed after 3 entries, and after 10; each run starts again. The new release counts between them.
    for (run, entries) in [3, 10, 51, 51].into_iter().enumerate() {
        releases.loaded.call("drain", [entries]);
        releases.new_counts();
        assert_eq!(total(&releases.old) + total(&releases.new), before + run as u64 + 1);
        assert_eq!(total(&releases.old) == 0, run >= 2, "run {run}");
    }
}

#[test]
fn fact_34_a_difference_applied_twice_counts_twice() {
    needs_kernel!();
    let Some(releases) = Releases::start() else { return };
    let snapshot = releases.old_value();
    releases.add(KEY, snapshot);
    releases.old_counts();
    for _ in 0..2 {
        releases.add(KEY, releases.old_value() - snapshot);
    }
    assert_eq!(releases.new_value(), 102, "of 101");
}

#[test]
fn fact_34_links_tell_which_release_runs() {
    needs_kernel!();
    let Some(releases) = Releases::start() else { return };
    let (old, new) = (releases.loaded.prog("old_program"), releases.loaded.prog("new_program"));
    let cgroups = [Cgroup::threaded(), Cgroup::threaded()];
    let links = cgroups.each_ref().map(|cgroup| attach(cgroup, &old));
    let map_of = |link: &Link| {
        let prog = Prog::from_id(link.info().unwrap().prog_id).unwrap();
        assert_eq!(prog.info().unwrap().map_ids.len(), 1);
        prog.info().unwrap().map_ids[0]
    };
    let (old_id, new_id) = (releases.old.info().id, releases.new.info().id);
    assert_eq!(links.each_ref().map(map_of), [old_id, old_id]);
    links[0].update(new.as_fd(), Some(old.as_fd())).unwrap();
    assert_eq!(links.each_ref().map(map_of), [new_id, old_id], "half way: neither release is alone");
    for cgroup in &cgroups {
        cgroup.run(|| drop(UdpSocket::bind("127.0.0.1:0").unwrap()));
    }
    assert_eq!((number(&releases.old, 0), number(&releases.new, 0)), (Some(1), Some(1)), "and both count");
    links[1].update(new.as_fd(), Some(old.as_fd())).unwrap();
    assert_eq!(links.each_ref().map(map_of), [new_id, new_id]);
}

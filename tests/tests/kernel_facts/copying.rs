//! Facts 21 to 27, 29 and 30: entries on their way from one map to another.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType as LibbpfMapType};
use maplock::internals::sys::bpffs::unlink;
use maplock::internals::sys::{Batch, Link, Map, Mmap, Prog, possible_cpus};
use maplock::layout::map::MapType as T;
use maplock_tests::kernel::{self, Bpffs, DebugFs};
use maplock_tests::toolchain;

use super::support::{
    Loaded, attach_type, call, cpus, errno, key, keys, map, map_with_flags, number, on_cpu, prog_type, returns, stay_on,
};

const BPF_NOEXIST: u64 = 1;
const BPF_F_NO_PREALLOC: u32 = 1;
const BPF_F_NO_COMMON_LRU: u32 = 1 << 1;

/// Fills a map of u32 keys and u64 values with `entries` entries, whose value is thrice the key.
fn fill(map: &Map, entries: u32) {
    for first in (0..entries).step_by(4096) {
        let range = first..entries.min(first + 4096);
        let keys: Vec<u8> = range.clone().flat_map(u32::to_ne_bytes).collect();
        let values: Vec<u8> = range.clone().flat_map(|key| (u64::from(key) * 3).to_ne_bytes()).collect();
        let (written, result) = map.update_batch(&keys, &values, range.len(), 0);
        result.unwrap();
        assert_eq!(written, range.len());
    }
}

/// All entries of a map, read in batches of `size`; with how many batches were short before the last one.
fn read_all(map: &Map, size: usize) -> (Vec<Vec<u8>>, usize) {
    let (mut batch, mut keys, mut short) = (Batch::default(), Vec::new(), 0);
    while !batch.at_end {
        map.lookup_batch(&mut batch, size).unwrap();
        short += usize::from(batch.count < size && !batch.at_end);
        let key_size = map.info().key_size as usize;
        keys.extend(batch.keys[..batch.count * key_size].chunks(key_size).map(<[u8]>::to_vec));
    }
    (keys, short)
}

#[test]
fn fact_21_a_shuttle_converts_on_the_way() {
    needs_kernel!();
    // Old values go out of the kernel through an array that is mapped here, are converted in place, and go into the new map.
    let source = "struct entry { __u32 key; __u32 spare; __u64 value; };
        struct new_value { __u64 packets; __u64 bytes; };
        MAP(old, BPF_MAP_TYPE_HASH, __u32, __u32, 1000, 0);
        MAP(new, BPF_MAP_TYPE_HASH, __u32, struct new_value, 1000, 0);
        MAP(shuttle, BPF_MAP_TYPE_ARRAY, __u32, struct entry, 1000, BPF_F_MMAPABLE);
        static long put(void *map, __u32 *key, __u32 *value, __u64 *count) {
            __u32 at = *count;
            struct entry *entry = bpf_map_lookup_elem(&shuttle, &at);
            if (!entry) return 1;
            entry->key = *key;
            entry->value = *value;
            *count += 1;
            return 0;
        }
        SEC(\"syscall\") int out(__u64 *context) {
            __u64 count = 0;
            bpf_for_each_map_elem(&old, put, &count, 0);
            *context = count;
            return 0;
        }
        static long take(__u32 at, void *unused) {
            struct entry *entry = bpf_map_lookup_elem(&shuttle, &at);
            if (!entry) return 1;
            __u32 key = entry->key;
            struct new_value value = { entry->value >> 32, (__u32)entry->value };
            bpf_map_update_elem(&new, &key, &value, BPF_NOEXIST);
            return 0;
        }
        SEC(\"syscall\") int in(__u64 *context) { bpf_loop(*context, take, 0, 0); return 0; }";
    let Some(loaded) = Loaded::from_source(source) else { return };
    let (old, new) = (loaded.map("old"), loaded.map("new"));
    for of in 0..1000_u32 {
        old.update(&key(of), &(of + 7).to_ne_bytes(), 0).unwrap();
    }
    let [count] = loaded.call("out", [0]);
    assert_eq!(count, 1000);
    let mut memory = Mmap::new(&loaded.map("shuttle")).unwrap();
    for at in 0..1000 {
        let mut value = [0; 8];
        memory.read(at * 16 + 8, &mut value);
        let packets = u64::from_ne_bytes(value);
        memory.write(at * 16 + 8, &((packets << 32) | (packets * 2)).to_ne_bytes());
    }
    loaded.call("in", [count]);
    assert_eq!(keys(&new).len(), 1000);
    for of in 0..1000 {
        let value = new.lookup(&key(of)).unwrap().unwrap();
        let expected = [u64::from(of) + 7, (u64::from(of) + 7) * 2];
        assert_eq!(value, expected.map(u64::to_ne_bytes).concat(), "key {of}");
    }
}

#[test]
fn fact_22_a_short_batch_is_not_the_end() {
    needs_kernel!();
    let map = map(T::HASH, 4, 8, 100_000);
    fill(&map, 100_000);
    let (keys, short) = read_all(&map, 4096);
    assert!(short > 0, "none was short");
    assert_eq!(keys.len(), 100_000);
    assert_eq!(keys.into_iter().collect::<BTreeSet<_>>().len(), 100_000);

    // libbpf-rs 0.27 takes a short one for the end, and reports no error.
    let handle = MapHandle::from_map_id(map.info().id).unwrap();
    let seen = handle.lookup_batch(4096, MapFlags::ANY, MapFlags::ANY).unwrap().count();
    assert!(seen < 100_000, "{seen}");
    assert_eq!(LibbpfMapType::Hash, handle.map_type());
}

#[test]
fn fact_22_a_bucket_larger_than_the_batch_makes_the_batch_larger() {
    needs_kernel!();
    let map = map(T::HASH, 4, 8, 100_000);
    fill(&map, 100_000);
    // libbpf-rs passes the kernel's answer on.
    let handle = MapHandle::from_map_id(map.info().id).unwrap();
    let seen = handle.lookup_batch(1, MapFlags::ANY, MapFlags::ANY).unwrap().count();
    assert!(seen < 100_000, "{seen}");
    let mut batch = Batch::default();
    let mut largest = 0;
    let mut count = 0;
    while !batch.at_end {
        map.lookup_batch(&mut batch, 1).unwrap();
        largest = largest.max(batch.keys.len() / 4);
        count += batch.count;
    }
    assert!(largest > 1, "no bucket had two entries");
    assert_eq!(count, 100_000);
}

#[test]
fn fact_23_an_iterator_says_eagain_after_each_million() {
    needs_kernel!();
    let source = "MAP(seen, BPF_MAP_TYPE_ARRAY, __u32, __u64, 1, 0);
        SEC(\"iter/bpf_map_elem\") int visit(void *context) {
            __u32 key = 0;
            __u64 *count = bpf_map_lookup_elem(&seen, &key);
            if (count) __sync_fetch_and_add(count, 1);
            return 0;
        }";
    let Some(loaded) = Loaded::from_source(source) else { return };
    let large = map(T::ARRAY, 4, 8, 2_500_000);
    let link = Link::iterate_map(loaded.prog("visit").as_fd(), large.as_fd()).unwrap();
    let mut iterator = fs::File::from(link.open_iterator().unwrap());
    let seen = loaded.map("seen");
    let mut read = || iterator.read(&mut [0; 4096]);
    assert_eq!(errno(read()), libc::EAGAIN);
    assert_eq!(number(&seen, 0), Some(1_000_000), "a loop that stops here has copied these");
    assert_eq!(errno(read()), libc::EAGAIN);
    assert_eq!(number(&seen, 0), Some(2_000_000));
    assert_eq!(read().unwrap(), 0);
    // The program is called once more, without an entry, at the end.
    assert_eq!(number(&seen, 0), Some(2_500_001));
}

#[test]
fn fact_24_the_key_after_a_deleted_one_is_the_first() {
    needs_kernel!();
    let map = map(T::HASH, 4, 8, 100);
    fill(&map, 100);
    let order = keys(&map);
    assert_eq!(map.next_key(Some(&order[49])).unwrap().as_ref(), Some(&order[50]));
    assert!(map.delete(&order[49]).unwrap());
    assert_eq!(map.next_key(Some(&order[49])).unwrap().as_ref(), Some(&order[0]));

    // A loop that deletes what it has just read, by keys alone, is back at the start each time: here that is what ends it.
    let (mut last, mut steps) = (None::<Vec<u8>>, 0);
    while let Some(next) = map.next_key(last.as_deref()).unwrap() {
        map.delete(&next).unwrap();
        (last, steps) = (Some(next), steps + 1);
    }
    assert_eq!(steps, 99);
    assert_eq!(keys(&map).len(), 0);
}

#[test]
fn fact_25_a_run_in_the_kernel_is_one_stretch_and_chunks_are_not() {
    needs_kernel!();
    let source = "MAP(large, BPF_MAP_TYPE_HASH, __u32, __u64, 300000, 0);
        MAP(progress, BPF_MAP_TYPE_ARRAY, __u32, __u64, 1, BPF_F_MMAPABLE);
        static void step(void) {
            __u32 key = 0;
            __u64 *count = bpf_map_lookup_elem(&progress, &key);
            if (count) *(volatile __u64 *)count += 1;
        }
        static long visit(void *map, __u32 *key, __u64 *value, void *context) { step(); return 0; }
        SEC(\"syscall\") int all(void *context) { bpf_for_each_map_elem(&large, visit, 0, 0); return 0; }
        static long chunk_step(__u32 at, void *context) { step(); return 0; }
        SEC(\"syscall\") int chunk(void *context) { bpf_loop(4096, chunk_step, 0, 0); return 0; }";
    let Some(loaded) = Loaded::from_source(source) else { return };
    fill(&loaded.map("large"), 300_000);
    let progress = loaded.map("progress");
    // How often another task on the same CPU got to see the work half done.
    let seen_half_done = |prog: Prog, runs: u64, total: u64| {
        progress.update(&key(0), &[0; 8], 0).unwrap();
        let stop = AtomicBool::new(false);
        let seen = thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                stay_on(cpus()[0]);
                let memory = Mmap::new(&progress).unwrap();
                let mut seen = 0;
                while !stop.load(Ordering::Relaxed) {
                    let mut done = [0; 8];
                    memory.read(0, &mut done);
                    seen += u32::from((1..total).contains(&u64::from_ne_bytes(done)));
                    thread::sleep(Duration::from_micros(100));
                }
                seen
            });
            scope.spawn(|| {
                stay_on(cpus()[0]);
                for _ in 0..runs {
                    call(&prog, [0]);
                }
                stop.store(true, Ordering::Relaxed);
            });
            watcher.join().unwrap()
        });
        assert_eq!(number(&progress, 0), Some(total));
        seen
    };
    let chunks = u64::from(kernel::times(2_000, 200));
    assert!(seen_half_done(loaded.prog("chunk"), chunks, chunks * 4096) > 0, "each chunk is an opportunity");
    let in_one = seen_half_done(loaded.prog("all"), 1, 300_000);
    // With preemption the kernel may interrupt a program; without it, as servers have it, it does not.
    let preemption = DebugFs::mount().read("sched/preempt");
    if preemption.contains("(none)") || preemption.contains("(voluntary)") {
        assert_eq!(in_one, 0);
    }
}

/// Copies the keys 0..entries into a map: one from each CPU, then the others from the first.
fn insert_from_all_cpus(map: &Map, entries: u32) {
    let cpus = cpus();
    for of in 0..entries {
        if of as usize <= cpus.len() {
            stay_on(cpus[of as usize % cpus.len()]);
        }
        map.update(&key(of), &[1; 8], 0).unwrap();
    }
}

#[test]
fn fact_26_lru_loses_entries_unless_there_is_slack() {
    needs_kernel!();
    if cpus().len() < 2 {
        return toolchain::skip("two CPUs");
    }
    let slack = 128 * possible_cpus().unwrap();
    let kept = |capacity| {
        on_cpu(cpus()[0], || {
            let map = map(T::LRU_HASH, 4, 8, capacity);
            insert_from_all_cpus(&map, 10_000);
            keys(&map).len()
        })
    };
    assert!(kept(10_000) < 10_000, "a map of just that capacity");
    assert_eq!(kept(10_000 + slack), 10_000);
}

#[test]
fn fact_26_a_list_per_cpu_serves_one_cpu_only() {
    needs_kernel!();
    let possible = possible_cpus().unwrap();
    let map = map_with_flags(T::LRU_HASH, 4, 8, 1000 * possible, BPF_F_NO_COMMON_LRU);
    on_cpu(cpus()[0], || (0..1000 * possible).for_each(|of| map.update(&key(of), &[1; 8], 0).unwrap()));
    assert_eq!(keys(&map).len(), 1000);
}

#[test]
fn fact_26_recency_is_lost_so_the_coldest_goes_first() {
    needs_kernel!();
    // What is inserted last stays longest, whatever it was in the old map.
    let map = map(T::LRU_HASH, 4, 8, 2048);
    on_cpu(cpus()[0], || (0..4096).for_each(|of| map.update(&key(of), &[1; 8], 0).unwrap()));
    assert!(map.lookup(&key(4095)).unwrap().is_some());
    assert!(map.lookup(&key(0)).unwrap().is_none());
}

#[test]
fn fact_27_per_cpu_values_are_rounded_up_and_of_all_possible_cpus() {
    needs_kernel!();
    let cpus = possible_cpus().unwrap() as usize;
    for (value_size, each) in [(4, 8), (8, 8), (12, 16)] {
        assert_eq!(map(T::PERCPU_ARRAY, 4, value_size, 1).value_bytes(), each * cpus);
        assert_eq!(map(T::PERCPU_HASH, 4, value_size, 1).value_bytes(), each * cpus);
        let plain = map(T::HASH, 4, value_size, 1);
        assert_eq!(plain.value_bytes(), value_size as usize);
    }
    let map = map(T::PERCPU_HASH, 4, 4, 8);
    let value: Vec<u8> = (1..=cpus as u32).flat_map(|cpu| [cpu.to_ne_bytes(), [0; 4]].concat()).collect();
    map.update(&key(1), &value, 0).unwrap();
    assert_eq!(map.lookup(&key(1)).unwrap().unwrap(), value);
    assert!(map.update(&key(1), &[0; 4], 0).is_err(), "a value of one CPU is too short");
}

#[test]
fn fact_27_a_callback_sees_its_own_cpu_only() {
    needs_kernel!();
    let source = "MAP(counts, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u64, 1, 0);
        static long visit(void *map, __u32 *key, __u64 *value, __u64 *sum) { *sum += *value; return 0; }
        SEC(\"syscall\") int own(__u64 *context) {
            __u64 sum = 0;
            bpf_for_each_map_elem(&counts, visit, &sum, 0);
            *context = sum;
            return 0;
        }
        SEC(\"syscall\") int of_cpu(__u64 *context) {
            __u32 key = 0;
            __u64 *value = bpf_map_lookup_percpu_elem(&counts, &key, *context);
            *context = value ? *value : -1;
            return 0;
        }";
    let Some(loaded) = Loaded::from_source(source) else { return };
    let possible = u64::from(possible_cpus().unwrap());
    let value: Vec<u8> = (0..possible).flat_map(|cpu| (100 + cpu).to_ne_bytes()).collect();
    loaded.map("counts").update(&key(0), &value, 0).unwrap();
    let (own, of_cpu) = (loaded.prog("own"), loaded.prog("of_cpu"));
    for cpu in cpus() {
        assert_eq!(on_cpu(cpu, || call(&own, [0])), [100 + cpu as u64]);
    }
    for cpu in 0..possible {
        assert_eq!(call(&of_cpu, [cpu]), [100 + cpu]);
    }
}

#[test]
fn fact_29_noexist_protects_a_newer_entry_but_not_in_an_array() {
    needs_kernel!();
    let lpm_key = [8_u32.to_ne_bytes(), [10, 0, 0, 0]].concat();
    for (map, key) in [
        (map(T::HASH, 4, 8, 8), vec![1, 0, 0, 0]),
        (map(T::LRU_HASH, 4, 8, 8), vec![1, 0, 0, 0]),
        (map_with_flags(T::LPM_TRIE, 8, 8, 8, BPF_F_NO_PREALLOC), lpm_key),
    ] {
        map.update(&key, &[2; 8], BPF_NOEXIST).unwrap();
        assert_eq!(errno(map.update(&key, &[1; 8], BPF_NOEXIST)), libc::EEXIST);
        assert_eq!(map.lookup(&key).unwrap().unwrap(), [2; 8], "{:?}", map.info().map_type);
    }
    for map_type in [T::ARRAY, T::PERCPU_ARRAY] {
        let map = map(map_type, 4, 8, 8);
        let value = vec![1; map.value_bytes()];
        assert_eq!(errno(map.update(&key(1), &value, BPF_NOEXIST)), libc::EEXIST, "never written, and there");
    }
}

#[test]
fn fact_29_a_batch_can_not_protect_what_is_newer() {
    needs_kernel!();
    for map_type in [T::HASH, T::LRU_HASH, T::ARRAY] {
        let map = map(map_type, 4, 8, 8);
        let (written, result) = map.update_batch(&key(1), &[1; 8], 1, BPF_NOEXIST);
        assert_eq!((written, errno(result)), (0, libc::EINVAL), "{map_type:?}");
    }
}

#[test]
fn fact_29_dirty_padding_is_another_key() {
    needs_kernel!();
    // As of `struct { u8 protocol; u16 port; }`: a byte that no member owns.
    let map = map(T::HASH, 4, 8, 8);
    map.update(&[6, 0, 80, 0], &[1; 8], 0).unwrap();
    assert_eq!(map.lookup(&[6, 0xff, 80, 0]).unwrap(), None);
    map.update(&[6, 0xff, 80, 0], &[2; 8], BPF_NOEXIST).unwrap();
    assert_eq!(keys(&map).len(), 2);
}

#[test]
fn fact_30_a_program_array_is_emptied_when_its_last_name_goes() {
    needs_kernel!();
    let source = "MAP(jumps, BPF_MAP_TYPE_PROG_ARRAY, __u32, __u32, 2, 0);
        static long (*const bpf_tail_call)(void *context, void *map, __u32 at) = (void *)12;
        SEC(\"xdp\") int root(void *context) { bpf_tail_call(context, &jumps, 1); return 1; }";
    let Some(loaded) = Loaded::from_source(source) else { return };
    let root = loaded.prog("root");
    let bpffs = Bpffs::mount();
    let pin = bpffs.path().join("jumps");
    let leaf = returns(prog_type::XDP, attach_type::XDP, 2);
    let id = {
        let jumps = loaded.map("jumps");
        let put = |prog: &Prog| jumps.update(&key(1), &prog.as_fd().as_raw_fd().to_ne_bytes(), 0);
        // The programs of one array agree in their attach type too.
        match put(&returns(prog_type::XDP, 0, 2)) {
            Ok(()) => toolchain::skip("a comparison of attach types in a prog_array (Linux 6.18)"),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EINVAL)),
        }
        put(&leaf).unwrap();
        jumps.pin(&pin).unwrap();
        jumps.info().id
    };
    drop(loaded);
    let run = || root.run(&mut [], &[0; 64]).unwrap();
    assert_eq!(run(), 2, "the pin holds it");
    unlink(&pin).unwrap();
    assert_eq!(root.info().unwrap().map_ids, [id], "the program holds the map");
    // The kernel clears it in its own time.
    while run() != 1 {
        thread::yield_now();
    }
}

#[test]
fn fact_30_a_hash_is_made_whole_at_creation() {
    needs_kernel!();
    // Why creation takes its time, and belongs before the switch: all entries are allocated then, of each CPU.
    let preallocated = map(T::PERCPU_HASH, 4, 64, 20_000).memory().unwrap();
    let on_demand = map_with_flags(T::PERCPU_HASH, 4, 64, 20_000, BPF_F_NO_PREALLOC).memory().unwrap();
    let values = 64 * 20_000 * u64::from(possible_cpus().unwrap());
    assert!(preallocated >= values, "{preallocated}");
    let empty = map(T::PERCPU_HASH, 4, 64, 20_000);
    assert_eq!(keys(&empty).len(), 0);
    assert!(on_demand > 0);
}

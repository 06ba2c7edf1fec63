//! A ring buffer, with a program that writes to it.

use std::time::{Duration, Instant};
use std::{fs, thread};

use libbpf_rs::{MapCore as _, ObjectBuilder};
use maplock::handles::{Consumer, Handle as _, RingBuf, Verified};
use maplock::internals::sys::Prog;
use maplock::layout::MapDef;
use maplock::layout::map::MapType;
use maplock_tests::kernel;
use maplock_tests::toolchain::{Clang, root, run};
use std::os::fd::AsFd as _;
use zerocopy::FromBytes;

use crate::support::spec_of;

const SOURCE: &str = r#"
#include "bpf_min.h"

static void *(*const bpf_ringbuf_reserve)(void *ring, __u64 size, __u64 flags) = (void *)131;
static void (*const bpf_ringbuf_submit)(void *record, __u64 flags) = (void *)132;
static void (*const bpf_ringbuf_discard)(void *record, __u64 flags) = (void *)133;
static long (*const bpf_ringbuf_output)(void *ring, void *data, __u64 size, __u64 flags) = (void *)130;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

struct event {
	__u64 number;
	__u32 left;
	__u32 right;
};

/* Submits one record; an odd number's is discarded. Says in `ok` whether there was room. */
struct order {
	__u64 number;
	__u64 ok;
};

SEC("syscall") int submits(struct order *order)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	order->ok = event != 0;
	if (!event)
		return 0;
	event->number = order->number;
	event->left = 1;
	event->right = 2;
	if (order->number & 1)
		bpf_ringbuf_discard(event, 0);
	else
		bpf_ringbuf_submit(event, 0);
	return 0;
}

/* Five bytes. */
SEC("syscall") int says(struct order *order)
{
	char text[5] = "hello";
	order->ok = bpf_ringbuf_output(&events, text, sizeof(text), 0) == 0;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
"#;

#[derive(Debug, PartialEq, Eq, FromBytes)]
#[repr(C)]
struct Event {
    number: u64,
    left: u32,
    right: u32,
}

fn event(number: u64) -> Event {
    Event { number, left: 1, right: 2 }
}

struct Fixture {
    object: libbpf_rs::Object,
    consumer: Consumer,
}

impl Fixture {
    fn new() -> Option<Self> {
        if !kernel::available() {
            return None;
        }
        let clang = Clang::newest()?;
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("ring.bpf.c"), folder.path().join("ring.o"));
        fs::write(&from, SOURCE).expect("written");
        let mut command = clang.command();
        command.args(["-target", "bpf", "-O2", "-g", "-Wno-everything", "-I"]).arg(root().join("bpf/include"));
        run(command.arg("-c").arg(&from).arg("-o").arg(&to));
        let object = ObjectBuilder::default().open_file(to).expect("libbpf opens it").load().expect("libbpf loads it");
        let map = object.maps().find(|map| map.name() == "events").expect("it has the map");
        let def = MapDef { max_entries: 4096, ..MapDef::new("events", MapType::RINGBUF) };
        let verified = Verified::of_fd(&spec_of(def), "events", map.as_fd()).expect("as declared");
        let ring = RingBuf::from_verified(verified).expect("a ring buffer");
        let consumer = ring.consumer().expect("mapped");
        Some(Self { object, consumer })
    }

    fn prog(&self, name: &str) -> Prog {
        let prog = self.object.progs().find(|prog| prog.name() == name).expect("it has the program");
        Prog::from_fd(prog.as_fd().try_clone_to_owned().expect("a descriptor"))
    }
}

/// Whether there was room.
fn tell(prog: &Prog, number: u64) -> bool {
    let mut order = [number.to_ne_bytes(), [0; 8]].concat();
    prog.run(&mut order, &[]).expect("run");
    order[8..] == 1_u64.to_ne_bytes()
}

#[test]
fn records_come_in_order_and_discarded_ones_do_not() {
    let Some(mut ring) = Fixture::new() else { return };
    let submits = ring.prog("submits");
    assert_eq!(ring.consumer.next().expect("read"), None);
    for number in 0..10 {
        assert!(tell(&submits, number));
    }
    for number in (0..10).step_by(2) {
        assert_eq!(ring.consumer.next_as::<Event>().expect("read"), Some(event(number)));
    }
    assert_eq!(ring.consumer.next().expect("read"), None);
    assert_eq!(ring.consumer.unread(), 0);
    assert!(tell(&ring.prog("says"), 0));
    assert_eq!(ring.consumer.unread(), 16);
    assert_eq!(ring.consumer.next().expect("read"), Some(&b"hello"[..]));
    assert!(tell(&ring.prog("says"), 0));
    let error = ring.consumer.next_as::<Event>().expect_err("too short").to_string();
    assert!(
        error.ends_with("it has 5 bytes, of 16") && error.starts_with("map `events`: can't read a record as"),
        "{error}"
    );
    assert_eq!(ring.consumer.next().expect("the short one was read"), None);
}

#[test]
fn records_are_whole_across_the_end_of_the_memory() {
    let Some(mut ring) = Fixture::new() else { return };
    let (submits, says) = (ring.prog("submits"), ring.prog("says"));
    // A record of 16 bytes and one of 24, so that each place is the last one at some time.
    for number in (0..4000).step_by(2) {
        assert!(tell(&says, 0) && tell(&submits, number), "there is room");
        assert_eq!(ring.consumer.next().expect("read"), Some(&b"hello"[..]));
        assert_eq!(ring.consumer.next_as::<Event>().expect("read"), Some(event(number)));
    }
    // Nobody reads: it takes what fits, and all of that is there.
    let fitted = (0..1000).step_by(2).take_while(|number| tell(&submits, *number)).count();
    assert_eq!(fitted, 4096 / 24);
    for number in (0..).step_by(2).take(fitted) {
        assert_eq!(ring.consumer.next_as::<Event>().expect("read"), Some(event(number)));
    }
    assert!(tell(&submits, 0), "there is room again");
}

#[test]
fn waiting_ends_with_a_record_or_with_the_time() {
    let Some(mut ring) = Fixture::new() else { return };
    let start = Instant::now();
    assert!(!ring.consumer.wait(Some(Duration::from_millis(20))).expect("waited"));
    assert!(start.elapsed() >= Duration::from_millis(20));
    let submits = ring.prog("submits");
    const RECORDS: u64 = 20_000;
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in (0..RECORDS * 2).step_by(2) {
                while !tell(&submits, number) {
                    thread::yield_now();
                }
            }
        });
        let mut next = 0;
        while next < RECORDS * 2 {
            assert!(ring.consumer.wait(Some(Duration::from_secs(60))).expect("waited"), "no record after {next}");
            while let Some(record) = ring.consumer.next_as::<Event>().expect("read") {
                assert_eq!(record, event(next));
                next += 2;
            }
        }
    });
}

//! Facts 1 to 10: directories of pins.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use maplock::internals::sys::bpffs::{self, exchange, hard_link, rename, try_lock, unlink};
use maplock::internals::sys::{Btf, Map, NewMap};
use maplock::layout::map::MapType;
use maplock_tests::kernel::{self, Bpffs};
use maplock_tests::toolchain;
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, XattrFlags, inotify};

use super::raw;
use super::support::{BtfBytes, array, errno, id_at, map};

#[test]
fn fact_01_a_name_with_a_dot_is_refused() {
    needs_kernel!();
    let bpffs = Bpffs::mount();
    let at = |name: &str| bpffs.path().join(name);
    array().pin(&at("map")).unwrap();
    assert_eq!(errno(array().pin(&at(".rodata"))), libc::EPERM);
    assert_eq!(errno(fs::create_dir(at("a.dir"))), libc::EPERM);
    assert_eq!(errno(rename(&at("map"), &at("map.tmp"))), libc::EPERM);
    assert_eq!(errno(hard_link(&at("map"), &at("map.old"))), libc::EPERM);
    assert_eq!(errno(symlink("text", at("a.record"))), libc::EPERM);
    // Looked up too, so that "is it there?" is not answered by ENOENT.
    assert_eq!(errno(fs::metadata(at("not.there"))), libc::EPERM);
    assert_eq!(errno(fs::metadata(at("notthere"))), libc::ENOENT);
}

#[test]
fn fact_01_other_signs_are_fine_up_to_255_bytes() {
    needs_kernel!();
    let bpffs = Bpffs::mount();
    for name in ["m@next", "a:b", "a+b", "a,b", "a~b", "a#b", "a%b", "a=b", "a b", "café", "地图"] {
        array().pin(&bpffs.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    array().pin(&bpffs.path().join("n".repeat(255))).unwrap();
    assert_eq!(errno(array().pin(&bpffs.path().join("n".repeat(256)))), libc::ENAMETOOLONG);
}

/// Opens a pin again and again while `change` runs; returns how often it was not there, and how often it was.
fn misses_during(path: &Path, change: impl FnOnce(&AtomicU32)) -> (u32, u32) {
    let (stop, misses, hits) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                match Map::open(path) {
                    Ok(_) => hits.fetch_add(1, Ordering::Relaxed),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => misses.fetch_add(1, Ordering::Relaxed),
                    Err(error) => panic!("{error}"),
                };
            }
        });
        while hits.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        change(&misses);
        stop.store(true, Ordering::Relaxed);
    });
    (misses.into_inner(), hits.into_inner())
}

#[test]
fn fact_02_rename_over_a_pin_is_atomic() {
    needs_kernel!();
    let bpffs = Bpffs::mount();
    let (live, staged) = (bpffs.path().join("map"), bpffs.path().join("map@next"));
    let maps = [array(), array()];
    maps[0].pin(&live).unwrap();
    let (misses, hits) = misses_during(&live, |_| {
        for turn in 0..kernel::times(20_000, 2_000) as usize {
            maps[turn % 2].pin(&staged).unwrap();
            rename(&staged, &live).unwrap();
        }
    });
    assert_eq!(misses, 0, "of {}", misses + hits);
}

#[test]
fn fact_02_unlink_then_pin_is_not_atomic_and_pin_does_not_replace() {
    needs_kernel!();
    let bpffs = Bpffs::mount();
    let live = bpffs.path().join("map");
    let map = array();
    map.pin(&live).unwrap();
    assert_eq!(errno(map.pin(&live)), libc::EEXIST);
    let (misses, _) = misses_during(&live, |misses| {
        for _ in 0..1_000_000 {
            if misses.load(Ordering::Relaxed) > 0 {
                break;
            }
            unlink(&live).unwrap();
            map.pin(&live).unwrap();
        }
    });
    assert!(misses > 0);
}

#[test]
fn fact_03_pins_and_whole_directories_are_exchanged() {
    needs_kernel!();
    if !kernel::exchanges_directories() {
        return;
    }
    let bpffs = Bpffs::mount();
    let (live, next) = (bpffs.dir("app"), bpffs.dir("app@next"));
    let (old, new) = (array(), array());
    old.pin(&live.join("map")).unwrap();
    new.pin(&next.join("map")).unwrap();
    new.pin(&next.join("added")).unwrap();

    exchange(&live.join("map"), &next.join("map")).unwrap();
    assert_eq!((id_at(&live.join("map")), id_at(&next.join("map"))), (new.info().id, old.info().id));
    exchange(&live.join("map"), &next.join("map")).unwrap();

    exchange(&live, &next).unwrap();
    assert_eq!(bpffs::names(&live).unwrap().unwrap(), ["added", "map"]);
    assert_eq!((id_at(&live.join("map")), id_at(&next.join("map"))), (new.info().id, old.info().id));

    let flags = |flags| rustix::fs::renameat_with(CWD, &live, CWD, &next, flags).unwrap_err();
    assert_eq!(flags(RenameFlags::NOREPLACE), rustix::io::Errno::EXIST);
    assert_eq!(flags(RenameFlags::WHITEOUT), rustix::io::Errno::INVAL);
    bpffs::rename_new(&next, &bpffs.path().join("app@prev")).unwrap();
    assert_eq!(bpffs::names(&next).unwrap(), None);
    // A mount's root stays where it is.
    assert!(bpffs::is_mount_root(&bpffs::Dir::at(bpffs.path())).unwrap());
    let other = Bpffs::mount();
    assert_eq!(errno(exchange(bpffs.path(), other.path())), libc::EBUSY);
}

#[test]
fn fact_03_a_reader_through_the_directory_never_sees_two_generations() {
    needs_kernel!();
    if !kernel::exchanges_directories() || !kernel::takes("BPF_F_PATH_FD", "BPF_F_PATH_FD (Linux 6.5)") {
        return;
    }
    let bpffs = Bpffs::mount();
    let (live, next) = (bpffs.dir("app"), bpffs.dir("app@next"));
    for dir in [&live, &next] {
        let map = array();
        map.pin(&dir.join("one")).unwrap();
        map.pin(&dir.join("two")).unwrap();
    }
    let dir = bpffs::open_dir(&live).unwrap();
    let through = |name| Map::from_fd(raw::open_pin_at(dir.as_fd(), name).unwrap()).unwrap().info().id;
    let by_path = |name| id_at(&live.join(name));

    let first = (through(c"one"), by_path("one"));
    exchange(&live, &next).unwrap();
    let second = (through(c"two"), by_path("two"));
    assert_eq!(first.0, second.0, "one directory, one generation");
    assert_ne!(first.1, second.1, "two absolute paths: one from each generation");
}

#[test]
fn fact_03_a_bind_mount_goes_on_to_show_what_was_exchanged() {
    needs_kernel!();
    if !kernel::exchanges_directories() {
        return;
    }
    let bpffs = Bpffs::mount();
    let (live, next) = (bpffs.dir("app"), bpffs.dir("app@next"));
    let (old, new) = (array(), array());
    old.pin(&live.join("map")).unwrap();
    new.pin(&next.join("map")).unwrap();
    let view = tempfile::tempdir().unwrap();
    rustix::mount::mount_bind(&live, view.path()).unwrap();
    exchange(&live, &next).unwrap();
    let seen = [id_at(&live.join("map")), id_at(&view.path().join("map"))];
    rustix::mount::unmount(view.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    assert_eq!(seen, [new.info().id, old.info().id]);
}

#[test]
fn fact_04_a_pin_has_several_names() {
    needs_kernel!();
    let bpffs = Bpffs::mount();
    let (app, next) = (bpffs.dir("app"), bpffs.dir("app@next"));
    let map = array();
    map.pin(&app.join("map")).unwrap();
    hard_link(&app.join("map"), &next.join("map")).unwrap();
    assert_eq!(id_at(&next.join("map")), map.info().id);
    assert_eq!(errno(hard_link(&app.join("map"), &next.join("map"))), libc::EEXIST);
    // POSIX: names of one file, so nothing happens.
    rename(&next.join("map"), &app.join("map")).unwrap();
    assert!(next.join("map").exists() && app.join("map").exists());
    assert!(unlink(&app.join("map")).unwrap());
    assert_eq!(id_at(&next.join("map")), map.info().id);
}

#[test]
fn fact_05_a_symbolic_link_holds_a_record() {
    needs_kernel!();
    let bpffs = Bpffs::mount();
    let at = |name: &str| bpffs.path().join(name);
    let text = "{\"a/b.c\": 1}".repeat(4000 / 12) + "1234";
    assert_eq!(text.len(), 4000);
    bpffs::write_record(&at("record"), &text).unwrap();
    assert_eq!(bpffs::read_record(&at("record")).unwrap().unwrap(), text);
    assert_eq!(errno(bpffs::write_record(&at("long"), &"x".repeat(4096))), libc::ENAMETOOLONG);
    assert_eq!(errno(bpffs::write_record(&at("record"), "again")), libc::EEXIST);
    let map = array();
    map.pin(&at("map")).unwrap();
    symlink("map", at("alias")).unwrap();
    assert_eq!(id_at(&at("alias")), map.info().id);
    assert_eq!(errno(bpffs::read_record(&at("map"))), libc::EINVAL);
}

#[test]
fn fact_06_there_are_no_regular_files_and_no_attributes() {
    needs_kernel!();
    let bpffs = Bpffs::mount();
    let pin = bpffs.path().join("map");
    array().pin(&pin).unwrap();
    assert_eq!(errno(File::create(bpffs.path().join("file"))), libc::EACCES);
    let error = rustix::fs::setxattr(&pin, "user.a", b"1", XattrFlags::empty()).unwrap_err();
    assert_eq!(error, rustix::io::Errno::OPNOTSUPP);
    File::open(bpffs.path()).unwrap().sync_all().unwrap();
}

#[test]
fn fact_06_each_mount_is_an_instance_of_its_own() {
    needs_kernel!();
    let (one, other) = (Bpffs::mount(), Bpffs::mount());
    let pin = one.path().join("map");
    array().pin(&pin).unwrap();
    assert_eq!(errno(hard_link(&pin, &other.path().join("map"))), libc::EXDEV);
    assert_eq!(errno(rename(&pin, &other.path().join("map"))), libc::EXDEV);
    assert!(!other.path().join("map").exists());
    // CONFIG_BPF_PRELOAD puts two iterators into each fresh mount.
    for name in bpffs::names(other.path()).unwrap().unwrap() {
        assert!(["maps.debug", "progs.debug"].contains(&name.as_str()), "{name}");
        assert_eq!(errno(unlink(&other.path().join(name))), libc::EPERM);
    }
}

#[test]
fn fact_07_a_new_pin_is_0600_whatever_it_replaces() {
    needs_kernel!();
    let bpffs = Bpffs::mount_with(c"mode=0751,uid=7,gid=8");
    let owned = |path: &Path| {
        let metadata = fs::metadata(path).unwrap();
        (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
    };
    let (mode, uid, gid) = owned(bpffs.path());
    assert_eq!(mode, 0o1751, "sticky always");
    if (uid, gid) == (0, 0) {
        toolchain::skip("a uid and gid of a mount of bpffs (Linux 6.8)");
    } else {
        assert_eq!((uid, gid), (7, 8));
    }
    let (live, next) = (bpffs.path().join("map"), bpffs.path().join("map@next"));
    array().pin(&live).unwrap();
    assert_eq!(owned(&live), (0o600, 0, 0), "the mount's options are for its root");
    chown(&live, Some(1), Some(2)).unwrap();
    fs::set_permissions(&live, Permissions::from_mode(0o640)).unwrap();

    let new = array();
    new.pin(&next).unwrap();
    rename(&next, &live).unwrap();
    assert_eq!(owned(&live), (0o600, 0, 0));

    chown(&live, Some(1), Some(2)).unwrap();
    fs::set_permissions(&live, Permissions::from_mode(0o640)).unwrap();
    new.pin(&next).unwrap();
    bpffs::copy_owner_and_mode(&live, &next).unwrap();
    rename(&next, &live).unwrap();
    assert_eq!(owned(&live), (0o640, 1, 2));
}

#[test]
fn fact_08_a_lock_follows_the_directory_through_an_exchange() {
    needs_kernel!();
    if !kernel::exchanges_directories() {
        return;
    }
    let bpffs = Bpffs::mount();
    let (live, next) = (bpffs.dir("app"), bpffs.dir("app@next"));
    let open = |path: &Path| bpffs::open_dir(path).unwrap();
    let (mine, parent) = (open(&live), open(bpffs.path()));
    assert!(try_lock(&mine).unwrap() && try_lock(&parent).unwrap());
    assert!(!try_lock(open(&live)).unwrap());

    exchange(&live, &next).unwrap();
    assert!(try_lock(open(&live)).unwrap(), "nobody holds what is there now");
    assert!(!try_lock(open(&next)).unwrap(), "the lock went with the inode");
    assert!(!try_lock(open(bpffs.path())).unwrap(), "that of the parent holds");
    assert_eq!(errno(raw::lock_description(open(&live).as_fd())), libc::EBADF);
}

#[test]
fn fact_08_a_lock_on_a_map_is_a_lock_on_every_map() {
    needs_kernel!();
    let (one, other) = (array(), array());
    // All of them are one anonymous inode. Whoever else takes this lock by mistake has it for a moment only.
    while !try_lock(&one).unwrap() {
        thread::yield_now();
    }
    assert!(!try_lock(&other).unwrap());
}

#[test]
fn fact_08_a_lock_on_an_opened_pin_is_one_for_all_its_links_and_bind_mounts() {
    needs_kernel!();
    if !kernel::exchanges_directories() {
        return;
    }
    let bpffs = Bpffs::mount();
    let (app, next) = (bpffs.dir("app"), bpffs.dir("app@next"));
    let mut types = BtfBytes::new();
    let int = types.int("counter", 4);
    let btf = Btf::load(&types.bytes()).unwrap();
    let typed =
        || Map::create(&NewMap { btf: Some((&btf, int, int)), ..NewMap::new(MapType::ARRAY, 4, 4, 1) }).unwrap();
    let (lock, other) = (app.join("lock"), app.join("other"));
    typed().pin(&lock).unwrap();
    typed().pin(&other).unwrap();
    hard_link(&lock, &next.join("lock")).unwrap();
    let view = tempfile::tempdir().unwrap();
    rustix::mount::mount_bind(&app, view.path()).unwrap();
    let is_free = |path: &Path| try_lock(bpffs::open_pin(path).unwrap()).unwrap();

    let held = bpffs::open_pin(&lock).unwrap();
    assert!(try_lock(&held).unwrap());
    exchange(&app, &next).unwrap();
    let seen =
        [next.join("lock"), app.join("lock"), view.path().join("lock"), next.join("other")].map(|at| is_free(&at));
    drop(held);
    let after = is_free(&app.join("lock"));
    rustix::mount::unmount(view.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    assert_eq!((seen, after), ([false, false, false, true], true), "another map's is free");
}

#[test]
fn fact_09_a_pin_is_read_only_where_the_map_has_btf() {
    needs_kernel!();
    let bpffs = Bpffs::mount();
    let (plain, typed) = (bpffs.path().join("plain"), bpffs.path().join("typed"));
    array().pin(&plain).unwrap();
    assert_eq!(errno(File::open(&plain)), libc::EIO);

    let mut types = BtfBytes::new();
    let int = types.int("counter", 4);
    let btf = Btf::load(&types.bytes()).unwrap();
    let map = Map::create(&NewMap { btf: Some((&btf, int, int)), ..NewMap::new(MapType::ARRAY, 4, 4, 1) }).unwrap();
    map.update(&[0; 4], &4711_u32.to_ne_bytes(), 0).unwrap();
    map.pin(&typed).unwrap();
    let mut text = String::new();
    File::open(&typed).unwrap().read_to_string(&mut text).unwrap();
    assert!(text.contains("0: 4711"), "{text}");
}

#[test]
fn fact_09_a_path_descriptor_outlives_the_name() {
    needs_kernel!();
    let bpffs = Bpffs::mount();
    let pin = bpffs.path().join("map");
    let id = {
        let map = array();
        map.pin(&pin).unwrap();
        map.info().id
    };
    let fd = rustix::fs::open(&pin, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let through = OsString::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    assert_eq!(id_at(Path::new(&through)), id);
    unlink(&pin).unwrap();
    assert_eq!(id_at(Path::new(&through)), id);
}

#[test]
fn fact_10_inotify_reports_renames_of_pins() {
    needs_kernel!();
    let bpffs = Bpffs::mount();
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).unwrap();
    let events = inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CREATE;
    inotify::add_watch(&watch, bpffs.path(), events).unwrap();
    array().pin(&bpffs.path().join("map@next")).unwrap();
    rename(&bpffs.path().join("map@next"), &bpffs.path().join("map")).unwrap();

    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(&watch, &mut buffer);
    let mut seen = Vec::new();
    while let Ok(event) = reader.next() {
        let name = event.file_name().unwrap().to_str().unwrap().to_owned();
        seen.push((name, event.events().contains(inotify::ReadFlags::MOVED_TO)));
    }
    assert_eq!(seen, [("map@next".to_owned(), false), ("map".to_owned(), true)]);
}

#[test]
fn fact_10_there_is_no_look_up_by_id_in_a_user_namespace() {
    needs_kernel!();
    let map = map(MapType::ARRAY, 4, 4, 1);
    let id = map.info().id.to_string();
    let show = ["bpftool", "map", "show", "id", &id];
    toolchain::run(Command::new(show[0]).args(&show[1..]));
    // Its root has every capability there, and none here.
    let inside = Command::new("unshare").args(["--user", "--map-root-user"]).args(show).output().unwrap();
    let message = String::from_utf8_lossy(&[inside.stdout, inside.stderr].concat()).into_owned();
    assert!(!inside.status.success() && message.contains("Operation not permitted"), "{message}");
}

//! What a test of the kernel needs, made for that test alone: a bpffs, a cgroup, a network namespace. Each is removed on drop,
//! also by a panic, and nothing that the machine uses is touched.
//!
//! A test begins with
//!
//! ```no_run
//! # use maplock_tests::kernel;
//! if !kernel::available() {
//!     return;
//! }
//! let bpffs = kernel::Bpffs::mount();
//! ```

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, fs, panic, process, thread};

use maplock::internals::sys::bpffs::exchange;
use maplock::internals::sys::{Btf, Link, LinkTarget, Map, NewMap, has_atomic_fetch};
use maplock::layout::map::MapType;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

use crate::toolchain;

/// True where tests may use the kernel. Where not, it says that the test is skipped.
///
/// # Panics
/// Where they may not and `MAPLOCK_REQUIRE_KERNEL=1`.
#[must_use]
pub fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    // Without CAP_SYS_ADMIN there is no mount; it implies CAP_BPF.
    let available = *AVAILABLE.get_or_init(|| {
        rustix::process::geteuid().is_root() && Map::create(&NewMap::new(MapType::ARRAY, 4, 4, 1)).is_ok()
    });
    if !available {
        toolchain::skip("CAP_BPF");
    }
    available
}

/// True where the kernel that runs has a helper of that name for programs, such as `bpf_loop`.
#[must_use]
pub fn has_helper(name: &str) -> bool {
    has_enumerator(&format!("BPF_FUNC_{}", name.trim_start_matches("bpf_")))
}

/// True where programs can compare and exchange, without which members that are no sums are not exact; where not, it says that the test is
/// skipped.
///
/// # Panics
/// Where they can't and `MAPLOCK_REQUIRE_KERNEL=1`.
#[must_use]
pub fn has_exchange() -> bool {
    let has = has_atomic_fetch();
    if !has {
        toolchain::skip("atomic exchange (Linux 5.12)");
    }
    has
}

/// True where directories of a bpffs can be exchanged; where not, it says that the test is skipped.
///
/// # Panics
/// Where they can't and `MAPLOCK_REQUIRE_KERNEL=1`.
#[must_use]
pub fn exchanges_directories() -> bool {
    let bpffs = Bpffs::mount();
    let exchanges = exchange(&bpffs.dir("one"), &bpffs.dir("other")).is_ok();
    if !exchanges {
        toolchain::skip("exchange of directories (Linux 5.16)");
    }
    exchanges
}

/// True where the kernel that runs has an enumerator of that name, such as `BPF_TCX_INGRESS`: its own BTF lists them. Where it has no BTF, that
/// is not known, and it counts as there.
#[must_use]
pub fn has_enumerator(name: &str) -> bool {
    static BTF: OnceLock<Vec<u8>> = OnceLock::new();
    let btf = BTF.get_or_init(|| fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default());
    let listed = format!("\0{name}\0");
    btf.is_empty() || btf.windows(listed.len()).any(|window| window == listed.as_bytes())
}

/// True where the kernel that runs has a function of that name; `None` where it has no BTF, which lists them.
#[must_use]
pub fn has_function(name: &str) -> Option<bool> {
    let btf = fs::read("/sys/kernel/btf/vmlinux").ok()?;
    let listed = format!("\0{name}\0");
    Some(btf.windows(listed.len()).any(|window| window == listed.as_bytes()))
}

/// True where the kernel that runs has what `enumerator` names; where not, it says that the test is skipped.
///
/// # Panics
/// Where it has not and `MAPLOCK_REQUIRE_KERNEL=1`.
#[must_use]
pub fn takes(enumerator: &str, what: &str) -> bool {
    let takes = has_enumerator(enumerator);
    if !takes {
        toolchain::skip(what);
    }
    takes
}

/// True where the kernel that runs has maps of a type; where not, it says that the test is skipped.
///
/// # Panics
/// Where it has not and `MAPLOCK_REQUIRE_KERNEL=1`.
#[must_use]
pub fn takes_maps(map_type: MapType) -> bool {
    let name = format!("BPF_MAP_TYPE_{}", map_type.to_string().to_uppercase());
    takes(&name, &format!("maps of type {map_type}"))
}

/// True where the kernel that runs keeps declaration tags in BTF; where not, it says that the test is skipped.
///
/// # Panics
/// Where it does not and `MAPLOCK_REQUIRE_KERNEL=1`.
#[must_use]
pub fn keeps_tags() -> bool {
    // A header of version 1, with 28 bytes of types and 3 of strings: the empty struct `x`, and the tag `x` on it.
    let words = [0x0001_eb9f, 24, 0, 28, 28, 3, 1, 4 << 24, 0, 1, 17 << 24, 1, u32::MAX];
    let mut bytes: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
    bytes.extend(*b"\0x\0");
    let keeps = Btf::load(&bytes).is_ok();
    if !keeps {
        toolchain::skip("declaration tags in BTF (Linux 5.16)");
    }
    keeps
}

/// True while a link is attached somewhere. One that was detached, or whose last pin is gone, may still have its number for a while: the kernel
/// frees it when it comes to that.
#[must_use]
pub fn is_attached(id: u32) -> bool {
    let Ok(link) = Link::from_id(id) else { return false };
    match link.info().map(|info| info.target) {
        Ok(LinkTarget::Cgroup { id, .. }) => id != 0,
        Ok(LinkTarget::Device { ifindex, .. }) => ifindex != 0,
        Ok(LinkTarget::Netns { inode, .. }) => inode != 0,
        _ => true,
    }
}

/// How often a test does something: `full` times, or `short` times where `MAPLOCK_SHORT=1`, as in a machine that is emulated.
#[must_use]
pub fn times(full: u32, short: u32) -> u32 {
    if env::var_os("MAPLOCK_SHORT").is_some_and(|value| value == "1") { short } else { full }
}

/// A name that nothing else has: of this process and of this call.
#[must_use]
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("maplock-{what}-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Something mounted at a directory of its own.
#[derive(Debug)]
struct Mount {
    at: TempDir,
}

impl Mount {
    fn new(file_system: &str, options: &CStr) -> Self {
        let prefix = format!("maplock-{file_system}-");
        let at = tempfile::Builder::new().prefix(&prefix).tempdir().expect("a temporary directory");
        mount(file_system, at.path(), file_system, MountFlags::empty(), options)
            .unwrap_or_else(|error| panic!("a mount of {file_system}: {error}"));
        Self { at }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // The directory itself goes with `at`, after this.
        complain(unmount(self.at.path(), UnmountFlags::DETACH).err(), self.at.path());
    }
}

/// A leftover is worth a line, not a panic within a panic.
fn complain(error: Option<impl std::fmt::Display>, path: &Path) {
    if let Some(error) = error {
        eprintln!("{} stays: {error}", path.display());
    }
}

/// A bpffs of its own.
#[derive(Debug)]
pub struct Bpffs {
    mount: Mount,
}

impl Bpffs {
    /// Mounts it.
    ///
    /// # Panics
    /// Where that fails.
    #[must_use]
    pub fn mount() -> Self {
        Self::mount_with(c"")
    }

    /// Mounts it with options, such as `mode=0755,uid=1`.
    ///
    /// # Panics
    /// Where that fails.
    #[must_use]
    pub fn mount_with(options: &CStr) -> Self {
        Self { mount: Mount::new("bpf", options) }
    }

    /// Its root. The kernel may have put files there (`maps.debug`, `progs.debug`).
    #[must_use]
    pub fn path(&self) -> &Path {
        self.mount.at.path()
    }

    /// Makes a directory in its root.
    ///
    /// # Panics
    /// Where that fails.
    #[must_use]
    pub fn dir(&self, name: &str) -> PathBuf {
        let dir = self.path().join(name);
        fs::create_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        dir
    }
}

/// A mount of debugfs of its own, to read from. All mounts show the same files.
#[derive(Debug)]
pub struct DebugFs {
    mount: Mount,
}

impl DebugFs {
    /// Mounts it.
    ///
    /// # Panics
    /// Where that fails.
    #[must_use]
    pub fn mount() -> Self {
        Self { mount: Mount::new("debugfs", c"") }
    }

    /// The text of a file; empty where this kernel has none of that name.
    #[must_use]
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.mount.at.path().join(file)).unwrap_or_default()
    }
}

/// A cgroup of version 2 of its own, below the one that this process is in. The mount is its own too: the machine may have none.
/// All mounts show the same tree.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    dir: File,
    is_threaded: bool,
    _mount: Mount,
}

impl Cgroup {
    /// Makes one for processes: see [`Self::command`].
    ///
    /// # Panics
    /// Where that fails.
    #[must_use]
    pub fn new() -> Self {
        Self::make(false)
    }

    /// Makes one for threads of this process: see [`Self::run`].
    ///
    /// # Panics
    /// Where that fails.
    #[must_use]
    pub fn threaded() -> Self {
        Self::make(true)
    }

    fn make(is_threaded: bool) -> Self {
        let mount = Mount::new("cgroup2", c"");
        let own = fs::read_to_string("/proc/self/cgroup").expect("/proc/self/cgroup");
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).expect("a kernel with cgroup v2");
        let path = mount.at.path().join(own).join(unique("cgroup"));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let dir = File::open(&path).expect("a directory just made");
        let cgroup = Self { path, dir, is_threaded, _mount: mount };
        if is_threaded {
            cgroup.write("cgroup.type", "threaded");
        }
        cgroup
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A descriptor of its directory, which is what programs are attached to.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Its id, as the kernel tells it in `bpf_link_info`: the inode number of its directory.
    ///
    /// # Panics
    /// Where the directory can't be read.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.dir.metadata().expect("an open directory").ino()
    }

    /// Moves a process into it.
    ///
    /// # Panics
    /// Where that fails.
    pub fn join(&self, pid: u32) {
        self.write("cgroup.procs", &pid.to_string());
    }

    /// A command whose process moves itself into this cgroup and then runs `program`. It stays a command: arguments, pipes and
    /// environment are the caller's.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]).arg(self.path.join("cgroup.procs")).arg(program);
        command
    }

    /// Runs `inside` on a thread in this cgroup, which must be a [`Self::threaded`] one.
    ///
    /// # Panics
    /// With whatever `inside` panics with.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        assert!(self.is_threaded, "a thread of this process needs a threaded cgroup");
        on_a_thread(|| {
            self.write("cgroup.threads", &rustix::thread::gettid().as_raw_pid().to_string());
            inside()
        })
    }

    fn write(&self, file: &str, text: &str) {
        let file = self.path.join(file);
        fs::write(&file, text).unwrap_or_else(|error| panic!("{}: {text}: {error}", file.display()));
    }
}

impl Default for Cgroup {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Threads have left by the end of `run`; cgroup.kill (Linux 5.14) takes whole processes.
        if !self.is_threaded {
            _ = fs::write(self.path.join("cgroup.kill"), "1");
        }
        // EBUSY until what was killed is reaped by the kernel's own exit path.
        let mut result = fs::remove_dir(&self.path);
        for _ in 0..500 {
            if result.is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
            result = fs::remove_dir(&self.path);
        }
        complain(result.err(), &self.path);
    }
}

/// A network namespace of its own, with `lo` up. It lives as long as this value, or as something runs in it.
#[derive(Debug)]
pub struct Netns {
    fd: File,
}

impl Netns {
    /// Makes one.
    ///
    /// # Panics
    /// Where that fails, or `unshare` (util-linux) or `ip` (iproute2) is not installed.
    #[must_use]
    pub fn new() -> Self {
        let mut command = Command::new("unshare");
        // It says when it is there, and stays until its input ends.
        command.args(["--net", "sh", "-c", "ip link set lo up && echo up && cat"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare (apt-get install util-linux)");
        let mut line = String::new();
        _ = BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line);
        let fd = File::open(format!("/proc/{}/ns/net", child.id()));
        drop(child.stdin.take());
        _ = child.wait();
        assert_eq!(line, "up\n", "ip (apt-get install iproute2)");
        Self { fd: fd.expect("a namespace") }
    }

    /// A descriptor of the namespace, which is what flow dissectors and socket look-ups are attached to.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Its inode number, as the kernel tells it in `bpf_link_info`.
    ///
    /// # Panics
    /// Where the descriptor can't be read.
    #[must_use]
    pub fn inode(&self) -> u64 {
        self.fd.metadata().expect("an open descriptor").ino()
    }

    /// Runs `inside` on a thread in this namespace. What that thread opens or starts belongs to the namespace for good.
    ///
    /// # Panics
    /// With whatever `inside` panics with.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        on_a_thread(|| {
            move_into_link_name_space(self.fd(), Some(LinkNameSpaceType::Network)).expect("setns");
            inside()
        })
    }

    /// Runs `ip` with these words inside, and returns what it printed.
    ///
    /// # Panics
    /// Where it fails.
    pub fn ip(&self, words: &str) -> String {
        self.run(|| {
            let output = toolchain::run(Command::new("ip").args(words.split(' ')));
            String::from_utf8(output.stdout).expect("ip prints text")
        })
    }

    /// Makes two devices that are joined, both up; returns their indices.
    ///
    /// # Panics
    /// Where that fails.
    pub fn veth(&self, one: &str, other: &str) -> (u32, u32) {
        self.ip(&format!("link add {one} type veth peer name {other}"));
        self.ip(&format!("link set {one} up"));
        self.ip(&format!("link set {other} up"));
        (self.ifindex(one), self.ifindex(other))
    }

    /// The index of a device.
    ///
    /// # Panics
    /// Where there is none of that name.
    #[must_use]
    pub fn ifindex(&self, device: &str) -> u32 {
        let line = self.ip(&format!("-o link show dev {device}"));
        line.split(':').next().and_then(|index| index.parse().ok()).unwrap_or_else(|| panic!("ip printed `{line}`"))
    }
}

impl Default for Netns {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs a closure on a thread of its own, which takes with it what it changed of itself.
fn on_a_thread<T: Send>(inside: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| panic::resume_unwind(panic))
}

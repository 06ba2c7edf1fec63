//! Programs in the kernel.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use super::btf::Btf;
use super::insn::Insn;
use super::named::Named;
use super::syscall::{Cmd, addr, bpf, bpf_fd, fd_by_id, name_of, next_id, object_info, object_name, raw};

/// A program in the kernel.
#[derive(Debug)]
pub struct Prog(OwnedFd);

/// `struct bpf_prog_info`, as far as it is of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgInfo {
    /// `BPF_PROG_TYPE_*`.
    pub prog_type: u32,
    /// The kernel's number for this program.
    pub id: u32,
    /// Up to 15 bytes of its name.
    pub name: String,
    /// Ids of the maps that it uses.
    pub map_ids: Vec<u32>,
}

#[repr(C)]
#[derive(Default)]
struct RawInfo {
    prog_type: u32,
    id: u32,
    tag: [u8; 8],
    jited_prog_len: u32,
    xlated_prog_len: u32,
    jited_prog_insns: u64,
    xlated_prog_insns: u64,
    load_time: u64,
    created_by_uid: u32,
    nr_map_ids: u32,
    map_ids: u64,
    name: [u8; 16],
}

/// A program to load.
#[derive(Debug, Clone)]
pub struct NewProg<'a> {
    /// `BPF_PROG_TYPE_*`.
    pub prog_type: u32,
    /// `BPF_*` of `enum bpf_attach_type`, if the type asks for one.
    pub expected_attach_type: u32,
    /// Its name; the kernel keeps 15 bytes.
    pub name: &'a str,
    /// Instructions of 8 bytes each, in the machine's byte order.
    pub insns: &'a [u64],
    /// `BPF_F_*` for programs, such as `BPF_F_SLEEPABLE`.
    pub flags: u32,
    /// BTF, and in it where each function starts: pairs of instruction and type, which callbacks need.
    pub functions: Option<(&'a Btf, &'a [[u32; 2]])>,
    /// For tracing programs: what they attach to, a type of the kernel's own BTF.
    pub attach_btf_id: u32,
}

#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
    attach_prog_fd: u32,
    padding: u32,
}

#[repr(C)]
#[derive(Default)]
struct TestRunAttr {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    padding: u32,
}

impl Prog {
    /// The program behind a descriptor.
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Loads a program. If the verifier refuses it, the end of its log is traced at debug level: nobody else has asked for that.
    ///
    /// # Errors
    /// The kernel's.
    pub fn load(new: &NewProg<'_>) -> io::Result<Self> {
        let functions = new.functions.map_or(&[][..], |(_, functions)| functions);
        let len = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let mut attr = LoadAttr {
            prog_type: new.prog_type,
            insn_cnt: len(new.insns.len()),
            insns: addr(new.insns.as_ptr()),
            license: addr(c"GPL".as_ptr()),
            prog_flags: new.flags,
            prog_name: object_name(new.name),
            expected_attach_type: new.expected_attach_type,
            prog_btf_fd: new.functions.map_or(0, |(btf, _)| raw(btf.as_fd())),
            func_info_rec_size: if functions.is_empty() { 0 } else { 8 },
            func_info: if functions.is_empty() { 0 } else { addr(functions.as_ptr()) },
            func_info_cnt: len(functions.len()),
            attach_btf_id: new.attach_btf_id,
            ..LoadAttr::default()
        };
        /// So often may a signal end the verifier (EAGAIN).
        const ATTEMPTS: u32 = 5;
        let mut attempt = 1;
        let error = loop {
            // SAFETY: the kernel reads as many instructions and function records as it is told of, and the licence up to its zero.
            match unsafe { bpf_fd(Cmd::ProgLoad, &mut attr) } {
                Ok(fd) => return Ok(Self(fd)),
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && attempt < ATTEMPTS => attempt += 1,
                Err(error) => break error,
            }
        };
        // No verifier has seen it.
        if error.raw_os_error() == Some(libc::EPERM) {
            return Err(error);
        }
        let mut log = vec![0_u8; 1 << 20];
        (attr.log_level, attr.log_size, attr.log_buf) = (1, len(log.len()), addr(log.as_mut_ptr()));
        // SAFETY: as above; the kernel writes at most `log_size` bytes of log.
        if let Ok(fd) = unsafe { bpf_fd(Cmd::ProgLoad, &mut attr) } {
            return Ok(Self(fd));
        }
        let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
        let log = String::from_utf8_lossy(&log[..end]);
        let tail: Vec<&str> = log.trim_end().lines().rev().take(12).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        if !tail.is_empty() {
            tracing::debug!(program = new.name, "the verifier says:\n{}", tail.join("\n"));
        }
        // With its number, by which a missing privilege is told.
        Err(error)
    }

    /// The program of that id.
    ///
    /// # Errors
    /// ENOENT if there is none; EPERM without CAP_SYS_ADMIN.
    pub fn from_id(id: u32) -> io::Result<Self> {
        fd_by_id(Cmd::ProgGetFdById, id).map(Self)
    }

    /// The id of the next program after `id` on this machine.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_ADMIN.
    pub fn next_id(id: u32) -> io::Result<Option<u32>> {
        next_id(Cmd::ProgGetNextId, id)
    }

    /// Pins it.
    ///
    /// # Errors
    /// EEXIST if the name is taken, EPERM if it holds a dot; else the kernel's.
    pub fn pin(&self, at: &(impl Named + ?Sized)) -> io::Result<()> {
        at.pin(self.as_fd())
    }

    /// What the kernel tells of it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn info(&self) -> io::Result<ProgInfo> {
        let mut raw = RawInfo::default();
        // SAFETY: plain data; no buffers yet.
        unsafe { object_info(self.as_fd(), &mut raw) }?;
        let mut map_ids = vec![0_u32; raw.nr_map_ids as usize];
        let mut raw = RawInfo { nr_map_ids: raw.nr_map_ids, map_ids: addr(map_ids.as_mut_ptr()), ..RawInfo::default() };
        // SAFETY: the kernel writes at most `nr_map_ids` ids to `map_ids`, which has room for as many.
        unsafe { object_info(self.as_fd(), &mut raw) }?;
        map_ids.truncate(raw.nr_map_ids as usize);
        Ok(ProgInfo { prog_type: raw.prog_type, id: raw.id, name: name_of(&raw.name), map_ids })
    }

    /// Runs it once with `context`, which it may change; returns what the program returned. Programs of type
    /// `BPF_PROG_TYPE_SYSCALL` take a context of any bytes; those for packets take `data`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn run(&self, context: &mut [u8], data: &[u8]) -> io::Result<u32> {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let mut attr = TestRunAttr {
            prog_fd: raw(self.as_fd()),
            data_size_in: len(data),
            data_in: if data.is_empty() { 0 } else { addr(data.as_ptr()) },
            ctx_size_in: len(context),
            ctx_in: if context.is_empty() { 0 } else { addr(context.as_mut_ptr()) },
            ..TestRunAttr::default()
        };
        // SAFETY: the kernel reads the data and the context, and writes at most the context (syscall programs only), by these
        // lengths.
        unsafe { bpf(Cmd::ProgTestRun, &mut attr) }?;
        Ok(attr.retval)
    }
}

/// True if programs have atomic instructions that tell what was there: exchange, compare and exchange, fetch and add (Linux 5.12). Tried
/// once.
#[must_use]
pub fn has_atomic_fetch() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    // r0 = 0; *(u64 *)(r10 - 8) = r0; r0 = fetch_add(r10 - 8, r0); r0 = 0; exit
    let insn = |code, dst, off, imm| Insn { code, dst, src: 0, off, imm }.word();
    let insns =
        [insn(0xb7, 0, 0, 0), insn(0x7b, 10, -8, 0), insn(0xdb, 10, -8, 1), insn(0xb7, 0, 0, 0), insn(0x95, 0, 0, 0)];
    *HAS.get_or_init(|| {
        const BPF_PROG_TYPE_SOCKET_FILTER: u32 = 1;
        let new = NewProg {
            prog_type: BPF_PROG_TYPE_SOCKET_FILTER,
            expected_attach_type: 0,
            name: "maplock_probe",
            insns: &insns,
            flags: 0,
            functions: None,
            attach_btf_id: 0,
        };
        // Where nothing may be loaded, that is what is said later.
        !Prog::load(&new).is_err_and(|error| error.kind() == io::ErrorKind::InvalidInput)
    })
}

impl AsFd for Prog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

//! Pins and their directories by name. Each call looks a name up anew, beside a descriptor of the directory that it is in, so
//! that nothing leads elsewhere: no symbolic link is followed, no mount crossed, and no directory of a stranger entered, whatever is put
//! in the place of what was looked at before.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

use super::syscall;

/// Something with a name in a directory.
pub trait Named {
    /// Where it is, for messages.
    fn path(&self) -> &Path;

    /// The directory that it is in, open for the calls that take a name beside it.
    ///
    /// # Errors
    /// As open(2); EPERM if another directory was put in its place.
    fn up(&self) -> io::Result<Arc<OwnedFd>>;

    /// Its name there.
    ///
    /// # Errors
    /// EINVAL if it has none, as `/`.
    fn name(&self) -> io::Result<&OsStr>;

    /// Opens the object that is pinned there.
    ///
    /// # Errors
    /// As BPF_OBJ_GET.
    fn get(&self) -> io::Result<OwnedFd> {
        // The descriptor is of what was found there, and so can lead nowhere else.
        let pin = open(&*self.up()?, self.name()?, OFlags::PATH | OFlags::NOFOLLOW)?;
        if FileType::from_raw_mode(rustix::fs::fstat(&pin)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::from_raw_os_error(libc::EACCES));
        }
        syscall::get(&through(&pin))
    }

    /// Pins an object there.
    ///
    /// # Errors
    /// As BPF_OBJ_PIN.
    fn pin(&self, object: std::os::fd::BorrowedFd<'_>) -> io::Result<()> {
        // BPF_F_PATH_FD is of Linux 6.5; this says the same to all of them.
        let up = self.up()?;
        syscall::pin(object, &through(&up).join(self.name()?))
    }
}

/// A path that the kernel takes for what the descriptor is of.
fn through(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

fn open(up: &OwnedFd, name: &OsStr, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(up, name, flags | OFlags::CLOEXEC, Mode::empty())?)
}

/// What is there itself, whatever it may lead to. `None` if nothing is.
///
/// # Errors
/// As stat(2); EPERM if the name holds a dot.
pub fn lstat(at: &(impl Named + ?Sized)) -> io::Result<Option<Stat>> {
    let found = at.up().and_then(|up| Ok(rustix::fs::statat(&*up, at.name()?, AtFlags::SYMLINK_NOFOLLOW)?));
    match found {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A path that a person gave: it is followed wherever it leads.
impl Named for Path {
    fn path(&self) -> &Path {
        self
    }

    fn up(&self) -> io::Result<Arc<OwnedFd>> {
        let up = self.parent().filter(|up| !up.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Arc::new(rustix::fs::open(up, flags, Mode::empty())?))
    }

    fn name(&self) -> io::Result<&OsStr> {
        self.file_name().ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))
    }

    fn get(&self) -> io::Result<OwnedFd> {
        syscall::get(self)
    }

    fn pin(&self, object: std::os::fd::BorrowedFd<'_>) -> io::Result<()> {
        syscall::pin(object, self)
    }
}

impl Named for PathBuf {
    fn path(&self) -> &Path {
        self
    }

    fn up(&self) -> io::Result<Arc<OwnedFd>> {
        self.as_path().up()
    }

    fn name(&self) -> io::Result<&OsStr> {
        Named::name(self.as_path())
    }

    fn get(&self) -> io::Result<OwnedFd> {
        self.as_path().get()
    }

    fn pin(&self, object: std::os::fd::BorrowedFd<'_>) -> io::Result<()> {
        Named::pin(self.as_path(), object)
    }
}

/// Which directories are entered, beside one that is held open.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The device of their file system (`st_dev`).
    pub device: u64,
    /// Whose they may be.
    pub owners: Vec<u32>,
}

impl Rule {
    /// True for the owner of one that is entered.
    #[must_use]
    pub fn trusts(&self, owner: u32) -> bool {
        self.owners.contains(&owner)
    }

    fn check(&self, dir: &OwnedFd) -> io::Result<()> {
        let stat = rustix::fs::fstat(dir)?;
        let wrong = |what: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        if stat.st_dev != self.device {
            return wrong("a directory of another file system is there".to_owned());
        }
        if !self.trusts(stat.st_uid) {
            return wrong(format!("a directory of user {} is there", stat.st_uid));
        }
        Ok(())
    }
}

/// A directory of pins by its name.
#[derive(Debug, Clone)]
pub struct Dir {
    path: PathBuf,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    /// Wherever the path leads.
    Path,
    /// By its name in a directory that is held open.
    Beside(Arc<OwnedFd>, OsString, Arc<Rule>),
    /// By its name in another one.
    In(Arc<Dir>, OsString),
}

impl Dir {
    /// One that a person named: its path is followed wherever it leads.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), place: Place::Path }
    }

    /// That of the name in `up`, if it obeys the rule; `path` is for messages. `.` is `up` itself.
    #[must_use]
    pub fn beside(up: Arc<OwnedFd>, name: impl Into<OsString>, rule: Arc<Rule>, path: PathBuf) -> Self {
        Self { path, place: Place::Beside(up, name.into(), rule) }
    }

    /// A directory in this one. It obeys the same rule.
    #[must_use]
    pub fn dir(&self, name: impl Into<OsString>) -> Self {
        let name = name.into();
        Self { path: self.path.join(&name), place: Place::In(Arc::new(self.clone()), name) }
    }

    /// What has that name in it.
    #[must_use]
    pub fn join(&self, name: impl Into<OsString>) -> Pin {
        let name = name.into();
        Pin { path: self.path.join(&name), dir: self.clone(), name }
    }

    /// For messages.
    #[must_use]
    pub fn display(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    fn rule(&self) -> Option<&Rule> {
        match &self.place {
            Place::Path => None,
            Place::Beside(.., rule) => Some(rule),
            Place::In(up, _) => up.rule(),
        }
    }

    /// Opens it, for calls that take a name in it.
    ///
    /// # Errors
    /// As open(2): ENOENT if there is none, ENOTDIR for a symbolic link too. EPERM if it does not obey the rule.
    pub fn open(&self) -> io::Result<Arc<OwnedFd>> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let fd = match self.place {
            Place::Path => rustix::fs::open(&self.path, flags | OFlags::CLOEXEC, Mode::empty())?,
            Place::Beside(..) | Place::In(..) => open(&*self.up()?, self.name()?, flags | OFlags::NOFOLLOW)?,
        };
        if let Some(rule) = self.rule() {
            rule.check(&fd)?;
        }
        Ok(Arc::new(fd))
    }

    /// This very one, as it is now: what is put in its place meanwhile is another.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn held(&self) -> io::Result<Self> {
        let rule = self.rule().cloned().map(Arc::new);
        let fd = self.open()?;
        let rule = match rule {
            Some(rule) => rule,
            None => {
                let stat = rustix::fs::fstat(&fd)?;
                Arc::new(Rule { device: stat.st_dev, owners: vec![stat.st_uid] })
            }
        };
        Ok(Self::beside(fd, ".", rule, self.path.clone()))
    }

    /// The names in it, sorted, and what kind of file each is. `None` if there is no such directory.
    ///
    /// # Errors
    /// As [`Self::open`] and readdir(3).
    pub fn entries(&self) -> io::Result<Option<Vec<(String, FileType)>>> {
        let dir = match self.open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            dir => dir?,
        };
        let listed = open(&dir, OsStr::new("."), OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut entries = Vec::new();
        for entry in rustix::fs::Dir::new(listed)? {
            let entry = entry?;
            // Names that are not UTF-8 can't be ours; whoever made them sees them in the replaced form.
            entries.push((entry.file_name().to_string_lossy().into_owned(), entry.file_type()));
        }
        entries.retain(|(name, _)| name != "." && name != "..");
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Some(entries))
    }

    /// As [`Self::entries`], without the kinds.
    ///
    /// # Errors
    /// As [`Self::entries`].
    pub fn names(&self) -> io::Result<Option<Vec<String>>> {
        Ok(self.entries()?.map(|entries| entries.into_iter().map(|(name, _)| name).collect()))
    }
}

impl Named for Dir {
    fn path(&self) -> &Path {
        &self.path
    }

    fn up(&self) -> io::Result<Arc<OwnedFd>> {
        match &self.place {
            Place::Path => self.path.up(),
            Place::Beside(up, ..) => Ok(up.clone()),
            Place::In(up, _) => up.open(),
        }
    }

    fn name(&self) -> io::Result<&OsStr> {
        match &self.place {
            Place::Path => Named::name(&self.path),
            Place::Beside(_, name, _) | Place::In(_, name) => Ok(name),
        }
    }
}

/// What has a name in a directory of pins.
#[derive(Debug, Clone)]
pub struct Pin {
    path: PathBuf,
    dir: Dir,
    name: OsString,
}

impl Pin {
    /// The directory that it is in.
    #[must_use]
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Its name there, as text.
    #[must_use]
    pub fn file_name(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }

    /// For messages.
    #[must_use]
    pub fn display(&self) -> std::path::Display<'_> {
        self.path.display()
    }
}

impl Named for Pin {
    fn path(&self) -> &Path {
        &self.path
    }

    fn up(&self) -> io::Result<Arc<OwnedFd>> {
        self.dir.open()
    }

    fn name(&self) -> io::Result<&OsStr> {
        Ok(&self.name)
    }
}

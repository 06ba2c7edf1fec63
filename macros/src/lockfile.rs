//! The lock of the package that is compiled.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use std::{env, fs, io};

use maplock_layout::Lock;
use maplock_layout::lock::{FILE_NAME, LOCK_VARIABLE};

use crate::input::Input;
use crate::types::Types;

/// Where `maplock-codegen` leaves the lines of the C headers: `KIND<TAB>NAME<TAB>MEMBER OR OBJECT<TAB>FILE:LINE`.
const LINES_FILE: &str = "maplock.lines";

/// What it leaves while the build fails: the lock as the objects would have it. The error tells what the lock does not have yet.
const BUILT_FILE: &str = "maplock.built.lock";

/// When a file was written, and its length.
type Stamp = Option<(SystemTime, u64)>;

type Cache = HashMap<PathBuf, (Stamp, Stamp, Arc<Types>)>;

static CACHE: Mutex<Option<Cache>> = Mutex::new(None);

/// The path of the lock, absolute.
pub(crate) fn path(input: &Input) -> Result<PathBuf, String> {
    if input.attribute.lock.is_none()
        && let Some(built) = env::var_os("OUT_DIR").map(|folder| Path::new(&folder).join(BUILT_FILE))
        && built.exists()
    {
        return Ok(built);
    }
    let folder = env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set; build it with Cargo")?;
    let of_target = || env::var(LOCK_VARIABLE).unwrap_or_else(|_| FILE_NAME.to_owned());
    let name = input.attribute.lock.as_ref().map_or_else(of_target, syn::LitStr::value);
    Ok(Path::new(&folder).join(name))
}

/// What the lock at `path` says.
///
/// # Errors
/// A sentence for the user if it is missing or broken.
pub(crate) fn read(path: &Path) -> Result<Arc<Types>, String> {
    let lines = env::var_os("OUT_DIR").map(|folder| Path::new(&folder).join(LINES_FILE));
    let stamps = (stamp(path), lines.as_deref().and_then(stamp));
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let cache = cache.get_or_insert_default();
    if let Some((lock, lines, types)) = cache.get(path)
        && (*lock, *lines) == stamps
    {
        return Ok(Arc::clone(types));
    }
    let text = fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!(
            "{} is not there, so no key or value of this package can be checked; run `cargo maplock init`, or name \
             the lock: `#[maplock(lock = \"../daemon/maps.lock\")]`",
            path.display()
        ),
        _ => format!("{}: {error}", path.display()),
    })?;
    let lock = Lock::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = lines.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    let types = Arc::new(Types::new(&lock, &lines));
    cache.insert(path.to_owned(), (stamps.0, stamps.1, Arc::clone(&types)));
    Ok(types)
}

fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

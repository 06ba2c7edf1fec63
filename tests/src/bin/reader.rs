//! Opens the maps of a lock in a directory of pins, as a process that can be stopped at each of its system calls:
//! `reader DIR LOCK`. Says of which generation each map is, or what the error is, and of which kind.

use std::path::Path;

use maplock::handles::{Directory, Opaque};
use maplock::layout::Lock;
use maplock::{Error, Spec};

fn main() {
    let mut words = std::env::args().skip(1);
    let (Some(dir), Some(lock), None) = (words.next(), words.next(), words.next()) else {
        eprintln!("reader DIR LOCK");
        std::process::exit(2);
    };
    let lock = std::fs::read_to_string(lock).expect("a file");
    let spec = Spec::from(Lock::parse(&lock).expect("a lock"));
    #[cfg(target_arch = "x86_64")]
    maplock_tests::trace::offer().expect("a parent that traces");
    match generations(&spec, Path::new(&dir)) {
        Ok(generations) => eprintln!("{generations:?}"),
        Err(error) => eprintln!("{:?}: {error}", error.kind()),
    }
}

fn generations(spec: &Spec, dir: &Path) -> Result<Vec<Option<u64>>, Error> {
    let mut maps = Directory::open(spec, dir)?;
    spec.maps().map(|map| Ok(maps.map::<Opaque>(&map.def.name)?.generation())).collect()
}

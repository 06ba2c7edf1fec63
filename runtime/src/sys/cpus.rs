//! The CPUs of this machine.

use std::collections::BTreeSet;
use std::io;

/// How many CPUs the machine could have: so many values has an entry of a per-CPU map. Online ones may be fewer.
///
/// # Errors
/// If `/sys/devices/system/cpu/possible` can't be read.
pub fn possible_cpus() -> io::Result<u32> {
    Ok(u32::try_from(possible_cpu_numbers()?.len()).unwrap_or(u32::MAX))
}

/// The numbers of these CPUs, which may have holes. Entries of per-CPU maps have none: their values are those of these CPUs, in this
/// order (`for_each_possible_cpu` in `bpf_percpu_hash_copy`).
///
/// # Errors
/// If `/sys/devices/system/cpu/possible` can't be read.
pub fn possible_cpu_numbers() -> io::Result<&'static [u32]> {
    static CPUS: std::sync::OnceLock<Vec<u32>> = std::sync::OnceLock::new();
    if let Some(cpus) = CPUS.get() {
        return Ok(cpus);
    }
    let path = "/sys/devices/system/cpu/possible";
    let text = std::fs::read_to_string(path)?;
    let cpus = cpu_list(&text).ok_or_else(|| io::Error::other(format!("{path} holds `{}`", text.trim())))?;
    Ok(CPUS.get_or_init(|| cpus.into_iter().collect()))
}

/// The CPUs that run.
///
/// # Errors
/// If `/sys/devices/system/cpu/online` can't be read.
pub fn online_cpus() -> io::Result<BTreeSet<u32>> {
    let path = "/sys/devices/system/cpu/online";
    let text = std::fs::read_to_string(path)?;
    cpu_list(&text).ok_or_else(|| io::Error::other(format!("{path} holds `{}`", text.trim())))
}

/// CPUs as the kernel lists them: `0-3`, `0`, `0,2-5`.
fn cpu_list(text: &str) -> Option<BTreeSet<u32>> {
    /// More than any kernel is built for (`CONFIG_NR_CPUS`).
    const MAX: u32 = 1 << 16;
    let mut cpus = BTreeSet::new();
    for range in text.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        if first > last || last > MAX {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// Lets the calling thread run on one CPU only.
///
/// # Errors
/// EINVAL if that CPU does not run, or the thread's cpuset does not have it.
pub fn run_on_cpu(cpu: u32) -> io::Result<()> {
    let mut cpus = rustix::thread::CpuSet::new();
    if cpu as usize >= rustix::thread::CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    cpus.set(cpu as usize);
    Ok(rustix::thread::sched_setaffinity(None, &cpus)?)
}

/// Moves the calling thread from CPU to CPU, and lets it run where it did when it is dropped.
#[derive(Debug)]
pub struct Tour {
    before: rustix::thread::CpuSet,
    cpus: Vec<u32>,
    next: usize,
}

impl Tour {
    /// Over all CPUs on which the thread may run.
    ///
    /// # Errors
    /// If the kernel does not tell them.
    pub fn new() -> io::Result<Self> {
        let before = rustix::thread::sched_getaffinity(None)?;
        let cpus = (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| before.is_set(*cpu));
        Ok(Self { before, cpus: cpus.filter_map(|cpu| cpu.try_into().ok()).collect(), next: 0 })
    }

    /// To the next one. If that went away meanwhile, the thread stays.
    pub fn go_on(&mut self) {
        if let Some(cpu) = self.cpus.get(self.next % self.cpus.len().max(1)) {
            _ = run_on_cpu(*cpu);
        }
        self.next += 1;
    }
}

impl Drop for Tour {
    fn drop(&mut self) {
        _ = rustix::thread::sched_setaffinity(None, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::{Tour, cpu_list};

    #[test]
    fn a_tour_ends_where_it_began() {
        let on = || rustix::thread::sched_getaffinity(None).expect("told");
        let before = on();
        let mut tour = Tour::new().expect("told");
        tour.go_on();
        assert_eq!(on().count(), 1);
        drop(tour);
        assert_eq!(on(), before);
    }

    #[test]
    fn cpus_are_counted_and_holes_are_not() {
        for (list, count) in [("0\n", 1), ("0-3\n", 4), ("0,2-5", 5), ("0-1,8-9,11", 5)] {
            assert_eq!(cpu_list(list).map(|cpus| cpus.len()), Some(count), "{list}");
        }
        for list in ["", "x", "3-1", "0-4294967295", "0,"] {
            assert_eq!(cpu_list(list), None, "{list}");
        }
    }
}

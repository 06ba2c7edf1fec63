//! Sockets that are made in a cgroup, and counted by who makes them.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::kernel::{self, Cgroup};

/// Sockets that were made so far, by [`Traffic::drive`].
#[derive(Debug)]
pub struct Traffic {
    made: Mutex<u64>,
    /// So many are to be made: all that can be, or those that somebody waits for.
    wanted: AtomicU64,
    is_over: AtomicBool,
}

impl Traffic {
    /// Makes sockets in `cgroup`, a threaded one, all the while that `inside` runs. If programs of this kernel can't settle an array, what is
    /// counted at that moment may be lost: then sockets are only made while somebody waits for them.
    ///
    /// # Panics
    /// With whatever `inside` panics with, or where a socket can't be made.
    pub fn drive<T>(cgroup: &Cgroup, inside: impl FnOnce(&Self) -> T) -> T {
        struct Over<'a>(&'a Traffic);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.is_over.store(true, Ordering::Relaxed);
            }
        }
        let wanted = if kernel::has_helper("bpf_loop") { u64::MAX } else { 0 };
        let traffic = Self { made: Mutex::default(), wanted: wanted.into(), is_over: false.into() };
        thread::scope(|scope| {
            scope.spawn(|| cgroup.run(|| traffic.flow()));
            let _over = Over(&traffic);
            inside(&traffic)
        })
    }

    fn flow(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            let mut made = self.hold();
            if *made < self.wanted.load(Ordering::Relaxed) {
                // Made, bound, and closed at once.
                drop(UdpSocket::bind("127.0.0.1:0").expect("a socket"));
                *made += 1;
            }
            drop(made);
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// None is made while this is held; how many were.
    pub fn hold(&self) -> MutexGuard<'_, u64> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until some more were made.
    pub fn wait_for_some(&self) {
        let enough = *self.hold() + 3;
        self.wanted.fetch_max(enough, Ordering::Relaxed);
        while *self.hold() < enough {
            thread::sleep(Duration::from_micros(200));
        }
    }
}

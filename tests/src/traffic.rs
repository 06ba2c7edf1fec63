//! Sockets that are made in a cgroup, and counted by who makes them.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::kernel::Cgroup;

/// Sockets that were made so far, by [`Traffic::drive`].
#[derive(Debug, Default)]
pub struct Traffic {
    made: Mutex<u64>,
    is_over: AtomicBool,
}

impl Traffic {
    /// Makes sockets in `cgroup`, a threaded one, all the while that `inside` runs.
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
        let traffic = Self::default();
        thread::scope(|scope| {
            scope.spawn(|| cgroup.run(|| traffic.flow()));
            let _over = Over(&traffic);
            inside(&traffic)
        })
    }

    fn flow(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            {
                let mut made = self.hold();
                // Made, bound, and closed at once.
                drop(UdpSocket::bind("127.0.0.1:0").expect("a socket"));
                *made += 1;
            }
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// None is made while this is held; how many were.
    pub fn hold(&self) -> MutexGuard<'_, u64> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until some more were made.
    pub fn wait_for_some(&self) {
        let before = *self.hold();
        while *self.hold() < before + 3 {
            thread::sleep(Duration::from_micros(200));
        }
    }
}

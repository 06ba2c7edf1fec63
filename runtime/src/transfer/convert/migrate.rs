//! Conversions that are written by hand.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use maplock_layout::Digest;
use zerocopy::FromBytes as _;

use crate::entry::{MapKey, MapValue};

/// Why an entry can't be converted. The upgrade does not happen then, and nothing has changed.
pub type MigrateError = Box<dyn std::error::Error + Send + Sync>;

/// How an entry of an older release becomes entries of this one, if the layouts alone don't tell.
///
/// `Old` is the value's type in the older release, as the build script generated it (`previous::v41ab::FlowStats`). It is called
/// once for each entry, and again for each that the old programs changed since; the same entry must give the same result. In
/// a per-CPU map, it is called for the value of each CPU.
#[diagnostic::on_unimplemented(
    message = "`maps.lock` says that entries of `{Old}` become `{Self}` by hand, and nothing says how",
    label = "needs `impl maplock::Migrate<{Old}> for {Self}`",
    note = "or let maplock derive it: `cargo maplock accept MAP --on-upgrade migrate` without `--by-hand`"
)]
pub trait Migrate<Old: MapValue>: MapValue + Sized {
    /// The key's type in the older release.
    type OldKey: MapKey;
    /// The key's type in this one.
    type Key: MapKey;

    /// Writes what the entry becomes to `new`: nothing if it is dropped, several entries if it is split.
    ///
    /// # Errors
    /// If it can't be told what the entry becomes.
    fn migrate(key: &Self::OldKey, old: &Old, new: &mut Entries<'_, Self::Key, Self>) -> Result<(), MigrateError>;
}

/// What an entry becomes.
pub struct Entries<'a, K, V> {
    insert: &'a mut dyn FnMut(&[u8], &[u8]),
    of: PhantomData<(K, V)>,
}

impl<K, V> fmt::Debug for Entries<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").finish_non_exhaustive()
    }
}

impl<K: MapKey, V: MapValue> Entries<'_, K, V> {
    /// Adds one.
    pub fn insert(&mut self, key: K, value: V) {
        (self.insert)(key.as_bytes(), value.as_bytes());
    }
}

/// A conversion by bytes: key, value, and where its results go.
pub type ByHand = dyn Fn(&[u8], &[u8], &mut dyn FnMut(&[u8], &[u8])) -> Result<(), MigrateError> + Send + Sync;

/// The conversions by hand that a daemon has, by the digests between which they lead.
#[derive(Clone, Default)]
pub struct Migrations(BTreeMap<(Digest, Digest), Arc<ByHand>>);

impl fmt::Debug for Migrations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Migrations {
    /// Adds that of `New` from `Old`.
    pub fn add<New: Migrate<Old>, Old: MapValue>(&mut self, from: Digest, to: Digest) {
        let convert = |key: &[u8], value: &[u8], insert: &mut dyn FnMut(&[u8], &[u8])| {
            let key =
                New::OldKey::read_from_bytes(key).map_err(|_| unlike("key", key.len(), size_of::<New::OldKey>()))?;
            let value = Old::read_from_bytes(value).map_err(|_| unlike("value", value.len(), size_of::<Old>()))?;
            New::migrate(&key, &value, &mut Entries { insert, of: PhantomData })
        };
        self.0.insert((from, to), Arc::new(convert));
    }

    /// That between two digests.
    #[must_use]
    pub fn get(&self, from: Digest, to: Digest) -> Option<&Arc<ByHand>> {
        self.0.get(&(from, to))
    }
}

fn unlike(what: &str, is: usize, wanted: usize) -> MigrateError {
    format!("a {what} of {is} bytes came to a conversion of {what}s of {wanted}").into()
}

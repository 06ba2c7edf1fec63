//! What an entry holds: one value, or one for each CPU.

use crate::entry::MapValue;

/// What a map holds under a key: a [`MapValue`], or [`PerCpu`](super::PerCpu) of one.
pub trait Value: private::Bytes {}

impl<V: MapValue> Value for V {}

/// How a value and the bytes that system calls carry become each other.
pub(super) mod private {
    use std::io;

    use crate::entry::MapValue;

    pub trait Bytes: Sized {
        /// Bytes of one value, as `bpf_map_info` tells them.
        const SIZE: usize;
        /// True if there is a value for each CPU.
        const PER_CPU: bool;

        /// A value of what `fill` writes to a buffer of `len` bytes; `None` if it says that there is nothing.
        fn filled_by(len: usize, fill: impl FnOnce(&mut [u8]) -> io::Result<bool>) -> io::Result<Option<Self>>;

        /// A value of these bytes.
        fn from_bytes(bytes: &[u8]) -> io::Result<Self>;

        /// Gives its bytes to `take`.
        fn with_bytes<R>(&self, take: impl FnOnce(&[u8]) -> R) -> R;
    }

    impl<V: MapValue> Bytes for V {
        const SIZE: usize = size_of::<V>();
        const PER_CPU: bool = false;

        #[inline]
        fn filled_by(_: usize, fill: impl FnOnce(&mut [u8]) -> io::Result<bool>) -> io::Result<Option<Self>> {
            let mut value = V::new_zeroed();
            Ok(fill(value.as_mut_bytes())?.then_some(value))
        }

        fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
            V::read_from_bytes(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
        }

        #[inline]
        fn with_bytes<R>(&self, take: impl FnOnce(&[u8]) -> R) -> R {
            take(self.as_bytes())
        }
    }
}

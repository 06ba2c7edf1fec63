//! What all handles have.

/// What all handles have.
macro_rules! handle {
    ($name:ident $(<$($of:ident: $bound:path),+>)?, $kind:expr, key: $key:expr, value: $value:expr) => {
        impl$(<$($of: $bound),+>)? $crate::handles::Handle for $name$(<$($of),+>)? {
            fn from_verified(map: $crate::handles::Verified) -> Result<Self, $crate::Error> {
                use maplock_layout::map_type::Kind;
                let kind: Option<Kind> = $kind;
                map.check(stringify!($name), kind, $key, $value)?;
                Ok(Self::of(map))
            }
        }

        impl$(<$($of),+>)? $name$(<$($of),+>)? {
            /// Its name in the spec.
            #[must_use]
            pub fn name(&self) -> &str {
                self.map.name()
            }

            /// How many entries it can hold, as the kernel has it; of a ring buffer, how many bytes.
            #[must_use]
            pub fn capacity(&self) -> u32 {
                self.map.info().max_entries
            }

            /// The number of the generation that it was opened from, as upgrades count. `None` if nothing tells: of a map that was not
            /// opened by its pin, that another program pinned, or that is staged and not committed yet.
            #[must_use]
            pub fn generation(&self) -> Option<u64> {
                self.map.origin()?.generation()?.number()
            }

            /// The map itself, whose keys and values are bytes.
            #[must_use]
            pub fn as_map(&self) -> &$crate::sys::Map {
                &self.map
            }

            /// The same map for aya, which checks nothing: `aya::maps::Map::from_map_data` makes one of its own typed maps of it.
            ///
            /// # Errors
            /// If there is no descriptor left, or aya does not take it.
            #[cfg(feature = "aya")]
            #[cfg_attr(docsrs, doc(cfg(feature = "aya")))]
            pub fn to_aya(&self) -> Result<aya::maps::MapData, aya::maps::MapError> {
                use std::os::fd::AsFd as _;
                let fd = self.as_fd().try_clone_to_owned().map_err(|io_error| {
                    aya::maps::MapError::IoError(io_error)
                })?;
                aya::maps::MapData::from_fd(fd)
            }

            /// The same map for libbpf-rs, which checks sizes. libbpf-rs takes a map by its number, which asks for CAP_SYS_ADMIN.
            ///
            /// # Errors
            /// If libbpf-rs does not get it.
            #[cfg(feature = "libbpf-rs")]
            #[cfg_attr(docsrs, doc(cfg(feature = "libbpf-rs")))]
            pub fn to_libbpf(&self) -> libbpf_rs::Result<libbpf_rs::MapHandle> {
                libbpf_rs::MapHandle::from_map_id(self.map.info().id)
            }
        }

        impl$(<$($of),+>)? std::os::fd::AsFd for $name$(<$($of),+>)? {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.map.as_fd()
            }
        }

        impl$(<$($of),+>)? std::fmt::Debug for $name$(<$($of),+>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).field("name", &self.name()).field("id", &self.map.info().id).finish()
            }
        }
    };
}
pub(super) use handle;

//! libbpf's loader, by libbpf-rs.
#![allow(unsafe_code, reason = "libbpf-rs has no call that clears a pin path")]

use std::os::fd::AsFd as _;

use libbpf_rs::{AsRawLibbpf as _, OpenObject};

use crate::error::{Error, ErrorKind};
use crate::upgrade::stage::Staged;

#[cfg_attr(docsrs, doc(cfg(feature = "libbpf-rs")))]
impl Staged {
    /// Makes an opened object use the staged maps for the maps of their names. To be called before its `load`. Skeletons give their
    /// object by `open_object_mut()`.
    ///
    /// # Errors
    /// If libbpf refuses a map.
    pub fn libbpf(&self, object: &mut OpenObject) -> Result<(), Error> {
        for mut map in object.maps_mut() {
            let name = map.name().to_string_lossy().into_owned();
            let refused = || format!("libbpf refuses the staged map `{name}`");
            // For a map with a pin path, libbpf opens that pin, whatever descriptor it was given (`bpf_object__reuse_map`). Without
            // one, a map that the spec does not have is made anew.
            // SAFETY: the pointer is that of a map of `object`, which is borrowed; NULL clears its path
            // (`bpf_map__set_pin_path` in libbpf.h).
            let result =
                unsafe { libbpf_sys::bpf_map__set_pin_path(map.as_libbpf_object().as_ptr(), std::ptr::null()) };
            if result != 0 {
                let error = std::io::Error::from_raw_os_error(-result);
                return Err(Error::because(ErrorKind::Usage, refused(), error));
            }
            if let Some(staged) = self.map(&name) {
                let reused = map.reuse_fd(staged.as_fd());
                reused.map_err(|error| Error::because(ErrorKind::Usage, refused(), error))?;
            }
        }
        Ok(())
    }
}

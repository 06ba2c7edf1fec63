//! aya's loader. It takes no descriptors, and opens whatever lies at a map's path.

use aya::EbpfLoader;

use crate::upgrade::stage::Staged;

#[cfg_attr(docsrs, doc(cfg(feature = "aya")))]
impl Staged {
    /// A loader that uses the staged maps for the maps of their names, whatever pinning the object asks for. It is told their
    /// capacities, which may be larger than the object's. A map that the spec does not have is made anew, never opened from a path of
    /// aya's own choice.
    ///
    /// ```no_run
    /// # fn f(staged: maplock::Staged, object: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut ebpf = staged.aya().load(object)?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn aya(&self) -> EbpfLoader<'_> {
        let mut loader = EbpfLoader::new();
        loader.default_map_pin_directory(self.staging_dir());
        for (name, map) in self.maps() {
            if let Some(pin) = self.pin(name) {
                loader.map_pin_path(name, pin);
                // Since 0.16, aya refuses a pin of another capacity than the object's; before, its arrays ended at the object's.
                loader.map_max_entries(name, map.info().max_entries);
            }
        }
        loader
    }
}

//! Members that programs count in.

use crate::lock::LockedMap;
use crate::map_type::Behaviour;
use crate::sum::sum_places;

impl LockedMap {
    /// Members that the release's programs only add to, as far as they could be followed, and of which nothing says for the life of the map
    /// how they are merged: where its entries are carried over into another map, what old programs count meanwhile is lost. None of a map
    /// whose entries are carried over into none.
    #[must_use]
    pub fn unmerged_counters(&self) -> Vec<&str> {
        let is_carried = !self.ephemeral && self.def.map_type.row().entries == Behaviour::Copied;
        let Some((value, programs)) = self.def.value.as_deref().zip(self.programs.as_ref()).filter(|_| is_carried)
        else {
            return Vec::new();
        };
        let is_open = |path: &&String| !self.merge.contains_key(*path) && sum_places(value, path).is_ok();
        programs.adds.iter().filter(is_open).map(String::as_str).collect()
    }
}

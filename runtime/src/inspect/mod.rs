//! What is pinned, as the kernel tells it.

mod attached;
mod directory;
mod error;
pub(crate) mod exposition;
pub(crate) mod generations;
mod layouts;
mod metrics;
mod near;
pub mod normalise;
mod observe;
mod said;
mod uses;
mod version;
mod way_back;

pub use attached::{Attached, attached};
pub(crate) use directory::within;
pub use directory::{Inventory, Pinned, directory};
pub use error::InspectError;
pub use generations::{Generations, Kept, generations};
pub use layouts::Layouts;
pub use metrics::metrics;
pub use near::{Near, Place, near};
pub use observe::{Observed, Source, observe};
pub(crate) use said::{as_its_release_said, as_said};
pub use uses::Looked;
pub(crate) use uses::{User, programs_in, users};
pub(crate) use version::with_version;
pub use way_back::{MapBack, WayBack};
pub(crate) use way_back::{generation_number, lacks_layout};

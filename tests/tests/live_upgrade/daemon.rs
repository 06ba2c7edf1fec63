//! How a daemon is started: as a program of this machine, or in a container.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use maplock_tests::{container, toolchain};

/// The daemon that is tested.
pub(crate) enum Daemon {
    Program(PathBuf),
    /// The name of an image that holds `minimesh`.
    Image(String),
}

impl Daemon {
    /// `MAPLOCK_UPGRADE_IMAGE` or `MAPLOCK_UPGRADE_BIN`, or the one of this tree. The image is built of this tree before, unless
    /// `skips_build`.
    pub(crate) fn chosen(skips_build: bool) -> Self {
        match (env::var("MAPLOCK_UPGRADE_IMAGE"), env::var_os("MAPLOCK_UPGRADE_BIN")) {
            (Ok(_), Some(_)) => panic!("MAPLOCK_UPGRADE_IMAGE and MAPLOCK_UPGRADE_BIN name one daemon each: unset one"),
            (Ok(image), None) => {
                if !skips_build {
                    container::build(&image, include_str!("../../../minimesh/maps.lock"), &[]);
                }
                Self::Image(image)
            }
            (Err(_), Some(path)) => Self::Program(path.into()),
            (Err(_), None) if skips_build => {
                panic!(
                    "`--skip-build` needs MAPLOCK_UPGRADE_BIN or MAPLOCK_UPGRADE_IMAGE, the path or the image of a daemon"
                )
            }
            (Err(_), None) => Self::Program(toolchain::built("minimesh", "minimesh")),
        }
    }

    /// A command that starts it, to which its arguments are added. In a container, it sees these directories and no others of the machine.
    pub(crate) fn command(&self, shown: &[&Path]) -> Command {
        match self {
            Self::Program(path) => Command::new(path),
            Self::Image(image) => {
                let mut command = container::container(shown);
                command.args([image, "minimesh"]);
                command
            }
        }
    }
}

//! Traffic for whoever drives the daemon: servers and a client, each a command of its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::{fs, thread};

use maplock::Map;
use maplock::internals::inspect::{Layouts, observe};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::client::{self, Target};
use crate::config::{Config, Service};
use crate::entries::{decode, read_all};
use crate::traffic::Backends;

/// Starts the servers of two services, and writes the configuration that leads to them, at once and as a whole. For ever.
///
/// # Errors
/// Where a server can't be started, or the file not be written.
pub fn serve(config: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", config.display());
    let backends = Backends::start(&["cart-1", "cart-2", "cart-3", "web-1", "web-2"]).map_err(failed)?;
    let service = |id, address: &str, prefix| -> Result<Service, String> {
        let address = address.parse().map_err(|error| format!("{address}: {error}"))?;
        Ok(Service { id, address, by_user: false, backends: backends.addresses(prefix), draining: Vec::new() })
    };
    let service = vec![service(1, "10.96.0.10:80", "cart-")?, service(2, "10.96.0.11:80", "web-")?];
    let text = toml::to_string(&Config { service }).map_err(|error| error.to_string())?;
    let half = config.with_extension("half");
    fs::write(&half, text).and_then(|()| fs::rename(&half, config)).map_err(failed)?;
    loop {
        thread::park();
    }
}

/// Connects without pause until SIGTERM. Then, where pins are given, the live `stats` there has to count just the connections that were
/// answered.
///
/// # Errors
/// Where a connection failed, a wrong server answered, or a count is lost.
pub fn connect(targets: &[Target], pins: Option<&Path>) -> Result<(), String> {
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&is_over)).map_err(|error| error.to_string())?;
    }
    let counts = client::until(&is_over, targets);
    println!("{} connections, {} answered by a wrong server, {} failed", counts.right, counts.wrong, counts.failed);
    if counts.wrong + counts.failed > 0 {
        return Err(format!("connections failed: {:?}", counts.reasons));
    }
    let Some(pins) = pins else { return Ok(()) };
    let counted = counted(&pins.join("stats"))?;
    if counted == counts.right {
        return Ok(());
    }
    Err(format!("`stats` counts {counted} connections, and there were {}", counts.right))
}

fn counted(pin: &Path) -> Result<u64, String> {
    let failed = |problem: &dyn std::fmt::Display| format!("{}: {problem}", pin.display());
    let map = Map::open(pin).map_err(|error| failed(&error))?;
    let def = observe(pin, &map, None, &mut Layouts::default()).map_err(|error| failed(&error))?.def;
    let value = def.value.ok_or_else(|| failed(&"nothing tells what its values are"))?;
    let entries = read_all(&map).map_err(|error| failed(&error))?;
    Ok(entries.iter().map(|(_, bytes)| decode(&value, "connections", bytes).unwrap_or(0)).sum())
}

//! Servers that say who they are.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::thread;

/// Servers on ports of their own of 127.0.0.1. Each tells whoever connects its name and hangs up. They live as long as the
/// process.
#[derive(Debug)]
pub struct Backends {
    servers: Vec<(String, SocketAddrV4)>,
}

impl Backends {
    /// Starts one for each name.
    ///
    /// # Errors
    /// Where there is no port or thread to be had.
    pub fn start(names: &[&str]) -> io::Result<Self> {
        let servers = names.iter().map(|name| Ok(((*name).to_owned(), serve(name)?)));
        Ok(Self { servers: servers.collect::<io::Result<_>>()? })
    }

    /// Where the server of that name listens.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn address(&self, name: &str) -> SocketAddrV4 {
        let server = self.servers.iter().find(|(server, _)| server == name);
        server.unwrap_or_else(|| panic!("there is no backend `{name}`")).1
    }

    /// Where those whose names begin so listen, in the order in which they were started.
    #[must_use]
    pub fn addresses(&self, prefix: &str) -> Vec<SocketAddrV4> {
        self.servers.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, address)| *address).collect()
    }
}

fn serve(name: &str) -> io::Result<SocketAddrV4> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, listener.local_addr()?.port());
    let name = name.to_owned();
    thread::Builder::new().name(format!("backend {name}")).spawn(move || {
        for mut connection in listener.incoming().flatten() {
            // Who hung up before the answer counts that as a failure.
            _ = connection.write_all(name.as_bytes());
        }
    })?;
    Ok(address)
}

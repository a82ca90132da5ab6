//! Takes the listening address, and explains why that failed.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::limits::LISTEN_BACKLOG;

/// A process that holds a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its name, as the system shows it.
    pub command: String,
}

/// Why a gateway cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error("port {} is in use on {}{}\nhint: stop that process, or give this host another port", address.port(), address.ip(), held_by(holder.as_ref()))]
    InUse {
        /// The address.
        address: SocketAddr,
        /// Who listens, where that can be known.
        holder: Option<Holder>,
    },
    /// The address is for privileged processes, such as a port below 1024.
    #[error(
        "no permission to listen on {address}\nhint: use a port of 1024 or above, or grant CAP_NET_BIND_SERVICE"
    )]
    Permission {
        /// The address.
        address: SocketAddr,
    },
    /// The address is not one of this machine.
    #[error("{} is no address of this machine\nhint: use 127.0.0.1, or an address that `ip address` shows", address.ip())]
    NotLocal {
        /// The address.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Says who holds a port, in words that continue a sentence.
fn held_by(holder: Option<&Holder>) -> impl fmt::Display {
    fmt::from_fn(move |f| match holder {
        Some(holder) => write!(f, ", by process {} ({})", holder.pid, holder.command),
        None => f.write_str(", by a process that cannot be seen from here"),
    })
}

/// Listens on `address`; returns the listener with the address it really has.
pub(crate) fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    let opened = open(address).and_then(|listener| {
        let local = listener.local_addr()?;
        Ok((TcpListener::from_std(listener)?, local))
    });
    opened.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse {
            address,
            holder: port_holder(address),
        },
        io::ErrorKind::PermissionDenied => BindError::Permission { address },
        io::ErrorKind::AddrNotAvailable => BindError::NotLocal { address },
        _ => BindError::Listen { address, source },
    })
}

fn open(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    // Connections of a former process that still wait for their end must not keep the port. (On
    // Windows the option means something else.)
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// Returns the process that listens on `address`, where that can be known: on Linux, and if its
/// descriptors may be seen.
#[cfg(target_os = "linux")]
pub fn port_holder(address: SocketAddr) -> Option<Holder> {
    crate::port_holder::find(address)
}

/// Returns the process that listens on `address`: nothing tells it on this system.
#[cfg(not(target_os = "linux"))]
pub fn port_holder(_: SocketAddr) -> Option<Holder> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, expected: &str) {
        let address = address.parse().expect("an address");
        let error = listen(address).expect_err("cannot be listened on");
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[tokio::test]
    async fn a_port_in_use_is_named_with_its_holder() {
        let (_listener, local) = listen(([127, 0, 0, 1], 0).into()).expect("a free port");
        let error = listen(local).expect_err("in use");
        let BindError::InUse { address, holder } = &error else {
            panic!("{error}")
        };
        assert_eq!(*address, local);
        assert!(
            error
                .to_string()
                .contains(&format!("port {} is in use", local.port())),
            "{error}"
        );
        assert!(error.to_string().contains("\nhint: "), "{error}");
        if cfg!(target_os = "linux") {
            assert_eq!(holder.as_ref().map(|it| it.pid), Some(std::process::id()));
        }
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_told_apart() {
        check("192.0.2.1:0", "192.0.2.1 is no address of this machine");
    }
}

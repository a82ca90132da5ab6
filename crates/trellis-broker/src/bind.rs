//! Takes the listening address: loopback only.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::limits::LISTEN_BACKLOG;

/// Why the broker cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address can be reached from other machines.
    #[error(
        "the embedded lattice listens on loopback only, not on {}\nhint: use 127.0.0.1, or join hosts through a NATS server with --nats",
        address.ip()
    )]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// Somebody else listens there.
    #[error(
        "port {} is in use on {}\nhint: stop the process that has it, or give the lattice another port",
        address.port(),
        address.ip()
    )]
    InUse {
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
    /// The system gives no random numbers, without which nobody can prove who they are.
    #[error("cannot get random numbers from the system")]
    Random {
        /// What the system said.
        #[source]
        source: getrandom::Error,
    },
}

/// Listens on `address`; returns the listener with the address it really has.
pub(crate) fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    if !address.ip().is_loopback() {
        return Err(BindError::NotLoopback { address });
    }
    let opened = open(address).and_then(|listener| {
        let local = listener.local_addr()?;
        Ok((TcpListener::from_std(listener)?, local))
    });
    opened.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { address },
        _ => BindError::Listen { address, source },
    })
}

fn open(address: SocketAddr) -> io::Result<StdListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Connections of a former process that still wait for their end must not keep the port. (On
    // Windows the option means something else.)
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let (_listener, local) = listen(([127, 0, 0, 1], 0).into()).expect("a free port");
        let error = listen(local).expect_err("in use").to_string();
        let expected = format!("port {} is in use on 127.0.0.1\nhint: ", local.port());
        assert!(error.starts_with(&expected), "{error}");
    }

    #[tokio::test]
    async fn only_loopback_is_listened_on() {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
            let error = listen(address.parse().expect("an address")).expect_err("refused");
            assert!(matches!(error, BindError::NotLoopback { .. }), "{error}");
        }
    }
}

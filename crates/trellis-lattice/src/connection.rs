//! The connection to a lattice's NATS: settings, connecting, and what its state is.

mod connect;
mod connect_error;
mod settings;
mod state;

pub use self::connect::{connect, connect_in_background};
pub use self::connect_error::ConnectError;
pub use self::settings::{Credentials, Settings, Tls, TlsIdentity};
pub use self::state::{ConnectionPhase, ConnectionState};

pub(crate) use self::state::Shared;

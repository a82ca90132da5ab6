//! Well-known interfaces over the lattice, in the words of wasmCloud 1.x.
//!
//! No handle of `wasi:keyvalue` or `wasi:http` crosses the lattice: both ends speak a twin of the
//! interface that has none (`trellis_wire::twins`). For each there is a caller, which stands where a
//! provider or component of this host would, and a service, which answers callers elsewhere. They know
//! wRPC and the traits that they stand for; what is linked to what is the node's to know.

mod http_bodies;
mod http_caller;
mod http_head;
mod http_replay;
mod http_service;
mod keyvalue_caller;
mod keyvalue_service;

use trellis_core::{ComponentId, LatticeName, LinkName};
use trellis_wire::DecodeError;
use trellis_wire::twins::{Decode, from_wire};
use trellis_wrpc::{Headers, Returns, SubjectError, Target};

pub use self::http_bodies::{BodyFault, ChannelBody};
pub(super) use self::http_caller::REQUEST_DEADLINE;
pub use self::http_caller::RemoteHttp;
pub(super) use self::http_service::ServedHttp;
pub use self::http_service::{HttpAnswerer, HttpService};
pub use self::keyvalue_caller::RemoteKeyValue;
pub use self::keyvalue_service::{Caller, Callers, KeyValueService};

/// The ends of a link that leads over the lattice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkEnds {
    /// The lattice of both.
    pub lattice: LatticeName,
    /// Who calls.
    pub source: ComponentId,
    /// The name of the link.
    pub name: LinkName,
    /// Who is called.
    pub target: ComponentId,
}

impl LinkEnds {
    /// Returns the headers by which the called end knows the link.
    pub(super) fn headers(&self) -> Headers {
        let mut headers = Headers::new();
        // Ids and link names are letters, digits, `-` and `_`: headers take them.
        for (name, value) in [
            ("source-id", self.source.as_str()),
            ("target-id", self.target.as_str()),
            ("link-name", self.name.as_str()),
        ] {
            if let Err(error) = headers.insert(name, value) {
                tracing::error!(%error, name, "a header of a link cannot be set");
            }
        }
        headers
    }

    /// Addresses a function of the target that has a result.
    fn function(&self, interface: &str, function: &str) -> Result<Target, SubjectError> {
        let (lattice, target) = (self.lattice.as_str(), self.target.as_str());
        let target = Target::new(lattice, target, interface, function)?;
        Ok(target.returning(Returns::Value))
    }
}

/// Tells whether `bytes` hold all of a value, or something that more bytes cannot mend.
fn is_whole<'a, T: Decode<'a>>(bytes: &'a [u8]) -> bool {
    !is_cut(&from_wire::<T>(bytes).map(drop))
}

fn is_cut(read: &Result<(), DecodeError>) -> bool {
    matches!(read, Err(error) if error.is_truncated())
}

//! What a client can run into, said for the person who asked.

use std::time::Duration;

use trellis_core::LatticeName;
use trellis_lattice::RequestError;

use crate::json::JsonError;
use crate::messages::Failure;
use crate::names::HostId;
use crate::request::DecodeError;
use crate::subjects::Route;

/// Why a request did not bring what it asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The request could not work anywhere; it was not sent.
    #[error("cannot {action}")]
    Invalid {
        /// What was asked for.
        action: &'static str,
        /// What is wrong with it.
        #[source]
        source: DecodeError,
    },
    /// Nobody takes this request: the host is not there, or is one of 1.x and the request is ours.
    #[error(
        "cannot {action}: no {} in lattice {lattice} takes it",
        host_text(host)
    )]
    Nobody {
        /// What was asked for.
        action: &'static str,
        /// The lattice.
        lattice: LatticeName,
        /// The host, where one was addressed.
        host: Option<HostId>,
        /// Whether hosts of 1.x do not know the request.
        ours: bool,
    },
    /// The answer did not come in time. Whether the request was carried out is not known.
    #[error(
        "cannot {action}: no answer from {} in lattice {lattice} within {} ms",
        host_text(host),
        after.as_millis()
    )]
    NoAnswer {
        /// What was asked for.
        action: &'static str,
        /// The lattice.
        lattice: LatticeName,
        /// The host, where one was addressed.
        host: Option<HostId>,
        /// How long was waited.
        after: Duration,
    },
    /// The host answered that it did not do it.
    #[error(
        "cannot {action}: {} in lattice {lattice} refuses: {message}",
        host_text(host)
    )]
    Refused {
        /// What was asked for.
        action: &'static str,
        /// The lattice.
        lattice: LatticeName,
        /// The host, where one was addressed.
        host: Option<HostId>,
        /// Its words.
        message: String,
    },
    /// The host answered that it did not do it, with a code.
    #[error("cannot {action} on {}", host_text(host))]
    Failed {
        /// What was asked for.
        action: &'static str,
        /// The host.
        host: Option<HostId>,
        /// The code and its words.
        #[source]
        source: Failure,
    },
    /// The answer is not what such a request is answered with.
    #[error(
        "cannot {action}: cannot read the answer of {} in lattice {lattice}",
        host_text(host)
    )]
    Unreadable {
        /// What was asked for.
        action: &'static str,
        /// The lattice.
        lattice: LatticeName,
        /// The host, where one was addressed.
        host: Option<HostId>,
        /// Where and why not; `None` where it has no data at all.
        #[source]
        source: Option<JsonError>,
    },
    /// The connection failed, or its credentials do not allow this.
    #[error("cannot {action} in lattice {lattice}")]
    Connection {
        /// What was asked for.
        action: &'static str,
        /// The lattice.
        lattice: LatticeName,
        /// What happened.
        #[source]
        source: RequestError,
    },
}

fn host_text(host: &Option<HostId>) -> String {
    match host {
        Some(host) => format!("host {host}"),
        None => "host".to_owned(),
    }
}

impl ClientError {
    /// Returns what to do next, where that is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Nobody {
                host: Some(host),
                ours: true,
                ..
            } => format!(
                "`trellis get hosts` lists the hosts; if {host} is among them, it runs wasmCloud 1.x, which \
                 cannot do this"
            ),
            Self::Nobody { host: Some(_), .. } => {
                "`trellis get hosts` lists the hosts of this lattice; `--lattice` chooses another".to_owned()
            }
            Self::Nobody { .. } => {
                "`trellis up` starts a host; `trellis context show` says which lattice this is".to_owned()
            }
            Self::NoAnswer { .. } => {
                "it may still have been done: look with `trellis get inventory` before you try again".to_owned()
            }
            Self::Connection {
                source: RequestError::Denied { .. },
                ..
            } => "use the credentials of a role that may do this: `trellis context list`".to_owned(),
            Self::Connection { .. } => "`trellis doctor` examines the connection".to_owned(),
            _ => return None,
        })
    }

    /// Tells whether the request may have been carried out although it failed here.
    pub fn may_have_been_done(&self) -> bool {
        match self {
            Self::NoAnswer { .. } | Self::Unreadable { .. } => true,
            Self::Connection { source, .. } => source.may_have_arrived(),
            _ => false,
        }
    }
}

/// What a request is called in the messages of [`ClientError`], after "cannot".
pub(super) fn action(route: &Route) -> &'static str {
    match route {
        Route::HostPing => "list hosts",
        Route::HostGet(_) => "get the inventory",
        Route::HostStop(_) => "stop the host",
        Route::LabelPut(_) => "put the label",
        Route::LabelDelete(_) => "delete the label",
        Route::ComponentAuction => "auction the component",
        Route::ProviderAuction => "auction the provider",
        Route::ComponentScale(_) => "scale the component",
        Route::ComponentUpdate(_) => "update the component",
        Route::ProviderStart(_) => "start the provider",
        Route::ProviderStop(_) => "stop the provider",
        Route::LinkPut => "put the link",
        Route::LinkDelete => "delete the link",
        Route::LinkGet => "list links",
        Route::ClaimsGet => "list claims",
        Route::ConfigPut(_) => "put the config",
        Route::ConfigGet(_) => "get the config",
        Route::ConfigDelete(_) => "delete the config",
        Route::RegistryPut => "put registry credentials",
        Route::Status(_) => "get the status",
        Route::Drain(_) => "drain or resume the host",
        Route::Doctor(_) => "examine the host",
        Route::Call(_) => "call the function",
        Route::Describe(_) => "describe the component",
        Route::Tail(_) => "read logs",
    }
}

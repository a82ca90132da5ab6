//! One node: takes applications, starts their components, links them and serves them.
//!
//! Knows how an application becomes running components ([`Host::start`]) and which of its providers
//! the host itself contains. Knows no command line.

mod blueprint;
mod built_in;
mod catalog;
mod deploy;
mod deployable;
mod error;
mod gateways;
mod host;
mod http_route;
mod imports;
mod node;
mod outgoing;
mod progress;
mod report;
mod routing;
mod satisfier;
mod wiring;

pub use built_in::{BuiltIn, names as built_in_names};
pub use deployable::Deployable;
pub use error::{Problem, StartError};
pub use gateways::GatewayError;
pub use host::{Host, HostConfig};
pub use node::twins;
pub use node::{
    FollowedLines, JoinError, LogBook, Metrics, MetricsError, Node, NodeConfig, can_run_component,
    can_run_provider,
};
pub use progress::{Observer, Progress};
pub use report::{ApplicationReport, ComponentReport, HostReport, LinkReport, Tier};
pub use satisfier::Satisfier;
pub use trellis_gateway::{
    BindError, DrainReport, GatewayLimits, Holder as PortHolder, PeerRange, ShutdownSignal,
    ShutdownTrigger, port_holder, shutdown_channel,
};

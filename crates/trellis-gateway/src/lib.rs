//! The shared HTTP entrance of a host: one port for all its applications.
//!
//! Speaks HTTP/1.1 and HTTP/2 (clear text, prior knowledge), routes by host and path prefix to a
//! [`Handler`], and stands between the network and everything behind it: strict framing, limits,
//! timeouts, bounded admission, graceful drain. Knows neither WebAssembly nor components.

mod bind;
mod gateway;
mod limits;
mod peers;
#[cfg(target_os = "linux")]
mod port_holder;
mod refusal;
mod request_body;
mod response_body;
mod routes;
mod shutdown;

mod request_head;
mod request_id;
mod response_head;
mod service;

mod connection;
mod framing;
mod http2_watch;
mod stall;
mod transport;

pub use bind::{BindError, Holder, port_holder};
pub use gateway::{Config, DrainReport, Gateway};
pub use limits::{GatewayLimits, MinimumRate};
pub use peers::{PeerRange, PeerRangeError};
pub use refusal::Refusal;
pub use request_body::{BodyError, RequestBody};
pub use request_id::REQUEST_ID;
pub use response_body::{BoxError, ResponseBody};
pub use routes::{Handler, HandlerFuture, Route, RouteError, RoutePlace, RouteTable};
pub use shutdown::{ShutdownSignal, ShutdownTrigger, shutdown_channel};

//! What one component may spend, how its instances are reused, and how large a value may travel.

use std::time::Duration;

const MIB: u64 = 1 << 20;

/// Bytes of one value that travels: all parameters or the result of one call, streams not included. The
/// largest batch of key-value fits (32 MiB and its keys); a host call may copy twice this out of a guest,
/// and a value is held twice while its pieces are joined. What is larger belongs in a stream.
pub const WIRE_BYTES_MAX: usize = 64 << 20;

/// The budget of one component. Every field is enforced by the engine; a manifest's `limits` trait
/// changes single fields of the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of one instance, in bytes, all its memories together.
    pub memory_bytes_max: u64,
    /// Elements of one table of an instance.
    pub table_elements_max: u32,
    /// CPU time of one call.
    pub cpu_time_max: Duration,
    /// Wall-clock time of one call, from admission to the end of its response body.
    pub deadline: Duration,
    /// Instances that exist at once, busy or idle.
    pub instances_max: u32,
    /// Calls that wait for an instance when all are busy; one more is refused as overloaded.
    pub calls_queued_max: u32,
    /// Bytes that one host call may copy out of the guest.
    pub hostcall_bytes_max: u64,
    /// Outgoing HTTP connections open at once.
    pub outgoing_connections_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Interpreted guests (JavaScript, Python) idle at 10 to 40 MiB; 128 MiB leaves room.
            memory_bytes_max: 128 * MIB,
            // The largest function table of a Go or Python toolchain seen is about 14,000.
            table_elements_max: 20_000,
            // A call that computes for a second is a batch job; it asks for more in its manifest.
            cpu_time_max: Duration::from_secs(1),
            // Shorter than the usual 60 s of load balancers in front, so that ours is the message.
            deadline: Duration::from_secs(30),
            // 256 busy instances of 128 MiB are more than most hosts have; the host's own memory
            // budget is the second bound.
            instances_max: 256,
            calls_queued_max: 1_024,
            // wasmtime's default. An element of a list that crosses a link between components counts
            // as the 32 bytes that it takes on the host, so this is about 4 million of them.
            hostcall_bytes_max: 128 * MIB,
            outgoing_connections_max: 64,
        }
    }
}

/// How instances of a component serve more than one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reuse {
    /// Calls after which an instance is replaced. The engine draws the actual count for each
    /// instance from the upper half of `1..=calls_max`, so that instances do not retire together and
    /// nobody relies on the number.
    pub calls_max: u32,
    /// Calls that run in one instance at the same time. Above 1 only for WASI 0.3 components.
    pub concurrency_max: u32,
}

impl Reuse {
    /// A fresh instance for every call: the default of WASI 0.2 components, which may keep state in
    /// globals without knowing it.
    pub const NEVER: Self = Self {
        calls_max: 1,
        concurrency_max: 1,
    };
    /// The default of WASI 0.3 components, which are written for concurrent calls.
    pub const CONCURRENT: Self = Self {
        calls_max: 1_024,
        concurrency_max: 16,
    };
}

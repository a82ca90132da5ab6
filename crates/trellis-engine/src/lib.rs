//! Compiles, caches, pools and runs WebAssembly components.
//!
//! The engine turns the bytes of a component into a [`Generation`]: compiled, linked and warmed, with
//! everything that can be resolved by name resolved already. A [`ComponentHandle`] holds the
//! generation in force and is what gateways and links call. This crate knows WASI, the budgets of a
//! component and how two components on one host call each other; it knows no manifest, no
//! capability by name and no socket.

mod admission;
mod budget;
mod cache;
mod call;
mod call_error;
mod capability;
mod compile;
mod component;
mod cpu_meter;
mod engine;
mod event_loop;
mod exports;
mod figures;
mod generations;
mod guarded;
mod guest_log;
mod http;
mod idle_instances;
mod instance_pool;
mod link;
mod outgoing;
mod settings;
mod state;
mod streams;
mod ticker;
mod wire;

pub use cache::{CacheError, CompileCache};
pub use call::{Rest, Streaming};
pub use call_error::CallError;
pub use capability::{Capability, Unsatisfied, is_wasi};
pub use compile::{CompileError, Compiled, WasiLevel};
pub use component::{ComponentHandle, ComponentSpec, DeployError, Generation, Import};
pub use engine::{Engine, EngineConfig, EngineError};
pub use exports::{ExportedFunction, ExportedSignature, FunctionError, UnsupportedType};
pub use figures::{DURATIONS, Figures, Reading};
pub use http::{Admitted, Handling, ResponseBody};
pub use link::{FunctionRef, Link, LinkSlot, LinkTarget, LocalTarget, Opened, RemoteTarget};
pub use outgoing::{OutgoingHttp, OutgoingResponse};
pub use settings::{AllocatorKind, PoolReport};
pub use state::State;
pub use streams::{ChannelSource, Inbound, Outbound};
pub use wasmtime_wasi_http::{Error as OutgoingError, RequestOptions, WasiBody};

//! The seam to components that run elsewhere. Knows no transport.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use trellis_core::ErrorClass;
use trellis_wire::plan::FunctionPlan;
use trellis_wire::{Dialect, Limits, scan_whole};

use crate::call::not_of_type;
use crate::call_error::CallError;
use crate::streams::{Inbound, Outbound};

/// A function of an interface, as its caller declares it.
#[derive(Clone, Debug)]
pub struct FunctionRef {
    /// The exact name of the interface, such as `acme:shop/cart@1.0.0`.
    pub interface: Arc<str>,
    /// The name of the function.
    pub function: Arc<str>,
    /// The plan of its parameters and its result.
    pub plan: Arc<FunctionPlan>,
}

/// Whoever answers the calls of a link from elsewhere: a client of some transport, already bound to the
/// link's target.
#[async_trait]
pub trait RemoteTarget: Send + Sync + 'static {
    /// Calls `function` with its parameters in the wRPC encoding, and returns its result in it. The
    /// caller's time is over at `expires`.
    ///
    /// # Errors
    /// By class. An error of the classes unavailable, overloaded and denied says that the function did
    /// not run, or may run again, and the call may then be made again on this host; where it did run,
    /// mark the error with [`CallError::having_run`].
    ///
    /// # Cancel safety
    /// The caller drops the future when it goes away; the call should then be cancelled.
    async fn call(
        &self,
        function: &FunctionRef,
        params: Bytes,
        expires: Instant,
    ) -> Result<Bytes, CallError>;

    /// Calls `function` as [`Self::call`] does, but only whoever need not let it wait for its turn: it can
    /// wait on the caller's own host as well. Where nobody is told apart by that, it is the same.
    ///
    /// # Errors
    /// As [`Self::call`].
    ///
    /// # Cancel safety
    /// As [`Self::call`].
    async fn call_at_once(
        &self,
        function: &FunctionRef,
        params: Bytes,
        expires: Instant,
    ) -> Result<Bytes, CallError> {
        self.call(function, params, expires).await
    }

    /// Calls `function`, which passes streams or futures, as [`Self::call`] does. The transport takes
    /// `outbound`, the streams and futures of the parameters, to the other end and goes on with it after
    /// the result.
    ///
    /// # Errors
    /// As [`Self::call`]; unavailable where the transport passes nothing but values.
    ///
    /// # Cancel safety
    /// As [`Self::call`].
    async fn open(
        &self,
        function: &FunctionRef,
        _params: Bytes,
        _outbound: Vec<Outbound>,
        _expires: Instant,
    ) -> Result<Opened, CallError> {
        let text = format!(
            "{} passes streams, which do not go there",
            function.function
        );
        Err(CallError::new(ErrorClass::Unavailable, text))
    }
}

/// The result of a call, with streams and futures that are still to come.
pub struct Opened {
    /// The result in the wRPC encoding.
    pub result: Bytes,
    /// Gives what is pending in the result.
    pub inbound: Arc<dyn Inbound>,
}

/// Checks a result that came from elsewhere, before any of it is written into a guest. How much memory
/// it takes there is the guest's own limit.
pub(super) fn check_result(function: &FunctionRef, result: &[u8]) -> Result<(), CallError> {
    let plan = &function.plan;
    scan_whole(
        &plan.plan,
        plan.results,
        result,
        Dialect::A,
        &Limits::default(),
    )
    .map(|_| ())
    .map_err(|error| not_of_type("results", &error))
}

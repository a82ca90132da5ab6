//! Requests to one host that 1.x does not know.

use std::time::Duration;

use bytes::Bytes;
use trellis_core::ComponentId;

use super::{Client, ClientError};
use crate::json;
use crate::messages::{
    CallCommand, CallResult, ComponentExports, DescribeCommand, DoctorReport, DrainCommand,
    DrainState, HostStatus, LogTail, TailCommand,
};
use crate::names::HostId;
use crate::subjects::Route;

impl Client {
    /// Returns how `host` is: its mode and why, and what it runs in detail.
    ///
    /// # Errors
    /// When the host is not there, does not answer, or runs 1.x.
    pub async fn status(&self, host: &HostId) -> Result<HostStatus, ClientError> {
        let route = Route::Status(host.clone());
        self.ours(&route, Bytes::new(), self.timing.request).await
    }

    /// Takes `host` out of service, or back in. The answer does not wait for calls in flight.
    ///
    /// # Errors
    /// When the host is not there, does not answer, or runs 1.x.
    pub async fn drain(
        &self,
        host: &HostId,
        command: &DrainCommand,
    ) -> Result<DrainState, ClientError> {
        let route = Route::Drain(host.clone());
        let wait = self.timing.request;
        self.ours(&route, json::encode(command), wait).await
    }

    /// Lets `host` examine itself.
    ///
    /// # Errors
    /// When the host is not there, does not answer, or runs 1.x.
    pub async fn doctor(&self, host: &HostId) -> Result<DoctorReport, ClientError> {
        let route = Route::Doctor(host.clone());
        self.ours(&route, Bytes::new(), self.timing.work).await
    }

    /// Calls an exported function of a component that runs on `host`. Waits for as long as the
    /// command's deadline allows, and then for as long as for any other request.
    ///
    /// # Errors
    /// When the host is not there, does not answer, or runs 1.x; when it does not run the component;
    /// when the call fails, with its class as the code.
    pub async fn call(
        &self,
        host: &HostId,
        command: &CallCommand,
    ) -> Result<CallResult, ClientError> {
        let route = Route::Call(host.clone());
        let deadline = command.deadline_ms.map(Duration::from_millis);
        let deadline = deadline.unwrap_or(CALL_DEADLINE_DEFAULT);
        let wait = deadline.saturating_add(self.timing.request);
        self.ours(&route, json::encode(command), wait).await
    }

    /// Returns what a component that runs on `host` exports.
    ///
    /// # Errors
    /// When the host is not there, does not answer, or runs 1.x; when it does not run the component.
    pub async fn describe(
        &self,
        host: &HostId,
        component: &ComponentId,
    ) -> Result<ComponentExports, ClientError> {
        let command = DescribeCommand {
            component_id: component.to_string(),
        };
        let route = Route::Describe(host.clone());
        let wait = self.timing.request;
        self.ours(&route, json::encode(&command), wait).await
    }

    /// Returns the latest log lines of `host`, and lets it publish new ones for a while: read those
    /// with [`Client::log_lines`], subscribed to before.
    ///
    /// # Errors
    /// When the host is not there, does not answer, or runs 1.x.
    pub async fn tail(&self, host: &HostId, command: &TailCommand) -> Result<LogTail, ClientError> {
        let route = Route::Tail(host.clone());
        let wait = self.timing.request;
        self.ours(&route, json::encode(command), wait).await
    }
}

/// What a call may take where its command does not say: the default deadline of a component.
const CALL_DEADLINE_DEFAULT: Duration = Duration::from_secs(30);

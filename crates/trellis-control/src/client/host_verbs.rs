//! Requests to one host that 1.x knows too. Where a command names its host, the client fills it in.

use std::time::Duration;

use bytes::Bytes;
use serde::de::IgnoredAny;
use trellis_core::ComponentId;

use super::{Client, ClientError};
use crate::json;
use crate::messages::{
    HostInventory, Label, LabelKey, ScaleComponentCommand, StartProviderCommand, StopHostCommand,
    StopProviderCommand, UpdateComponentCommand,
};
use crate::names::HostId;
use crate::subjects::Route;

impl Client {
    /// Lists what `host` runs.
    ///
    /// # Errors
    /// When the host is not there or does not answer.
    pub async fn host_inventory(&self, host: &HostId) -> Result<HostInventory, ClientError> {
        self.query(&Route::HostGet(host.clone())).await
    }

    /// Stops `host`, which has `timeout` to finish. The answer comes before it is gone.
    ///
    /// # Errors
    /// When the host is not there, does not answer or refuses.
    pub async fn stop_host(
        &self,
        host: &HostId,
        timeout: Option<Duration>,
    ) -> Result<String, ClientError> {
        let command = StopHostCommand {
            host_id: host.to_string(),
            timeout: timeout.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
        };
        self.command(&Route::HostStop(host.clone()), &command).await
    }

    /// Sets a label of `host`, until it is stopped.
    ///
    /// # Errors
    /// When the label is reserved, or the host is not there, does not answer or refuses.
    pub async fn put_label(&self, host: &HostId, label: &Label) -> Result<String, ClientError> {
        self.command(&Route::LabelPut(host.clone()), label).await
    }

    /// Removes a label of `host`.
    ///
    /// # Errors
    /// When the host is not there, does not answer or refuses.
    pub async fn delete_label(&self, host: &HostId, key: &LabelKey) -> Result<String, ClientError> {
        self.command(&Route::LabelDelete(host.clone()), key).await
    }

    /// Starts a component on `host`, changes its instances, or stops it. The answer comes before the
    /// work is done, and its words may be a warning; an event tells how it ended.
    ///
    /// # Errors
    /// When the command could not work, or the host is not there, does not answer or refuses.
    pub async fn scale_component(
        &self,
        host: &HostId,
        command: ScaleComponentCommand,
    ) -> Result<String, ClientError> {
        let command = ScaleComponentCommand {
            host_id: host.to_string(),
            ..command
        };
        let route = Route::ComponentScale(host.clone());
        self.command(&route, &command).await
    }

    /// Replaces the image of a component on `host`. The answer comes before the work is done.
    ///
    /// # Errors
    /// When the command could not work, or the host is not there, does not answer or refuses.
    pub async fn update_component(
        &self,
        host: &HostId,
        command: UpdateComponentCommand,
    ) -> Result<String, ClientError> {
        let command = UpdateComponentCommand {
            host_id: host.to_string(),
            ..command
        };
        let route = Route::ComponentUpdate(host.clone());
        self.command(&route, &command).await
    }

    /// Starts a provider on `host`. The answer comes before the work is done; an event tells how it
    /// ended. A host of 1.x that has the provider disabled is silent.
    ///
    /// # Errors
    /// When the command could not work, or the host is not there, does not answer or refuses.
    pub async fn start_provider(
        &self,
        host: &HostId,
        command: StartProviderCommand,
    ) -> Result<String, ClientError> {
        let command = StartProviderCommand {
            host_id: host.to_string(),
            ..command
        };
        let route = Route::ProviderStart(host.clone());
        self.command(&route, &command).await
    }

    /// Stops a provider on `host`. The answer comes when it has stopped.
    ///
    /// # Errors
    /// When the host is not there, does not answer or does not run it.
    pub async fn stop_provider(
        &self,
        host: &HostId,
        provider: &ComponentId,
    ) -> Result<String, ClientError> {
        let command = StopProviderCommand {
            host_id: host.to_string(),
            provider_id: provider.to_string(),
        };
        let route = Route::ProviderStop(host.clone());
        let payload: Bytes = json::encode(&command);
        let wait = self.timing.work;
        let reply = self.control::<IgnoredAny>(&route, payload, wait).await?;
        Ok(reply.message)
    }
}

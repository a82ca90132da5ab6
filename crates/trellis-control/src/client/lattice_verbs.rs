//! Requests about the state of the lattice, which any host answers.

use bytes::Bytes;

use super::{Client, ClientError};
use crate::json;
use crate::messages::{ClaimsMap, DeleteLink, Link, Registries};
use crate::names::ConfigName;
use crate::state::Config;
use crate::subjects::Route;

impl Client {
    /// Sets a link.
    ///
    /// # Errors
    /// When the link could not work, no host answers, its config does not exist, or another link of
    /// its name leads elsewhere.
    pub async fn put_link(&self, link: &Link) -> Result<String, ClientError> {
        self.command(&Route::LinkPut, link).await
    }

    /// Removes a link; that there is none is a success.
    ///
    /// # Errors
    /// When the deletion could not work, or no host answers.
    pub async fn delete_link(&self, deletion: &DeleteLink) -> Result<String, ClientError> {
        self.command(&Route::LinkDelete, deletion).await
    }

    /// Lists all links.
    ///
    /// # Errors
    /// When no host answers.
    pub async fn links(&self) -> Result<Vec<Link>, ClientError> {
        self.query(&Route::LinkGet).await
    }

    /// Lists the claims of everything that was started signed.
    ///
    /// # Errors
    /// When no host answers.
    pub async fn claims(&self) -> Result<Vec<ClaimsMap>, ClientError> {
        self.query(&Route::ClaimsGet).await
    }

    /// Sets a config entry as a whole.
    ///
    /// # Errors
    /// When no host answers, or it refuses.
    pub async fn put_config(
        &self,
        name: &ConfigName,
        values: &Config,
    ) -> Result<String, ClientError> {
        self.command(&Route::ConfigPut(name.clone()), values).await
    }

    /// Returns a config entry; `None` where there is none.
    ///
    /// # Errors
    /// When no host answers.
    pub async fn config(&self, name: &ConfigName) -> Result<Option<Config>, ClientError> {
        let wait = self.timing.request;
        let route = Route::ConfigGet(name.clone());
        Ok(self.control(&route, Bytes::new(), wait).await?.response)
    }

    /// Removes a config entry, also one that is in use.
    ///
    /// # Errors
    /// When no host answers, or it refuses.
    pub async fn delete_config(&self, name: &ConfigName) -> Result<String, ClientError> {
        let wait = self.timing.request;
        let route = Route::ConfigDelete(name.clone());
        let reply = self
            .control::<serde::de::IgnoredAny>(&route, Bytes::new(), wait)
            .await?;
        Ok(reply.message)
    }

    /// Tells every host credentials of registries. Returns when the server has the message; hosts do
    /// not answer.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn put_registries(&self, registries: &Registries) -> Result<(), ClientError> {
        let route = Route::RegistryPut;
        let payload = json::encode(registries);
        let subject = self.checked_subject(&route, &payload)?;
        let published = self.lattice.publish(&subject, None, payload).await;
        let flushed = match published {
            Ok(()) => self.lattice.flush().await,
            Err(error) => Err(error.into()),
        };
        flushed.map_err(|error| self.no_answer(&route, error))
    }
}

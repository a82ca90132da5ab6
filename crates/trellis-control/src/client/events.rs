//! The stream of events.

use futures_util::StreamExt;
use futures_util::stream::{SelectAll, select_all};
use trellis_lattice::{RequestError, Subscription};

use super::{Client, ClientError};
use crate::events::{CloudEvent, EventError, EventKind};

/// Events as they come, of the kinds asked for. Dropping it ends it.
///
/// Nothing is kept for who does not listen: what happens while the connection is lost is missed.
#[derive(Debug)]
pub struct Events(SelectAll<Subscription>);

impl Events {
    /// Returns the next event; `None` once the connection is closed.
    ///
    /// # Errors
    /// When a message is no event that can be read; the next one may be.
    ///
    /// # Cancel safety
    /// Cancelling loses no event.
    pub async fn next(&mut self) -> Option<Result<CloudEvent, EventError>> {
        let message = self.0.next().await?;
        Some(CloudEvent::decode(&message.payload))
    }
}

impl Client {
    /// Listens to events of `kinds`; to all, those of unknown types included, where it is empty.
    /// Everything that happens after this returns is heard.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn events(&self, kinds: &[EventKind]) -> Result<Events, ClientError> {
        let subjects = match kinds {
            [] => self.subjects.all_events().to_vec(),
            kinds => kinds.iter().map(|it| self.subjects.event(*it)).collect(),
        };
        let subscriptions = self.listen("listen to events", subjects).await?;
        Ok(Events(select_all(subscriptions)))
    }

    /// Subscribes to all of `subjects` and waits until the server knows.
    pub(super) async fn listen(
        &self,
        action: &'static str,
        mut subjects: Vec<String>,
    ) -> Result<Vec<Subscription>, ClientError> {
        let failed = |source: RequestError| ClientError::Connection {
            action,
            lattice: self.lattice.name().clone(),
            source,
        };
        // Twice the same subject would bring every event twice.
        subjects.sort();
        subjects.dedup();
        let mut subscriptions = Vec::new();
        for subject in subjects {
            let subscribed = self.lattice.subscribe(&subject).await;
            subscriptions.push(subscribed.map_err(|error| failed(error.into()))?);
        }
        self.lattice.flush().await.map_err(failed)?;
        Ok(subscriptions)
    }
}

//! The two-stage signal that ends a gateway: drain, then abort.

use tokio::sync::watch;

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    Draining,
    Aborting,
}

/// Ends a gateway. Dropping it begins the drain.
#[derive(Debug)]
pub struct ShutdownTrigger(watch::Sender<Stage>);

/// What a gateway listens to.
#[derive(Clone, Debug)]
pub struct ShutdownSignal(watch::Receiver<Stage>);

/// Returns a connected pair.
pub fn shutdown_channel() -> (ShutdownTrigger, ShutdownSignal) {
    let (sender, receiver) = watch::channel(Stage::Serving);
    (ShutdownTrigger(sender), ShutdownSignal(receiver))
}

impl ShutdownTrigger {
    /// Asks for the drain: no new work, and what is in flight may finish.
    pub fn drain(&self) {
        self.raise(Stage::Draining);
    }

    /// Asks for the end at once.
    pub fn abort(&self) {
        self.raise(Stage::Aborting);
    }

    fn raise(&self, to: Stage) {
        self.0.send_if_modified(|stage| {
            let raised = *stage < to;
            *stage = (*stage).max(to);
            raised
        });
    }
}

impl ShutdownSignal {
    /// Waits for the drain, or for what is more.
    ///
    /// # Cancel safety
    /// Nothing is lost when dropped.
    pub async fn draining(&mut self) {
        // An error means that nobody is left to ask: the same as being asked.
        let _ = self.0.wait_for(|stage| *stage >= Stage::Draining).await;
    }

    /// Waits for the abort. Never ends when nobody is left to ask for it.
    ///
    /// # Cancel safety
    /// Nothing is lost when dropped.
    pub async fn aborting(&mut self) {
        if self
            .0
            .wait_for(|stage| *stage >= Stage::Aborting)
            .await
            .is_err()
        {
            std::future::pending().await
        }
    }
}

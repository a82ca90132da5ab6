//! The lease of a host: a value that it renews, so that others can tell when it is gone.

use std::sync::Arc;

use bytes::Bytes;
use trellis_control::HostId;
use trellis_core::{LatticeName, with_causes};
use trellis_lattice::store::{
    Bucket, BucketName, Expected, Key, NameError, PutError, Store, StoreError,
};
use trellis_node::{Input, LeaseOutcome, LeasePolicy, LeaseWork};

/// The bucket with a key for each host; ours, hosts of 1.x have no leases.
const LEASES: &str = "TRELLISLEASES";

/// Why the lease could not be written.
#[derive(Debug, thiserror::Error)]
enum LeaseError {
    #[error("the lease cannot be named")]
    Name(#[from] NameError),
    #[error("the lease cannot be read")]
    Read(#[from] StoreError),
    #[error("the lease cannot be written")]
    Write(#[from] PutError),
}

/// The store side of one host's lease. Cheap to clone.
#[derive(Clone)]
pub(super) struct Lease(Arc<Shared>);

struct Shared {
    store: Arc<dyn Store>,
    lattice: LatticeName,
    host_id: HostId,
    policy: LeasePolicy,
    /// The revision of the value that this host wrote last.
    held: tokio::sync::Mutex<Option<u64>>,
}

impl Lease {
    pub(super) fn new(
        store: Arc<dyn Store>,
        lattice: LatticeName,
        host_id: HostId,
        policy: LeasePolicy,
    ) -> Self {
        Self(Arc::new(Shared {
            store,
            lattice,
            host_id,
            policy,
            held: tokio::sync::Mutex::default(),
        }))
    }

    /// Does one piece of work on the lease; `None` where it cannot be known how it came out, so that the
    /// machine's own clock decides.
    pub(super) async fn work(&self, work: LeaseWork) -> Option<Input> {
        if self.0.policy == LeasePolicy::NotUsed {
            return None;
        }
        let outcome = match work {
            LeaseWork::Renew { asked, term } => match self.renew(term).await {
                Ok(()) => LeaseOutcome::Renewed { asked },
                Err(LeaseError::Write(PutError::Conflict { .. })) => LeaseOutcome::Lost {
                    asked,
                    why: "its lease is gone or another's".to_owned(),
                },
                Err(error) => {
                    tracing::debug!(error = with_causes(&error), "the lease was not renewed");
                    return None;
                }
            },
            LeaseWork::Rejoin { asked } => match self.rejoin().await {
                Ok(term) => LeaseOutcome::Rejoined { asked, term },
                Err(error) => {
                    tracing::debug!(error = with_causes(&error), "no lease was had");
                    return None;
                }
            },
        };
        Some(Input::Lease(outcome))
    }

    async fn renew(&self, term: u64) -> Result<(), LeaseError> {
        let (bucket, key) = self.place().await?;
        let mut held = self.0.held.lock().await;
        let expected = held.map_or(Expected::Absent, Expected::Revision);
        let revision = bucket.put(&key, value(term), expected).await?;
        *held = Some(revision);
        Ok(())
    }

    /// Takes the lease with a term after the one that is written there.
    async fn rejoin(&self) -> Result<u64, LeaseError> {
        let (bucket, key) = self.place().await?;
        let mut held = self.0.held.lock().await;
        let current = bucket.get(&key).await?;
        let before = current.as_ref().and_then(|entry| {
            let text = std::str::from_utf8(&entry.value).ok()?;
            text.parse::<u64>().ok()
        });
        let term = before.unwrap_or(0).saturating_add(1);
        let expected = current
            .as_ref()
            .map_or(Expected::Absent, |entry| Expected::Revision(entry.revision));
        *held = Some(bucket.put(&key, value(term), expected).await?);
        Ok(term)
    }

    async fn place(&self) -> Result<(Arc<dyn Bucket>, Key), LeaseError> {
        let name = BucketName::new(format!("{LEASES}_{}", self.0.lattice));
        let bucket = self.0.store.bucket(&name?).await?;
        Ok((bucket, Key::new(self.0.host_id.as_str())?))
    }
}

/// The value of a lease: its term. That it is renewed shows in its revision.
fn value(term: u64) -> Bytes {
    term.to_string().into()
}

//! The lease of a host: a value that it renews, so that others can tell when it is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use trellis_control::HostId;
use trellis_core::{LatticeName, with_causes};
use trellis_lattice::store::{
    Bucket, BucketName, Entry, Expected, Key, NameError, PutError, Store, StoreError,
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

impl LeaseError {
    fn is_denied(&self) -> bool {
        matches!(
            self,
            Self::Read(StoreError::Denied { .. })
                | Self::Write(PutError::Store(StoreError::Denied { .. }))
        )
    }
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
    /// It was said that permissions are missing, which they are at every attempt.
    denial_told: AtomicBool,
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
            denial_told: AtomicBool::default(),
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
                Err(error) => return self.failed(&error),
            },
            LeaseWork::Rejoin { asked } => match self.rejoin().await {
                Ok(term) => LeaseOutcome::Rejoined { asked, term },
                Err(error) => return self.failed(&error),
            },
        };
        self.0.denial_told.store(false, Relaxed);
        Some(Input::Lease(outcome))
    }

    /// Says why there is no lease. What passes by itself is left to the machine's clock; missing
    /// permissions do not, and without a lease the host never joins.
    fn failed(&self, error: &LeaseError) -> Option<Input> {
        let why = with_causes(error);
        if error.is_denied() && !self.0.denial_told.swap(true, Relaxed) {
            tracing::warn!(
                error = why,
                "this host cannot keep a lease: its credentials lack a permission"
            );
        } else {
            tracing::debug!(error = why, "the lease was not written");
        }
        None
    }

    async fn renew(&self, term: u64) -> Result<(), LeaseError> {
        let (bucket, key) = self.place().await?;
        let mut held = self.0.held.lock().await;
        let expected = held.map_or(Expected::Absent, Expected::Revision);
        let mut written = bucket.put(&key, value(term), expected).await;
        if let Err(PutError::Conflict {
            current: Some(current),
            ..
        }) = &written
            && is_own(current, term, *held)
        {
            // The lease counts from this request, so that it has to be seen to be written after it.
            *held = Some(current.revision);
            let expected = Expected::Revision(current.revision);
            written = bucket.put(&key, value(term), expected).await;
        }
        *held = Some(written?);
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

/// Tells whether a renewal of this term wrote what is there, one whose answer was lost. Terms are taken by
/// writes that check what they replace, so that nobody else writes this one; an older revision came back
/// with an older store.
fn is_own(current: &Entry, term: u64, held: Option<u64>) -> bool {
    current.value == value(term) && held.is_none_or(|held| current.revision > held)
}

/// The value of a lease: its term. That it is renewed shows in its revision.
fn value(term: u64) -> Bytes {
    term.to_string().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use trellis_lattice::store::{EmbeddedStore, OpenOptions};
    use trellis_node::Millis;

    use super::*;

    const ASKED: Millis = Millis(7);
    const RENEW: LeaseWork = LeaseWork::Renew {
        asked: ASKED,
        term: 1,
    };

    #[tokio::test]
    async fn a_renewal_whose_answer_was_lost_is_no_loss_of_the_lease() {
        let folder = tempfile::tempdir().unwrap();
        let options = OpenOptions::new(folder.path().join("state.redb"));
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(options).unwrap());
        let host = HostId::new("NHOST").unwrap();
        let name = LatticeName::default();
        let lease = Lease::new(store.clone(), name, host, LeasePolicy::Kept);
        let outcome = async |work| match lease.work(work).await {
            Some(Input::Lease(outcome)) => outcome,
            other => panic!("{other:?}"),
        };
        let taken = outcome(LeaseWork::Rejoin { asked: ASKED }).await;
        let first = LeaseOutcome::Rejoined {
            asked: ASKED,
            term: 1,
        };
        assert_eq!(taken, first);
        let renewed = LeaseOutcome::Renewed { asked: ASKED };
        assert_eq!(outcome(RENEW).await, renewed);

        let (bucket, key) = lease.place().await.unwrap();
        let put = async |text: &'static str| bucket.put(&key, text.into(), Expected::Any).await;
        let lost = put("1").await.unwrap(); // a renewal that the host has not heard of
        assert_eq!(outcome(RENEW).await, renewed);
        let now = bucket.get(&key).await.unwrap().unwrap();
        assert!(now.revision > lost, "others see that it was renewed");
        assert_eq!(outcome(RENEW).await, renewed);

        put("2").await.unwrap();
        let lost = outcome(RENEW).await;
        assert!(matches!(lost, LeaseOutcome::Lost { .. }), "{lost:?}");
    }
}

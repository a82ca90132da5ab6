//! The store in JetStream: buckets in the form that 1.x hosts and the tools of NATS read and write.
//!
//! Hosts of the 1.x line do not honour the deletion of a spec (they log it and keep its links), take
//! a deleted config for an empty one, and do not know purges. What must reach them is written as a
//! value: a spec without links instead of a deleted one.

mod api;
mod api_error;
mod bucket;
mod feed;
mod follow;

use std::sync::Arc;

use async_trait::async_trait;

use self::api::Api;
use self::api_error::ApiError;
use self::bucket::JetStreamBucket;
use super::{Bucket, BucketName, Store, StoreError};
use crate::lattice::Lattice;

/// How buckets are made where they are missing. One that exists is used as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketDefaults {
    /// Servers that keep each bucket; 3 survive the loss of one, in a cluster.
    pub replicas: usize,
    /// The most bytes of a bucket; `None` leaves it to the account.
    pub bytes_max: Option<u64>,
}

impl Default for BucketDefaults {
    /// The way of 1.x: one replica, no bound.
    fn default() -> Self {
        Self {
            replicas: 1,
            bytes_max: None,
        }
    }
}

/// Buckets in the JetStream of a lattice, in the domain of its settings.
pub struct JetStreamStore {
    api: Api,
    defaults: BucketDefaults,
}

impl JetStreamStore {
    /// Returns the store of `lattice`. Nothing is sent before the first bucket is asked for.
    pub fn new(lattice: Lattice, defaults: BucketDefaults) -> Self {
        Self {
            api: Api::new(lattice),
            defaults,
        }
    }

    /// Returns the bucket `name` without making or looking for it: for who only reads. Its watch tells
    /// when it is there.
    pub fn bucket_unchecked(&self, name: &BucketName) -> Arc<dyn Bucket> {
        Arc::new(JetStreamBucket::new(self.api.clone(), name.clone()))
    }
}

#[async_trait]
impl Store for JetStreamStore {
    async fn bucket(&self, name: &BucketName) -> Result<Arc<dyn Bucket>, StoreError> {
        let failed = |error: ApiError| error.into_store_error(name);
        match self.api.stream_info(name).await {
            Ok(_) => {}
            Err(error) if error.is_stream_missing() => {
                match self.api.create_stream(name, &self.defaults).await {
                    Ok(()) => {
                        tracing::info!(bucket = %name, "made a bucket that was missing");
                    }
                    // Someone else was faster, with settings of their own.
                    Err(error) if error.is_name_in_use() => {}
                    Err(error) => return Err(failed(error)),
                }
            }
            Err(error) => return Err(failed(error)),
        }
        Ok(self.bucket_unchecked(name))
    }
}

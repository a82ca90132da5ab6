//! What the names that a guest opens stand for on one link.

use std::fmt;
use std::sync::Arc;

use trellis_core::{ComponentId, LinkName};

use super::{Bucket, BucketName, KeyValueBackend, KeyValueError};

/// The name by which guests of wasmCloud 1.x open the bucket of their link.
const DEFAULT_BUCKET: &str = "default";

/// What a link says about the key-value store it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValueLink {
    /// The id of the link's target. Links with the same target share their buckets, others do not.
    pub target: ComponentId,
    /// The name of the link.
    pub name: LinkName,
    /// The bucket that a guest gets which opens `""`, `"default"` or the name of the link; `default`
    /// where the link's config has no `bucket`. Every other name opens a bucket of that name.
    pub bucket: Option<String>,
}

/// A link with the backend that it leads to.
pub struct OpenLink {
    backend: Arc<dyn KeyValueBackend>,
    link: KeyValueLink,
    names: Names,
}

/// Who knows what names stand for.
enum Names {
    /// This link does; its own bucket is resolved.
    Here(Arc<dyn Bucket>),
    /// The provider does, which knows the config of the link.
    AtProvider,
}

impl OpenLink {
    /// Leads `link` to `backend`, which holds its buckets.
    ///
    /// # Errors
    /// When the bucket of the link has an impossible name, or the backend cannot hold another one.
    pub fn new(
        backend: Arc<dyn KeyValueBackend>,
        link: KeyValueLink,
    ) -> Result<Self, KeyValueError> {
        let bucket = link.bucket.as_deref().unwrap_or(DEFAULT_BUCKET);
        let own = backend.bucket(&BucketName::new(&link.target, bucket)?)?;
        Ok(Self {
            backend,
            link,
            names: Names::Here(own),
        })
    }

    /// Leads `link` to a provider that `backend` calls. A name is passed on as a guest gave it; for the
    /// empty one goes the name of the link, since providers of wasmCloud 1.x know links by their name.
    pub fn to_provider(backend: Arc<dyn KeyValueBackend>, link: KeyValueLink) -> Self {
        Self {
            backend,
            link,
            names: Names::AtProvider,
        }
    }

    /// Opens the bucket that `identifier` stands for.
    ///
    /// # Errors
    /// As [`KeyValueBackend::bucket`], or for a name that no bucket has.
    pub fn open(&self, identifier: &str) -> Result<Arc<dyn Bucket>, KeyValueError> {
        let link_name = self.link.name.as_str();
        let name = match &self.names {
            Names::Here(own) if ["", DEFAULT_BUCKET, link_name].contains(&identifier) => {
                return Ok(Arc::clone(own));
            }
            Names::AtProvider if identifier.is_empty() => link_name,
            _ => identifier,
        };
        self.backend
            .bucket(&BucketName::new(&self.link.target, name)?)
    }
}

impl fmt::Debug for OpenLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenLink").field(&self.link).finish()
    }
}

//! `wasi:keyvalue` 0.2.0-draft (store, atomics, batch) for one link of one component.
//!
//! The link is captured in `open` and in the bucket that it gives out; a call on a bucket looks up
//! nothing by name. The functions are written out instead of generated because generated ones
//! share one host trait and could not tell two links of one interface apart, and because values go
//! to and from the guest as [`Bytes`], with one copy.
//!
//! wasmCloud 1.x traps on a failed `set`, `delete`, `exists`, `list-keys` or batch; here a guest gets
//! the error that the interface declares.

use std::sync::Arc;

use bytes::Bytes;
use trellis_engine::{Capability, State};
use wasmtime::StoreContextMut;
use wasmtime::component::{
    ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType,
};

use super::{Bucket, KeyPage, KeyValueBackend, KeyValueError, KeyValueLink, OpenLink};

/// `wasi:keyvalue` for one link.
pub struct KeyValue {
    link: Arc<OpenLink>,
}

impl KeyValue {
    /// Binds `link` to `backend`.
    ///
    /// # Errors
    /// When the bucket of the link has an impossible name, or the backend cannot hold another one.
    pub fn new(
        backend: Arc<dyn KeyValueBackend>,
        link: KeyValueLink,
    ) -> Result<Self, KeyValueError> {
        OpenLink::new(backend, link).map(Self::over)
    }

    /// Offers what `link` opens.
    pub fn over(link: OpenLink) -> Self {
        Self {
            link: Arc::new(link),
        }
    }
}

impl Capability for KeyValue {
    fn link(&self, linker: &mut Linker<State>, import: &str) -> wasmtime::Result<()> {
        let name = import.split_once('@').map_or(import, |(name, _)| name);
        let mut instance = linker.instance(import)?;
        match name {
            "wasi:keyvalue/store" => link_store(&mut instance, &self.link),
            "wasi:keyvalue/atomics" => link_atomics(&mut instance),
            "wasi:keyvalue/batch" => link_batch(&mut instance),
            _ => Err(wasmtime::format_err!(
                "key-value stores do not offer {import}"
            )),
        }
    }
}

/// The host side of the guest's `bucket`.
struct OpenBucket(Arc<dyn Bucket>);

/// `error` of the interface.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(variant)]
enum WitError {
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

/// `key-response` of the interface.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
struct KeyResponse {
    keys: Vec<String>,
    cursor: Option<u64>,
}

impl From<KeyValueError> for WitError {
    fn from(error: KeyValueError) -> Self {
        match error {
            KeyValueError::NoSuchStore => Self::NoSuchStore,
            KeyValueError::AccessDenied => Self::AccessDenied,
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<KeyPage> for KeyResponse {
    fn from(page: KeyPage) -> Self {
        Self {
            keys: page.keys,
            cursor: page.cursor,
        }
    }
}

/// What every function returns: one result.
type Answer<T> = wasmtime::Result<(Result<T, WitError>,)>;

fn answer<T, U: From<T>>(result: Result<T, KeyValueError>) -> Answer<U> {
    Ok((result.map(U::from).map_err(WitError::from),))
}

/// Finds what a guest's handle stands for.
fn resolve(
    store: &mut StoreContextMut<'_, State>,
    handle: &Resource<OpenBucket>,
) -> wasmtime::Result<Arc<dyn Bucket>> {
    Ok(Arc::clone(&store.data_mut().table().get(handle)?.0))
}

fn link_store(
    instance: &mut LinkerInstance<'_, State>,
    link: &Arc<OpenLink>,
) -> wasmtime::Result<()> {
    let bucket_type = ResourceType::host::<OpenBucket>();
    instance.resource("bucket", bucket_type, |mut store, handle| {
        store
            .data_mut()
            .table()
            .delete(Resource::<OpenBucket>::new_own(handle))?;
        Ok(())
    })?;
    let link = Arc::clone(link);
    instance.func_wrap(
        "open",
        move |mut store: StoreContextMut<State>, (name,): (String,)| match link.open(&name) {
            Ok(bucket) => {
                let handle = store.data_mut().table().push(OpenBucket(bucket))?;
                Ok((Ok::<_, WitError>(handle),))
            }
            Err(error) => Ok((Err(error.into()),)),
        },
    )?;
    link_bucket_reads(instance)?;
    link_bucket_changes(instance)
}

type OfKey = (Resource<OpenBucket>, String);

fn link_bucket_reads(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    instance.func_wrap_async("[method]bucket.get", |mut store, (bucket, key): OfKey| {
        Box::new(async move {
            let bucket = resolve(&mut store, &bucket)?;
            answer::<_, Option<Bytes>>(bucket.get(&key).await)
        })
    })?;
    instance.func_wrap_async(
        "[method]bucket.exists",
        |mut store, (bucket, key): OfKey| {
            Box::new(async move {
                let bucket = resolve(&mut store, &bucket)?;
                answer::<_, bool>(bucket.exists(&key).await)
            })
        },
    )?;
    type At = (Resource<OpenBucket>, Option<u64>);
    instance.func_wrap_async(
        "[method]bucket.list-keys",
        |mut store, (bucket, cursor): At| {
            Box::new(async move {
                let bucket = resolve(&mut store, &bucket)?;
                answer::<_, KeyResponse>(bucket.list_keys(cursor).await)
            })
        },
    )
}

fn link_bucket_changes(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    type Pair = (Resource<OpenBucket>, String, Bytes);
    instance.func_wrap_async(
        "[method]bucket.set",
        |mut store, (bucket, key, value): Pair| {
            Box::new(async move {
                let bucket = resolve(&mut store, &bucket)?;
                answer::<_, ()>(bucket.set(key, value).await)
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]bucket.delete",
        |mut store, (bucket, key): OfKey| {
            Box::new(async move {
                let bucket = resolve(&mut store, &bucket)?;
                answer::<_, ()>(bucket.delete(key).await)
            })
        },
    )
}

fn link_atomics(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    type By = (Resource<OpenBucket>, String, u64);
    instance.func_wrap_async("increment", |mut store, (bucket, key, delta): By| {
        Box::new(async move {
            let bucket = resolve(&mut store, &bucket)?;
            answer::<_, u64>(bucket.increment(key, delta).await)
        })
    })
}

fn link_batch(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    type Keys = (Resource<OpenBucket>, Vec<String>);
    type Pairs = (Resource<OpenBucket>, Vec<(String, Bytes)>);
    instance.func_wrap_async("get-many", |mut store, (bucket, keys): Keys| {
        Box::new(async move {
            let bucket = resolve(&mut store, &bucket)?;
            let values = bucket.get_many(&keys).await;
            answer::<_, Vec<Option<(String, Bytes)>>>(values.map(|values| {
                let pairs = keys.into_iter().zip(values);
                pairs
                    .map(|(key, value)| Some((key, value?)))
                    .collect::<Vec<_>>()
            }))
        })
    })?;
    instance.func_wrap_async("set-many", |mut store, (bucket, pairs): Pairs| {
        Box::new(async move {
            let bucket = resolve(&mut store, &bucket)?;
            answer::<_, ()>(bucket.set_many(pairs).await)
        })
    })?;
    instance.func_wrap_async("delete-many", |mut store, (bucket, keys): Keys| {
        Box::new(async move {
            let bucket = resolve(&mut store, &bucket)?;
            answer::<_, ()>(bucket.delete_many(keys).await)
        })
    })
}

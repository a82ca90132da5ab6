//! A key-value provider of this host, served to callers elsewhere: `wrpc:keyvalue@0.2.0-draft`.
//!
//! Deny by default: whoever has no link to the provider is refused, as `access-denied`. A caller is known
//! by what it says of itself; that nobody else may say so is for the permissions of the lattice.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use trellis_capabilities::keyvalue::{BATCH_ENTRIES_MAX, KeyValueError, OpenLink};
use trellis_core::{ComponentId, LatticeName, LinkName};
use trellis_wire::twins::keyvalue::{
    Error, IncrementParams, KeyParams, KeyResponse, KeysParams, ListKeysParams, SetManyParams,
    SetParams,
};
use trellis_wire::twins::{Bytes as WireBytes, Decode, Encode, from_wire, to_wire};
use trellis_wire::{DecodeError, Reader};
use trellis_wrpc::{CallError, Export, Handler, Invocation, Reply, ServeError, Served, Server};

use super::is_whole;

/// One link by which the provider is called.
#[derive(Debug)]
pub struct Caller {
    /// Who calls.
    pub source: ComponentId,
    /// The name of the link.
    pub name: LinkName,
    /// The interfaces of `wasi:keyvalue` that the link opens, such as `store`.
    pub interfaces: Vec<String>,
    /// Where it leads.
    pub link: OpenLink,
}

/// Everyone who may call a provider.
#[derive(Debug, Default)]
pub struct Callers(HashMap<String, Vec<Caller>>);

impl Callers {
    /// Admits these and nobody else.
    pub fn new(callers: impl IntoIterator<Item = Caller>) -> Self {
        let mut by_source: HashMap<String, Vec<Caller>> = HashMap::new();
        for caller in callers {
            let source = caller.source.to_string();
            by_source.entry(source).or_default().push(caller);
        }
        Self(by_source)
    }

    /// Finds the link by which a call of `interface` came. Callers that name no link mean `default`, as
    /// in wasmCloud 1.x.
    fn find(&self, invocation: &Invocation, interface: &str) -> Result<&OpenLink, KeyValueError> {
        let default = LinkName::default();
        let name = invocation.link_name().unwrap_or(default.as_str());
        let links = invocation.source_id().and_then(|id| self.0.get(id));
        let mut links = links.into_iter().flatten();
        let opens = |caller: &&Caller| {
            caller.name.as_str() == name && caller.interfaces.iter().any(|it| it == interface)
        };
        let found = links.find(opens).ok_or(KeyValueError::AccessDenied)?;
        Ok(&found.link)
    }
}

/// A provider in service. Dropping it takes it out.
pub struct KeyValueService {
    callers: Arc<ArcSwap<Callers>>,
    functions: Vec<Served>,
}

impl KeyValueService {
    /// Serves the provider `id`. All hosts that serve the same share the calls.
    ///
    /// # Errors
    /// A connection that does not take the subscriptions.
    pub async fn open(
        server: &Server,
        lattice: &LatticeName,
        id: &ComponentId,
        callers: Callers,
    ) -> Result<Self, ServeError> {
        let callers = Arc::new(ArcSwap::from_pointee(callers));
        let mut functions = Vec::new();
        for function in Function::ALL {
            let interface = format!("wrpc:keyvalue/{}@0.2.0-draft", function.interface());
            let export = Export::new(lattice.as_str(), id.as_str(), &interface, function.name());
            let export = match export {
                Ok(export) => export,
                Err(error) => {
                    let provider_id = id.as_str();
                    tracing::warn!(provider_id, %error, "a function is not served to other hosts");
                    continue;
                }
            };
            let callers = callers.clone();
            let served = ServedFunction { function, callers };
            functions.push(server.serve(&export, served).await?);
        }
        Ok(Self { callers, functions })
    }

    /// Admits `callers` from now on, and nobody else.
    pub fn admit(&self, callers: Callers) {
        self.callers.store(Arc::new(callers));
    }

    /// Takes the provider out of service and waits until no more calls can come.
    pub async fn leave(self) {
        let leaving = self.functions.into_iter().map(Served::leave);
        futures_util::future::join_all(leaving).await;
    }
}

/// Which operation is called.
#[derive(Clone, Copy)]
enum Function {
    Get,
    Set,
    Delete,
    Exists,
    ListKeys,
    Increment,
    GetMany,
    SetMany,
    DeleteMany,
}

impl Function {
    const ALL: [Self; 9] = [
        Self::Get,
        Self::Set,
        Self::Delete,
        Self::Exists,
        Self::ListKeys,
        Self::Increment,
        Self::GetMany,
        Self::SetMany,
        Self::DeleteMany,
    ];

    fn interface(self) -> &'static str {
        match self {
            Self::Get | Self::Set | Self::Delete | Self::Exists | Self::ListKeys => "store",
            Self::Increment => "atomics",
            Self::GetMany | Self::SetMany | Self::DeleteMany => "batch",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Delete => "delete",
            Self::Exists => "exists",
            Self::ListKeys => "list-keys",
            Self::Increment => "increment",
            Self::GetMany => "get-many",
            Self::SetMany => "set-many",
            Self::DeleteMany => "delete-many",
        }
    }

    /// Tells whether parameters are all there: callers of 1.x tell their end only a round trip later.
    fn has_all(self, params: &[u8]) -> bool {
        match self {
            Self::Get | Self::Delete | Self::Exists => is_whole::<KeyParams<'_>>(params),
            Self::Set => is_whole::<SetParams<'_>>(params),
            Self::ListKeys => is_whole::<ListKeysParams<'_>>(params),
            Self::Increment => is_whole::<IncrementParams<'_>>(params),
            _ if check_entries(params).is_err() => true,
            Self::GetMany | Self::DeleteMany => is_whole::<KeysParams<'_>>(params),
            Self::SetMany => is_whole::<SetManyParams<'_>>(params),
        }
    }

    /// Does the operation and returns its result, written.
    async fn run(self, link: &OpenLink, params: &[u8]) -> Result<Vec<u8>, KeyValueError> {
        match self {
            Self::Get => {
                let (bucket, key): KeyParams<'_> = read(params)?;
                let value = link.open(bucket)?.get(key).await?;
                Ok(good(value.as_deref().map(WireBytes)))
            }
            Self::Set => {
                let (bucket, key, value): SetParams<'_> = read(params)?;
                let (key, value) = owned((key, value));
                link.open(bucket)?.set(key, value).await?;
                Ok(good(()))
            }
            Self::Delete => {
                let (bucket, key): KeyParams<'_> = read(params)?;
                link.open(bucket)?.delete(key.to_owned()).await?;
                Ok(good(()))
            }
            Self::Exists => {
                let (bucket, key): KeyParams<'_> = read(params)?;
                Ok(good(link.open(bucket)?.exists(key).await?))
            }
            Self::ListKeys => {
                let (bucket, cursor): ListKeysParams<'_> = read(params)?;
                let page = link.open(bucket)?.list_keys(cursor).await?;
                Ok(good(KeyResponse {
                    keys: page.keys.iter().map(String::as_str).collect(),
                    cursor: page.cursor,
                }))
            }
            Self::Increment => {
                let (bucket, key, delta): IncrementParams<'_> = read(params)?;
                let bucket = link.open(bucket)?;
                Ok(good(bucket.increment(key.to_owned(), delta).await?))
            }
            Self::GetMany | Self::SetMany | Self::DeleteMany => {
                check_entries(params)?;
                self.run_batch(link, params).await
            }
        }
    }

    async fn run_batch(self, link: &OpenLink, params: &[u8]) -> Result<Vec<u8>, KeyValueError> {
        if let Self::SetMany = self {
            let (bucket, pairs): SetManyParams<'_> = read(params)?;
            let pairs = pairs.into_iter().map(owned).collect();
            link.open(bucket)?.set_many(pairs).await?;
            return Ok(good(()));
        }
        let (bucket, keys): KeysParams<'_> = read(params)?;
        let bucket = link.open(bucket)?;
        let keys: Vec<String> = keys.into_iter().map(str::to_owned).collect();
        if let Self::DeleteMany = self {
            bucket.delete_many(keys).await?;
            return Ok(good(()));
        }
        let values = bucket.get_many(&keys).await?;
        let pairs = keys.iter().zip(&values);
        let pair = |(key, value)| Some((String::as_str(key), WireBytes(Option::as_deref(value)?)));
        Ok(good(pairs.map(pair).collect::<Vec<_>>()))
    }
}

/// One operation of one provider, in service.
struct ServedFunction {
    function: Function,
    callers: Arc<ArcSwap<Callers>>,
}

impl Handler for ServedFunction {
    async fn handle(&self, invocation: Invocation) -> Result<Reply, CallError> {
        let function = self.function;
        let callers = self.callers.load_full();
        let link = match callers.find(&invocation, function.interface()) {
            Ok(link) => link,
            Err(error) => return Ok(Reply::value(bad(error))),
        };
        let params = invocation
            .params_until(|params| function.has_all(params))
            .await?;
        let result = function.run(link, &params).await;
        Ok(Reply::value(result.unwrap_or_else(bad)))
    }
}

fn good(value: impl Encode) -> Vec<u8> {
    to_wire(&Ok::<_, Error>(value))
}

fn bad(error: KeyValueError) -> Vec<u8> {
    to_wire(&Err::<(), _>(match error {
        KeyValueError::NoSuchStore => Error::NoSuchStore,
        KeyValueError::AccessDenied => Error::AccessDenied,
        other => Error::Other(other.to_string()),
    }))
}

fn read<'a, T: Decode<'a>>(params: &'a [u8]) -> Result<T, KeyValueError> {
    from_wire(params).map_err(|error: DecodeError| KeyValueError::Provider {
        message: format!("the parameters cannot be read: {error}"),
    })
}

fn owned((key, value): (&str, WireBytes<'_>)) -> (String, bytes::Bytes) {
    (key.to_owned(), bytes::Bytes::copy_from_slice(value.0))
}

/// Refuses a batch of more entries than there may be, before they take memory.
fn check_entries(params: &[u8]) -> Result<(), KeyValueError> {
    let mut reader = Reader::new(params);
    match (reader.string(), reader.u32()) {
        (Ok(_), Ok(count)) if count as usize > BATCH_ENTRIES_MAX => {
            Err(KeyValueError::TooManyEntries {
                entries: count as usize,
            })
        }
        _ => Ok(()),
    }
}

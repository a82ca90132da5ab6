//! Headers and trailers.

use std::sync::Arc;

use ::http::{HeaderMap, HeaderName, HeaderValue, request::Parts};
use wasmtime::component::Resource;
use wasmtime_wasi_http::p2::bindings::http::types;
use wasmtime_wasi_http::p2::{HeaderError, HeaderResult};
use wasmtime_wasi_http::{FieldMap, FieldMapError, WasiHttpHooks};

use super::{FIELDS_BYTES_MAX, ServedView, get, get_mut};
use crate::outgoing::is_forbidden;

/// What is behind a `fields`.
pub(super) enum Fields {
    /// The headers of a request as they came, with those that a guest must not see.
    Request(Arc<Parts>),
    /// Any others.
    Map(HeldMap),
}

/// Headers with what they count for among those of their store: at least what they take, as
/// wasmtime-wasi-http counts it, which keeps its count to itself.
pub(super) struct HeldMap {
    pub(super) map: FieldMap,
    pub(super) bytes: usize,
}

/// What a name and a value cost in memory beside their text.
const ENTRY_BYTES: usize = size_of::<HeaderName>() + size_of::<HeaderValue>();

impl HeldMap {
    fn empty() -> Self {
        Self {
            map: FieldMap::new_mutable(FIELDS_BYTES_MAX),
            bytes: 0,
        }
    }

    /// Counts what is in `map`.
    pub(super) fn of(map: FieldMap) -> Self {
        let lines = map.iter();
        let bytes = lines.map(|(name, value)| name.as_str().len() + value.len() + ENTRY_BYTES);
        Self {
            bytes: bytes.sum(),
            map,
        }
    }
}

impl Clone for HeldMap {
    fn clone(&self) -> Self {
        Self {
            map: self.map.clone(),
            bytes: self.bytes,
        }
    }
}

impl Fields {
    fn headers(&self) -> &HeaderMap {
        match self {
            Self::Request(parts) => &parts.headers,
            Self::Map(held) => &held.map,
        }
    }

    /// Returns what they count for. The head of a request is there anyway.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Request(_) => 0,
            Self::Map(held) => held.bytes,
        }
    }

    /// Returns a header by its name, as far as the guest may see it.
    fn visible(&self, name: &str) -> Option<HeaderName> {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let hidden = matches!(self, Self::Request(_)) && is_forbidden(&name);
        (!hidden).then_some(name)
    }

    /// Makes a map without what a guest must not see.
    pub(super) fn into_map(self, hooks: &mut dyn WasiHttpHooks) -> HeldMap {
        match self {
            Self::Request(parts) => {
                HeldMap::of(FieldMap::new_immutable(hooks, parts.headers.clone()))
            }
            Self::Map(held) => held,
        }
    }

    /// Returns the map to change.
    fn map_mut(&mut self) -> HeaderResult<&mut HeldMap> {
        match self {
            Self::Request(_) => Err(types::HeaderError::Immutable.into()),
            Self::Map(held) => Ok(held),
        }
    }
}

impl ServedView<'_> {
    /// Changes `fields`, which may come to take `more_bytes`.
    fn change(
        &mut self,
        fields: &Resource<FieldMap>,
        more_bytes: usize,
        change: impl FnOnce(&mut FieldMap, &mut dyn WasiHttpHooks) -> Result<(), FieldMapError>,
    ) -> HeaderResult<()> {
        let fields = get_mut(&mut self.tables.fields, fields.rep()).map_err(HeaderError::trap)?;
        let held = fields.map_mut()?;
        change(&mut held.map, self.other.hooks)?;
        // What is taken out is not counted back: the map itself has no more than it may.
        let more_bytes = more_bytes.min(FIELDS_BYTES_MAX.saturating_sub(held.bytes));
        held.bytes += more_bytes;
        let held = self.tables.hold_fields(more_bytes);
        held.map_err(HeaderError::trap)
    }
}

impl types::HostFields for ServedView<'_> {
    fn new(&mut self) -> wasmtime::Result<Resource<FieldMap>> {
        self.push_fields(Fields::Map(HeldMap::empty()))
    }

    fn from_list(&mut self, entries: Vec<(String, Vec<u8>)>) -> HeaderResult<Resource<FieldMap>> {
        let mut held = HeldMap::empty();
        for (name, value) in entries {
            held.bytes += name.len() + value.len() + ENTRY_BYTES;
            held.map.append(self.other.hooks, name, value)?;
        }
        self.push_fields(Fields::Map(held))
            .map_err(HeaderError::trap)
    }

    fn get(&mut self, fields: Resource<FieldMap>, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        let fields = get(&self.tables.fields, fields.rep())?;
        let Some(name) = fields.visible(&name) else {
            return Ok(Vec::new());
        };
        let values = fields.headers().get_all(name);
        Ok(values.iter().map(|it| it.as_bytes().to_owned()).collect())
    }

    fn has(&mut self, fields: Resource<FieldMap>, name: String) -> wasmtime::Result<bool> {
        let fields = get(&self.tables.fields, fields.rep())?;
        Ok(fields
            .visible(&name)
            .is_some_and(|name| fields.headers().contains_key(name)))
    }

    fn set(
        &mut self,
        fields: Resource<FieldMap>,
        name: String,
        values: Vec<Vec<u8>>,
    ) -> HeaderResult<()> {
        let texts = values.iter().map(|value| value.len() + ENTRY_BYTES);
        let more_bytes = name.len() + texts.sum::<usize>();
        self.change(&fields, more_bytes, |map, hooks| {
            map.set(hooks, name, values)
        })
    }

    fn delete(&mut self, fields: Resource<FieldMap>, name: String) -> HeaderResult<()> {
        self.change(&fields, 0, |map, hooks| {
            map.remove_all(hooks, name).map(drop)
        })
    }

    fn append(
        &mut self,
        fields: Resource<FieldMap>,
        name: String,
        value: Vec<u8>,
    ) -> HeaderResult<()> {
        let more_bytes = name.len() + value.len() + ENTRY_BYTES;
        self.change(&fields, more_bytes, |map, hooks| {
            map.append(hooks, name, value).map(drop)
        })
    }

    fn entries(&mut self, fields: Resource<FieldMap>) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        let fields = get(&self.tables.fields, fields.rep())?;
        let hides = matches!(fields, Fields::Request(_));
        let mut entries = Vec::with_capacity(fields.headers().len());
        for (name, value) in fields.headers() {
            if !(hides && is_forbidden(name)) {
                entries.push((name.as_str().to_owned(), value.as_bytes().to_owned()));
            }
        }
        Ok(entries)
    }

    fn clone(&mut self, fields: Resource<FieldMap>) -> wasmtime::Result<Resource<FieldMap>> {
        let mut held = match get(&self.tables.fields, fields.rep())? {
            Fields::Request(parts) => HeldMap::of(FieldMap::new_immutable(
                self.other.hooks,
                parts.headers.clone(),
            )),
            Fields::Map(held) => held.clone(),
        };
        held.map.set_mutable(FIELDS_BYTES_MAX);
        self.push_fields(Fields::Map(held))
    }

    fn drop(&mut self, fields: Resource<FieldMap>) -> wasmtime::Result<()> {
        self.tables.remove_fields(fields.rep())?;
        Ok(())
    }
}

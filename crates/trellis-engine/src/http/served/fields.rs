//! Headers and trailers.

use std::sync::Arc;

use ::http::{HeaderMap, HeaderName, request::Parts};
use wasmtime::component::Resource;
use wasmtime_wasi_http::p2::bindings::http::types;
use wasmtime_wasi_http::p2::{HeaderError, HeaderResult};
use wasmtime_wasi_http::{FieldMap, WasiHttpHooks};

use super::{FIELDS_BYTES_MAX, ServedView, get, get_mut, remove};
use crate::outgoing::is_forbidden;

/// What is behind a `fields`.
pub(super) enum Fields {
    /// The headers of a request as they came, with those that a guest must not see.
    Request(Arc<Parts>),
    /// Any others.
    Map(FieldMap),
}

impl Fields {
    fn headers(&self) -> &HeaderMap {
        match self {
            Self::Request(parts) => &parts.headers,
            Self::Map(map) => map,
        }
    }

    /// Returns a header by its name, as far as the guest may see it.
    fn visible(&self, name: &str) -> Option<HeaderName> {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let hidden = matches!(self, Self::Request(_)) && is_forbidden(&name);
        (!hidden).then_some(name)
    }

    /// Makes a map without what a guest must not see.
    pub(super) fn into_map(self, hooks: &mut dyn WasiHttpHooks) -> FieldMap {
        match self {
            Self::Request(parts) => FieldMap::new_immutable(hooks, parts.headers.clone()),
            Self::Map(map) => map,
        }
    }

    /// Returns the map to change.
    fn map_mut(&mut self) -> HeaderResult<&mut FieldMap> {
        match self {
            Self::Request(_) => Err(types::HeaderError::Immutable.into()),
            Self::Map(map) => Ok(map),
        }
    }
}

impl types::HostFields for ServedView<'_> {
    fn new(&mut self) -> wasmtime::Result<Resource<FieldMap>> {
        self.push_fields(Fields::Map(FieldMap::new_mutable(FIELDS_BYTES_MAX)))
    }

    fn from_list(&mut self, entries: Vec<(String, Vec<u8>)>) -> HeaderResult<Resource<FieldMap>> {
        let mut map = FieldMap::new_mutable(FIELDS_BYTES_MAX);
        for (name, value) in entries {
            map.append(self.other.hooks, name, value)?;
        }
        self.push_fields(Fields::Map(map))
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
        let fields = get_mut(&mut self.tables.fields, fields.rep()).map_err(HeaderError::trap)?;
        Ok(fields.map_mut()?.set(self.other.hooks, name, values)?)
    }

    fn delete(&mut self, fields: Resource<FieldMap>, name: String) -> HeaderResult<()> {
        let fields = get_mut(&mut self.tables.fields, fields.rep()).map_err(HeaderError::trap)?;
        fields.map_mut()?.remove_all(self.other.hooks, name)?;
        Ok(())
    }

    fn append(
        &mut self,
        fields: Resource<FieldMap>,
        name: String,
        value: Vec<u8>,
    ) -> HeaderResult<()> {
        let fields = get_mut(&mut self.tables.fields, fields.rep()).map_err(HeaderError::trap)?;
        fields.map_mut()?.append(self.other.hooks, name, value)?;
        Ok(())
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
        let mut map = match get(&self.tables.fields, fields.rep())? {
            Fields::Request(parts) => {
                FieldMap::new_immutable(self.other.hooks, parts.headers.clone())
            }
            Fields::Map(map) => map.clone(),
        };
        map.set_mutable(FIELDS_BYTES_MAX);
        self.push_fields(Fields::Map(map))
    }

    fn drop(&mut self, fields: Resource<FieldMap>) -> wasmtime::Result<()> {
        remove(&mut self.tables.fields, fields.rep())?;
        Ok(())
    }
}

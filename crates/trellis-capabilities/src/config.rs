//! `wasi:config`: the named string map of a component.
//!
//! Offers `runtime` of 0.2.0-draft, which guests of wasmCloud 1.x import, and `store` of
//! 0.2.0-rc.1 beside it; they differ in names only. The map is merged and fixed at deploy.

use std::collections::BTreeMap;
use std::sync::Arc;

use trellis_engine::{Capability, State};
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

/// `wasi:config` for one component.
#[derive(Clone, Debug, Default)]
pub struct Config {
    values: Arc<BTreeMap<String, String>>,
}

impl Config {
    /// Takes the merged config of a component.
    pub fn new(values: BTreeMap<String, String>) -> Self {
        Self {
            values: Arc::new(values),
        }
    }
}

/// `config-error` of 0.2.0-draft and `error` of 0.2.0-rc.1. The map is in memory: a read never
/// fails, but the type of the functions names the cases.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(variant)]
enum WitError {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

impl Capability for Config {
    fn link(&self, linker: &mut Linker<State>, import: &str) -> wasmtime::Result<()> {
        let name = import.split_once('@').map_or(import, |(name, _)| name);
        if !matches!(name, "wasi:config/runtime" | "wasi:config/store") {
            return Err(wasmtime::format_err!("config does not offer {import}"));
        }
        let mut instance = linker.instance(import)?;
        let values = Arc::clone(&self.values);
        instance.func_wrap("get", move |_, (key,): (String,)| {
            Ok((Ok::<Option<String>, WitError>(values.get(&key).cloned()),))
        })?;
        let values = Arc::clone(&self.values);
        instance.func_wrap("get-all", move |_, (): ()| {
            let pairs = values
                .iter()
                .map(|(key, value)| (key.clone(), value.clone()));
            Ok((Ok::<Vec<(String, String)>, WitError>(pairs.collect()),))
        })
    }
}

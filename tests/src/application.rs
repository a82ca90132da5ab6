//! Manifests for tests. A manifest is YAML and JSON is YAML, so they are made as JSON; texts whose places matter are
//! written out in the tests.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::paths::guest;

/// A manifest under construction.
#[derive(Clone, Debug)]
pub struct Application {
    name: String,
    entries: Vec<Value>,
}

/// One component under construction.
#[derive(Clone, Debug)]
pub struct Entry {
    name: String,
    image: String,
    traits: Vec<Value>,
}

impl Entry {
    /// A component that was built from `tests/guests/` or `examples/`.
    pub fn new(name: &str, guest_name: &str) -> Self {
        Self::of(name, &guest(guest_name).display().to_string())
    }

    /// A component of the given image.
    pub fn of(name: &str, image: &str) -> Self {
        Self {
            name: name.to_owned(),
            image: image.to_owned(),
            traits: Vec::new(),
        }
    }

    /// Limits it: pairs of field and value.
    #[must_use]
    pub fn limits(mut self, limits: Value) -> Self {
        self.traits
            .push(json!({ "type": "limits", "properties": limits }));
        self
    }

    /// Says how its instances are reused: pairs of field and value.
    #[must_use]
    pub fn reuse(mut self, reuse: Value) -> Self {
        self.traits
            .push(json!({ "type": "reuse", "properties": reuse }));
        self
    }

    /// Links it: `interfaces` is `namespace:package/interface`, several joined by commas.
    #[must_use]
    pub fn link(mut self, target: &str, interfaces: &str, target_config: Value) -> Self {
        self.traits
            .push(link(target, interfaces, Value::Null, target_config));
        self
    }
}

impl Application {
    /// An application without components.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            entries: Vec::new(),
        }
    }

    /// Adds a component.
    #[must_use]
    pub fn component(mut self, entry: Entry) -> Self {
        self.entries.push(json!({
            "name": entry.name,
            "type": "component",
            "properties": { "image": entry.image },
            "traits": entry.traits,
        }));
        self
    }

    /// Adds a provider that calls nothing.
    #[must_use]
    pub fn provider(mut self, name: &str, image: &str) -> Self {
        let properties = json!({ "image": image });
        self.entries
            .push(json!({ "name": name, "type": "capability", "properties": properties }));
        self
    }

    /// Has `target` answer HTTP as `config` says; without an address, on that of `--http`.
    #[must_use]
    pub fn http(mut self, target: &str, config: Value) -> Self {
        let link = link(target, "wasi:http/incoming-handler", config, Value::Null);
        self.entries.push(json!({
            "name": format!("http-{target}"),
            "type": "capability",
            "properties": { "image": "builtin:http-server" },
            "traits": [link],
        }));
        self
    }

    /// Writes the manifest into `folder` and returns its path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join(format!("{}.yaml", self.name));
        let manifest = json!({
            "apiVersion": "core.oam.dev/v1beta1",
            "kind": "Application",
            "metadata": { "name": self.name },
            "spec": { "components": self.entries },
        });
        std::fs::write(&path, format!("{manifest:#}\n")).expect("the folder can be written");
        path
    }
}

fn link(target: &str, interfaces: &str, source_config: Value, target_config: Value) -> Value {
    let (package, names) = interfaces
        .split_once('/')
        .expect("namespace:package/interface");
    let (namespace, package) = package
        .split_once(':')
        .expect("namespace:package/interface");
    let config = |name: &str, properties: Value| match properties {
        Value::Null => json!([]),
        properties => json!([{ "name": format!("{name}-of-{target}"), "properties": properties }]),
    };
    json!({
        "type": "link",
        "properties": {
            "target": { "name": target, "config": config("target", target_config) },
            "source": { "config": config("source", source_config) },
            "namespace": namespace,
            "package": package,
            "interfaces": names.split(',').collect::<Vec<_>>(),
        },
    })
}

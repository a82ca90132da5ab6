//! What `trellis up` is given: the hello components as they are, everything else as a manifest.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::guest::{HELLO, HELLO_P3, KVCOUNTER};

/// Components of the application that nobody calls.
pub(crate) const IDLE_COMPONENTS: u32 = 1_000;

/// An application to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Application {
    /// Says hello on WASI 0.2, with a fresh instance for each request.
    Hello,
    /// The same, with instances that serve 1,024 requests each.
    HelloReused,
    /// Says hello on WASI 0.3, with the default of its level: reused and concurrent.
    HelloP3,
    /// Counts in memory.
    CounterMemory,
    /// Counts in a file.
    CounterRedb,
    /// Says hello a thousand times over.
    Idle,
}

impl Application {
    /// Returns the path to give to `trellis up`; a manifest is written to `folder`.
    pub(crate) fn path(self, guests: &Path, folder: &Path) -> Result<PathBuf> {
        let guest = |name: &str| guests.join(format!("{name}.wasm"));
        let manifest = match self {
            Self::Hello => return Ok(guest(HELLO)),
            Self::HelloP3 => return Ok(guest(HELLO_P3)),
            Self::HelloReused => reused(&guest(HELLO)),
            Self::CounterMemory => counter(&guest(KVCOUNTER), "keyvalue-memory"),
            Self::CounterRedb => counter(&guest(KVCOUNTER), "keyvalue-redb"),
            Self::Idle => idle(&guest(HELLO)),
        };
        let path = folder.join("trellis.yaml");
        fs::write(&path, manifest).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

const HEAD: &str = "\
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: measured
spec:
  components:
";

/// The entrance, on a port of the system's choice.
const ENTRANCE: &str = "
    - name: http
      type: capability
      properties:
        image: builtin:http-server
      traits:
        - type: link
          properties:
            target: { name: component-0 }
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            source:
              config:
                - name: http-address
                  properties: { address: '127.0.0.1:0' }
";

fn reused(image: &Path) -> String {
    let reuse = "
        - type: reuse
          properties: { calls: 1024, concurrency: 1 }
";
    format!(
        "{HEAD}{}{}{ENTRANCE}",
        component(0, image),
        reuse.trim_start_matches('\n')
    )
}

fn counter(image: &Path, store: &str) -> String {
    let link = "
        - type: link
          properties:
            target: { name: store }
            namespace: wasi
            package: keyvalue
            interfaces: [store, atomics]
";
    let store = format!(
        "
    - name: store
      type: capability
      properties: {{ image: 'builtin:{store}' }}
"
    );
    format!(
        "{HEAD}{}{}{store}{ENTRANCE}",
        component(0, image),
        link.trim_start_matches('\n')
    )
}

fn idle(image: &Path) -> String {
    let mut manifest = HEAD.to_owned();
    for number in 0..IDLE_COMPONENTS {
        manifest.push_str(&component(number, image));
    }
    manifest + ENTRANCE
}

/// A component, open at its end for more traits.
fn component(number: u32, image: &Path) -> String {
    // A string of JSON is one of YAML, whatever is in the path.
    let image = serde_json::Value::from(format!("file://{}", image.display()));
    let mut text = String::new();
    let _ = write!(
        text,
        "
    - name: component-{number}
      type: component
      properties: {{ image: {image} }}
      traits:
        - type: spreadscaler
          properties: {{ instances: 100 }}
"
    ); // writing to a string cannot fail
    text
}

#[cfg(test)]
mod tests {
    use trellis_manifest::{Source, parse_all, render_all};

    use super::*;

    #[test]
    fn every_manifest_is_valid() {
        let image = Path::new("/a folder/with 'quotes'/hello.wasm");
        for text in [reused(image), counter(image, "keyvalue-redb"), idle(image)] {
            let sources = [Source::from_bytes("trellis.yaml", text.as_bytes())];
            let applications = parse_all(&sources)
                .unwrap_or_else(|findings| panic!("{}", render_all(&findings, &sources)));
            assert_eq!(applications.len(), 1);
        }
    }
}

//! The components that are measured, as `cargo xtask guests` built them.

use std::path::PathBuf;

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Args;
use sha2::{Digest, Sha256};

/// What the hello components answer, and bare hyper with them.
pub(crate) const GREETING: &[u8] = b"Hello from Trellis!\n";

/// Says hello on WASI 0.2.
pub(crate) const HELLO: &str = "http_hello";
/// Says hello on WASI 0.3.
pub(crate) const HELLO_P3: &str = "http_hello_p3";
/// Counts requests in a key-value store.
pub(crate) const KVCOUNTER: &str = "http_kvcounter";

/// Where the components are.
#[derive(Args, Clone, Debug)]
pub(crate) struct Guests {
    /// Folder of the built components
    #[arg(
        id = "guests",
        long,
        value_name = "FOLDER",
        env = "TRELLIS_GUESTS",
        default_value = "target/guests"
    )]
    pub(crate) folder: PathBuf,
}

impl Guests {
    /// Reads a component.
    ///
    /// # Errors
    /// When it was not built.
    pub(crate) fn read(&self, name: &str) -> Result<Bytes> {
        let path = self.folder.join(format!("{name}.wasm"));
        let bytes = std::fs::read(&path).with_context(|| {
            format!(
                "cannot read {}; `cargo xtask guests` builds it",
                path.display()
            )
        })?;
        Ok(bytes.into())
    }
}

/// Returns the digest by which compiled code is cached.
pub(crate) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

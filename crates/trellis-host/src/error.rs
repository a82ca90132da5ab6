//! Why a host or an application does not start.

use std::path::PathBuf;

use trellis_capabilities::keyvalue::{KeyValueError, OpenError};
use trellis_engine::EngineError;
use trellis_gateway::BindError;
use trellis_manifest::Diagnostic;

use crate::gateways::GatewayError;

/// One thing that is wrong with what was to be deployed.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It has a place in a manifest.
    #[error("{}", .0.message)]
    Manifest(Diagnostic),
    /// It concerns a component that was given without a manifest.
    #[error("{message}")]
    Component {
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// Why a host cannot start, or not with these applications.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The engine cannot run here.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An address cannot be served.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A bucket cannot be had.
    #[error("cannot open bucket {bucket} for {target}")]
    Bucket {
        /// The bucket.
        bucket: String,
        /// The provider.
        target: String,
        /// Why.
        #[source]
        source: KeyValueError,
    },
    /// The host's TLS settings are unusable.
    #[error("cannot set TLS up")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Something is wrong with what was to be deployed; all of it is here.
    #[error("the application cannot be deployed")]
    Problems(Vec<Problem>),
    /// A task of the host ended unexpectedly.
    #[error("a task that loads {} ended unexpectedly", path.display())]
    Internal {
        /// What it was loading.
        path: PathBuf,
    },
}

impl From<BindError> for StartError {
    fn from(error: BindError) -> Self {
        Self::Gateway(error.into())
    }
}

impl StartError {
    /// Tells whether another folder for compiled code would help.
    pub fn concerns_cache_folder(&self) -> bool {
        matches!(self, Self::Engine(EngineError::Cache(_)))
    }
}

//! The engine: two wasmtime engines, their ticker, the cache and the host's budgets.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::budget::MemoryBudget;
use crate::cache::{CacheError, CompileCache};
use crate::figures::AllFigures;
use crate::generations::Generations;
use crate::settings::{self, Flavour, PoolReport};
use crate::ticker;

/// Compilations at once. Each one uses all cores; a second one overlaps the serial parts of the first.
const COMPILATIONS_MAX: usize = 2;

/// What an engine is made with.
#[derive(Clone, Debug, Default)]
pub struct EngineConfig {
    /// The folder for compiled code; none compiles in memory.
    pub cache_folder: Option<PathBuf>,
    /// What all guests may use together, in bytes; none takes half of what the machine has.
    pub memory_bytes_max: Option<u64>,
}

/// Why an engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// wasmtime refuses the settings on this machine.
    #[error("cannot start the WebAssembly engine on this machine")]
    Engine {
        /// What it says.
        #[source]
        source: wasmtime::Error,
    },
    /// The thread that interrupts guests cannot start.
    #[error("cannot start the thread that interrupts guests")]
    Ticker {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// Compiles and runs components. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    sequential: wasmtime::Engine,
    concurrent: wasmtime::Engine,
    cache: Option<Arc<CompileCache>>,
    budget: Arc<MemoryBudget>,
    compile_permits: Semaphore,
    figures: AllFigures,
    generations: Arc<Generations>,
    pool: PoolReport,
}

impl Engine {
    /// Starts an engine.
    ///
    /// # Errors
    /// When wasmtime cannot run here, or when the cache folder is not safe to load code from.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let budget = config
            .memory_bytes_max
            .unwrap_or_else(MemoryBudget::of_machine);
        let pool = settings::size_pool();
        let build = |flavour| {
            wasmtime::Engine::new(&settings::config(flavour, pool, budget))
                .map_err(|source| EngineError::Engine { source })
        };
        let sequential = build(Flavour::Sequential)?;
        let concurrent = build(Flavour::Concurrent)?;
        ticker::start(vec![sequential.weak(), concurrent.weak()])
            .map_err(|source| EngineError::Ticker { source })?;
        let cache = config
            .cache_folder
            .as_deref()
            .map(CompileCache::open)
            .transpose()?;
        Ok(Self {
            inner: Arc::new(Inner {
                sequential,
                concurrent,
                cache: cache.map(Arc::new),
                budget: MemoryBudget::new(budget),
                compile_permits: Semaphore::new(COMPILATIONS_MAX),
                figures: AllFigures::default(),
                generations: Arc::default(),
                pool,
            }),
        })
    }

    /// Returns what pool this machine got.
    pub fn pool(&self) -> PoolReport {
        self.inner.pool
    }

    /// Returns the linear memory that guests use now, in bytes.
    pub fn guest_memory_bytes(&self) -> u64 {
        self.inner.budget.used_bytes()
    }

    pub(crate) fn wasmtime(&self, flavour: Flavour) -> &wasmtime::Engine {
        match flavour {
            Flavour::Sequential => &self.inner.sequential,
            Flavour::Concurrent => &self.inner.concurrent,
        }
    }

    pub(crate) fn cache(&self) -> Option<&Arc<CompileCache>> {
        self.inner.cache.as_ref()
    }

    pub(crate) fn budget(&self) -> &Arc<MemoryBudget> {
        &self.inner.budget
    }

    pub(crate) fn figures(&self) -> &AllFigures {
        &self.inner.figures
    }

    pub(crate) fn generations(&self) -> &Arc<Generations> {
        &self.inner.generations
    }

    pub(crate) fn compile_permits(&self) -> &Semaphore {
        &self.inner.compile_permits
    }
}

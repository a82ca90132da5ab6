//! What a host says while it starts applications.

use std::time::Duration;

use trellis_core::ComponentId;

/// One step of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The component is being compiled, or its code loaded.
    Compiling(ComponentId),
    /// Its code is there.
    Compiled {
        /// The component.
        id: ComponentId,
        /// How long it took.
        elapsed: Duration,
        /// An earlier run had compiled it.
        from_cache: bool,
    },
    /// Its first instance is being made.
    Starting(ComponentId),
    /// It can be called.
    Ready(ComponentId),
}

/// Is told of progress. Called from several tasks at once; must not block.
pub trait Observer: Send + Sync {
    /// Takes note of one step.
    fn observe(&self, progress: Progress);
}

/// Takes note of nothing.
impl Observer for () {
    fn observe(&self, _: Progress) {}
}

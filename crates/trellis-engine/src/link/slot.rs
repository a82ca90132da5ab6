//! Where a link leads now. It can be changed while calls run.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use trellis_core::ErrorClass;

use crate::call_error::CallError;
use crate::component::ComponentHandle;

use super::RemoteTarget;

/// A component on this host.
#[derive(Clone)]
pub struct LocalTarget {
    /// The component.
    pub handle: Arc<ComponentHandle>,
    /// The exact name under which it exports the interface of the link.
    pub interface: Arc<str>,
}

/// Who answers the calls of a link. With both, the component on this host answers while it has room,
/// and nobody waits for it while the other can answer.
#[derive(Clone, Default)]
pub struct LinkTarget {
    /// The component on this host.
    pub local: Option<LocalTarget>,
    /// Whoever is elsewhere.
    pub remote: Option<Arc<dyn RemoteTarget>>,
}

/// The place of one link: what it leads to is read at every call, without a lock.
pub struct LinkSlot {
    target: ArcSwap<LinkTarget>,
    unsatisfied: Box<str>,
}

impl LinkSlot {
    /// Makes a slot that leads nowhere. Calls fail with the text `unsatisfied` until it is set.
    pub fn new(unsatisfied: impl Into<Box<str>>) -> Arc<Self> {
        Arc::new(Self {
            target: ArcSwap::from_pointee(LinkTarget::default()),
            unsatisfied: unsatisfied.into(),
        })
    }

    /// Leads new calls to `target`. Calls in flight end where they are.
    pub fn set(&self, target: LinkTarget) {
        self.target.store(Arc::new(target));
    }

    /// Returns where calls are led now.
    pub fn target(&self) -> Arc<LinkTarget> {
        self.target.load_full()
    }

    pub(super) fn load(&self) -> Guard<Arc<LinkTarget>> {
        self.target.load()
    }

    /// Returns the error of a call that leads nowhere.
    pub(super) fn unsatisfied(&self) -> CallError {
        CallError::new(ErrorClass::Unavailable, &*self.unsatisfied)
    }
}

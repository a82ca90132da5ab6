//! What a connection remembers about the subjects it publishes to.

use std::collections::HashMap;
use std::str;
use std::sync::Arc;

use trellis_identity::Permissions;

use super::Subscription;
use crate::limits::ROUTES_CACHED_MAX;
use crate::sublist::{Matched, Sublist};

/// Reply subjects are used once, so nothing is remembered about them.
const USED_ONCE: &[u8] = b"_INBOX.";

/// Whether a subject may be published to, and who gets it.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) allowed: bool,
    pub(super) matched: Arc<Matched<Subscription>>,
}

/// The routes that one connection has used, bounded. Rights do not change while it lasts.
#[derive(Default)]
pub(super) struct Routes {
    known: HashMap<Box<[u8]>, (u64, Route)>,
}

impl Routes {
    /// Returns the route of `subject`, from memory when nothing changed.
    pub(super) fn find(
        &mut self,
        subject: &[u8],
        table: &Sublist<Subscription>,
        permissions: &Permissions,
    ) -> Route {
        if subject.starts_with(USED_ONCE) {
            return look_up(subject, table, permissions);
        }
        let generation = table.generation(subject);
        if let Some((known, route)) = self.known.get(subject)
            && *known == generation
        {
            return route.clone();
        }
        let route = look_up(subject, table, permissions);
        if self.known.len() >= ROUTES_CACHED_MAX {
            self.known.clear();
        }
        self.known
            .insert(subject.into(), (generation, route.clone()));
        route
    }

    /// Forgets everything: the rights have become known.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }
}

/// What is no UTF-8 text cannot be subscribed to, and cannot be judged by rights.
fn look_up(subject: &[u8], table: &Sublist<Subscription>, permissions: &Permissions) -> Route {
    let Ok(subject) = str::from_utf8(subject) else {
        return Route {
            allowed: *permissions == Permissions::default(),
            matched: Arc::default(),
        };
    };
    Route {
        allowed: permissions.allows_publish(subject),
        matched: Arc::new(table.find(subject)),
    }
}

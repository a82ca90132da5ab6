//! Links by either end.

use std::collections::{BTreeMap, BTreeSet};

use trellis_control::Link;

/// The links of one component or provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinksOf<'a> {
    /// Those by which it calls.
    pub outbound: Vec<&'a Link>,
    /// Those by which it is called.
    pub inbound: Vec<&'a Link>,
}

/// Which sources link to a target.
#[derive(Debug, Default)]
pub(super) struct InboundIndex(BTreeMap<String, BTreeSet<String>>);

impl InboundIndex {
    pub(super) fn sources_of(&self, target: &str) -> impl Iterator<Item = &str> {
        self.0.get(target).into_iter().flatten().map(String::as_str)
    }

    /// Puts the links `after` of `source` in the place of those `before`.
    pub(super) fn replace(&mut self, source: &str, before: &[Link], after: &[Link]) {
        for link in before {
            if let Some(sources) = self.0.get_mut(&link.target) {
                sources.remove(source);
                if sources.is_empty() {
                    self.0.remove(&link.target);
                }
            }
        }
        for link in after {
            let sources = self.0.entry(link.target.clone()).or_default();
            sources.insert(source.to_owned());
        }
    }
}

/// Adds to `ids` both ends of every link that is only in one of the lists. The order counts: of two
/// links for one interface the later wins.
pub(super) fn link_ends_that_differ(before: &[Link], after: &[Link], ids: &mut Vec<String>) {
    if before == after {
        return;
    }
    let (old, new) = (
        BTreeSet::from_iter(before.iter().map(key)),
        BTreeSet::from_iter(after.iter().map(key)),
    );
    let mut ends = |link: &Link| ids.extend([link.source_id.clone(), link.target.clone()]);
    before
        .iter()
        .filter(|it| !new.contains(&key(it)))
        .for_each(&mut ends);
    after
        .iter()
        .filter(|it| !old.contains(&key(it)))
        .for_each(&mut ends);
    if let Some(link) = after.first().or(before.first()) {
        ids.push(link.source_id.clone());
    }
}

type LinkKey<'a> = ([&'a str; 5], [&'a [String]; 3]);

fn key(link: &Link) -> LinkKey<'_> {
    (
        [
            &link.source_id,
            &link.target,
            &link.name,
            &link.wit_namespace,
            &link.wit_package,
        ],
        [&link.interfaces, &link.source_config, &link.target_config],
    )
}

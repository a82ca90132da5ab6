//! What a host knows of the lattice state: specs with their links, claims, config.
//!
//! Changes come from the watches of the two buckets and from this host's own writes, whichever is
//! first; a revision tells which of two is the later.

mod follower;
mod links;

use trellis_control::{
    Claims, ComponentSpec, Config, LatticeKey, MissingConfig, REPLY_BYTES_MAX, decode,
    merge_config, resolve_config,
};

use self::follower::{Decode, Difference, Follower};
pub use self::links::LinksOf;
use self::links::{InboundIndex, link_ends_that_differ};
use crate::effect::Note;
use crate::input::{Incarnation, StoreChange, Stored};
use crate::time::Millis;

/// Entries of one bucket that are kept: what the store lists at most.
pub const ENTRIES_MIRRORED_MAX: usize = 100_000;

/// A value of the bucket with specs and claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SpecValue {
    Spec(ComponentSpec),
    Claims(Claims),
}

/// What a change means for what runs.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// Ids at either end of a link that changed.
    pub(crate) ids: Vec<String>,
    /// Config entries that changed.
    pub(crate) configs: Vec<String>,
}

/// Both buckets.
#[derive(Debug)]
pub(crate) struct Mirror {
    specs: Follower<SpecValue>,
    configs: Follower<Config>,
    inbound: InboundIndex,
}

impl Mirror {
    pub(crate) fn new() -> Self {
        Self {
            specs: Follower::new(decode_spec as Decode<SpecValue>),
            configs: Follower::new(decode_config as Decode<Config>),
            inbound: InboundIndex::default(),
        }
    }

    /// Takes in a change of the bucket with specs.
    pub(crate) fn specs_changed(&mut self, change: StoreChange, notes: &mut Vec<Note>) -> Touched {
        let differences = self.specs.apply(change, notes);
        self.specs_differ(differences)
    }

    /// Takes in a change of the bucket with config.
    pub(crate) fn configs_changed(
        &mut self,
        change: StoreChange,
        notes: &mut Vec<Note>,
    ) -> Touched {
        configs_differ(self.configs.apply(change, notes))
    }

    /// Takes in a spec that this host wrote itself.
    pub(crate) fn spec_written(
        &mut self,
        now: Millis,
        written: Stored,
        notes: &mut Vec<Note>,
    ) -> Touched {
        let differences = self.specs.written(now, written, notes);
        self.specs_differ(differences)
    }

    /// Takes in a config entry that this host wrote itself.
    pub(crate) fn config_written(
        &mut self,
        now: Millis,
        written: Stored,
        notes: &mut Vec<Note>,
    ) -> Touched {
        configs_differ(self.configs.written(now, written, notes))
    }

    /// Forgets own writes that were undone without anybody telling.
    pub(crate) fn expire(&mut self, now: Millis) -> Touched {
        let differences = self.specs.expire(now);
        let mut touched = self.specs_differ(differences);
        touched.configs = configs_differ(self.configs.expire(now)).configs;
        touched
    }

    /// Takes in that this host itself removed a config entry.
    pub(crate) fn config_removed(&mut self, name: &str, revision: u64) -> Touched {
        configs_differ(self.configs.removed(name, revision))
    }

    /// Takes the state as it is, after it was rewound. Returns `None` while it cannot be read.
    pub(crate) fn accept(&mut self) -> Option<Touched> {
        if !self.specs.can_accept() || !self.configs.can_accept() {
            return None;
        }
        let differences = self.specs.accept();
        let mut touched = self.specs_differ(differences);
        touched.configs = configs_differ(self.configs.accept()).configs;
        Some(touched)
    }

    /// Tells whether both buckets were read.
    pub(crate) fn specs_incarnation(&self) -> Option<Incarnation> {
        self.specs.incarnation()
    }

    pub(crate) fn configs_incarnation(&self) -> Option<Incarnation> {
        self.configs.incarnation()
    }

    pub(crate) fn is_read(&self) -> bool {
        self.specs.is_read() && self.configs.is_read()
    }

    /// Returns why the state is rewound, if it is.
    pub(crate) fn rewound(&self) -> Option<String> {
        let of = |what, why: &str| format!("the lattice state ({what}) went back in time: {why}");
        let specs = self.specs.rewound().map(|why| of("links", why));
        specs.or_else(|| self.configs.rewound().map(|why| of("config", why)))
    }

    /// Tells whether the state is out of date.
    pub(crate) fn is_stale(&self) -> bool {
        self.specs.is_stale() || self.configs.is_stale()
    }

    pub(crate) fn spec(&self, id: &str) -> Option<&ComponentSpec> {
        let key = LatticeKey::Component(id.to_owned()).to_string();
        match self.specs.get(&key)? {
            SpecValue::Spec(spec) => Some(spec),
            SpecValue::Claims(_) => None,
        }
    }

    pub(crate) fn specs(&self) -> impl Iterator<Item = (&str, &ComponentSpec)> {
        let prefix = LatticeKey::COMPONENT_PREFIX;
        self.specs
            .iter()
            .filter_map(move |(key, value)| match value {
                SpecValue::Spec(spec) => Some((key.strip_prefix(prefix)?, spec)),
                SpecValue::Claims(_) => None,
            })
    }

    pub(crate) fn claims(&self) -> impl Iterator<Item = &Claims> {
        self.specs.iter().filter_map(|(_, value)| match value {
            SpecValue::Claims(claims) => Some(claims),
            SpecValue::Spec(_) => None,
        })
    }

    pub(crate) fn claims_of(&self, subject: &str) -> Option<&Claims> {
        let key = LatticeKey::Claims(subject.to_owned()).to_string();
        match self.specs.get(&key)? {
            SpecValue::Claims(claims) => Some(claims),
            SpecValue::Spec(_) => None,
        }
    }

    pub(crate) fn config(&self, name: &str) -> Option<&Config> {
        self.configs.get(name)
    }

    pub(crate) fn configs(&self) -> impl Iterator<Item = (&str, &Config)> {
        self.configs.iter()
    }

    /// Merges config for what starts: every entry must exist.
    pub(crate) fn resolve(&self, names: &[String]) -> Result<Config, MissingConfig> {
        resolve_config(names, |name| self.config(name))
    }

    /// Merges config for what runs: an entry that is gone counts as empty.
    pub(crate) fn merged(&self, names: &[String]) -> Config {
        merge_config(names.iter().filter_map(|name| self.config(name)))
    }

    pub(crate) fn links_of(&self, id: &str) -> LinksOf<'_> {
        let outbound = self.spec(id).map(|spec| spec.links.iter().collect());
        let inbound = self.inbound.sources_of(id).flat_map(|source| {
            let links = self.spec(source).map_or(&[][..], |spec| &spec.links);
            links.iter().filter(|link| link.target == id)
        });
        LinksOf {
            outbound: outbound.unwrap_or_default(),
            inbound: inbound.collect(),
        }
    }

    fn specs_differ(&mut self, differences: Vec<Difference<SpecValue>>) -> Touched {
        let mut touched = Touched::default();
        for it in differences {
            let Some(source) = it.key.strip_prefix(LatticeKey::COMPONENT_PREFIX) else {
                continue;
            };
            let (before, after) = (links_in(&it.before), links_in(&it.after));
            self.inbound.replace(source, before, after);
            link_ends_that_differ(before, after, &mut touched.ids);
        }
        touched.ids.sort_unstable();
        touched.ids.dedup();
        touched
    }
}

fn configs_differ(differences: Vec<Difference<Config>>) -> Touched {
    Touched {
        ids: Vec::new(),
        configs: differences.into_iter().map(|it| it.key).collect(),
    }
}

fn links_in(value: &Option<SpecValue>) -> &[trellis_control::Link] {
    match value {
        Some(SpecValue::Spec(spec)) => &spec.links,
        _ => &[],
    }
}

/// Reads one value; `Ok(None)` for keys that are none of ours.
fn decode_spec(key: &str, value: &[u8]) -> Result<Option<SpecValue>, Note> {
    let bad = |source| Note::BadValue {
        key: key.to_owned(),
        source,
    };
    Ok(match LatticeKey::parse(key) {
        LatticeKey::Component(_) => Some(SpecValue::Spec(
            decode(value, REPLY_BYTES_MAX).map_err(bad)?,
        )),
        LatticeKey::Claims(subject) => {
            let claims: Claims = decode(value, REPLY_BYTES_MAX).map_err(bad)?;
            if claims.subject() != subject {
                return Err(Note::ForeignClaims {
                    key: key.to_owned(),
                    subject: claims.subject().to_owned(),
                });
            }
            Some(SpecValue::Claims(claims))
        }
        LatticeKey::Other(_) => None,
    })
}

fn decode_config(key: &str, value: &[u8]) -> Result<Option<Config>, Note> {
    let bad = |source| Note::BadValue {
        key: key.to_owned(),
        source,
    };
    decode(value, REPLY_BYTES_MAX).map(Some).map_err(bad)
}

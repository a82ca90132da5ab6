//! Changes of the lattice state: links and config that requests change, and the specs and claims of
//! what was started.
//!
//! A request is answered when its change is durable, or is known to have failed.

use std::collections::BTreeMap;

use bytes::Bytes;
use trellis_control::{
    Claims, Config, ConfigChanged, ConfigName, CtlResponse, DeleteLink, Event, Link, LinkDeleted,
    LinkSetFailed, REPLY_BYTES_MAX, decode, encode, is_secret_name, success,
};
use trellis_core::{ChangeId, ComponentId, with_causes};

use super::{COMPONENTS_MAX, Machine, PROVIDERS_MAX, RETRY_AFTER, STORE_TASKS_MAX};
use crate::effect::{Effect, LinkAnnouncement, Note, StoreTask, StoreWork};
use crate::input::{LinkDeletion, Outcome, ReplyTo, Serial, StoreFailure, Stored};
use crate::mirror::Mirror;
use crate::time::Millis;
use crate::turn::Turn;

/// Specs and claims that are written at once: enough to keep the store busy.
const ENSURED_AT_ONCE_MAX: usize = 32;
/// Specs and claims that wait to be written: a full host starts.
const ENSURES_WAITING_MAX: usize = 2 * (COMPONENTS_MAX + PROVIDERS_MAX);

/// What is under way, and what waits.
#[derive(Debug, Default)]
pub(crate) struct StateChanges {
    asked: BTreeMap<Serial, Asked>,
    ensuring: BTreeMap<Serial, Ensure>,
    waiting: BTreeMap<String, Ensure>,
    retry_at: Millis,
}

/// Who asks for a change.
#[derive(Debug)]
pub(super) struct Asker {
    /// By what copies of the request are known.
    pub(super) change: Option<ChangeId>,
    pub(super) reply: Option<ReplyTo>,
}

/// A change that a request asked for.
#[derive(Debug)]
struct Asked {
    what: What,
    reply: Option<ReplyTo>,
}

#[derive(Debug)]
enum What {
    PutLink(Link),
    DeleteLink(DeleteLink),
    PutConfig(ConfigName),
    DeleteConfig(ConfigName),
    ReadConfig(ConfigName),
}

impl What {
    /// What is said when it is done.
    fn done(&self) -> &'static str {
        match self {
            Self::PutLink(_) => success::LINK_PUT,
            Self::DeleteLink(_) => success::LINK_DELETED,
            Self::PutConfig(_) => success::CONFIG_PUT,
            Self::DeleteConfig(_) => success::CONFIG_DELETED,
            Self::ReadConfig(_) => success::CONFIG_ABSENT, // a reading is never made before
        }
    }
}

/// What is to be in the state because something was started.
#[derive(Clone, Debug)]
enum Ensure {
    Spec { id: ComponentId, url: String },
    Claims(Claims),
}

impl Ensure {
    fn key(&self) -> String {
        match self {
            Self::Spec { id, .. } => format!("the spec of {id}"),
            Self::Claims(claims) => format!("the claims of {}", claims.subject()),
        }
    }

    fn is_there(&self, mirror: &Mirror) -> bool {
        match self {
            Self::Spec { id, .. } => mirror.spec(id.as_str()).is_some(),
            Self::Claims(claims) => mirror.claims_of(claims.subject()) == Some(claims),
        }
    }

    fn task(&self) -> StoreTask {
        match self.clone() {
            Self::Spec { id, url } => StoreTask::EnsureSpec { id, url },
            Self::Claims(claims) => StoreTask::PutClaims(claims),
        }
    }
}

impl StateChanges {
    pub(super) fn want_spec(&mut self, id: ComponentId, url: String) {
        self.want(Ensure::Spec { id, url });
    }

    pub(super) fn want_claims(&mut self, claims: Claims) {
        self.want(Ensure::Claims(claims));
    }

    /// What does not fit is left out: it is written at the next start.
    fn want(&mut self, ensure: Ensure) {
        if self.waiting.len() < ENSURES_WAITING_MAX {
            self.waiting.insert(ensure.key(), ensure);
        }
    }

    /// Writes what waits and is not there.
    pub(super) fn ensure(&mut self, mirror: &Mirror, turn: &mut Turn<'_>) {
        while self.ensuring.len() < ENSURED_AT_ONCE_MAX && turn.now >= self.retry_at {
            let Some((_, ensure)) = self.waiting.pop_first() else {
                return;
            };
            if ensure.is_there(mirror) {
                continue;
            }
            let (serial, task) = (turn.next_serial(), ensure.task());
            self.ensuring.insert(serial, ensure);
            turn.push(Effect::Store(StoreWork {
                serial,
                task,
                change: None,
            }));
        }
    }

    fn ask(&mut self, what: What, task: StoreTask, asker: Asker, turn: &mut Turn<'_>) {
        let Asker { change, reply } = asker;
        if self.asked.len() >= STORE_TASKS_MAX {
            let why = format!(
                "{STORE_TASKS_MAX} changes of the lattice state wait on this host, the most it takes; \
                 try again in a moment"
            );
            tell_failed(what, &why, turn);
            return turn.refuse(reply, &why);
        }
        let serial = turn.next_serial();
        self.asked.insert(serial, Asked { what, reply });
        turn.push(Effect::Store(StoreWork {
            serial,
            task,
            change,
        }));
    }
}

impl Machine {
    pub(super) fn put_link(&mut self, link: Link, asker: Asker, turn: &mut Turn<'_>) {
        let named = link.source_config.iter().chain(&link.target_config);
        let unseen = named.filter(|name| self.mirror.config(name).is_none());
        let mut unseen_config: Vec<String> = unseen.cloned().collect();
        unseen_config.sort_unstable();
        unseen_config.dedup();
        let task = StoreTask::PutLink {
            link: link.clone(),
            unseen_config,
        };
        self.state_changes
            .ask(What::PutLink(link), task, asker, turn);
    }

    pub(super) fn delete_link(&mut self, deletion: DeleteLink, asker: Asker, turn: &mut Turn<'_>) {
        let task = StoreTask::DeleteLink(deletion.clone());
        let what = What::DeleteLink(deletion);
        self.state_changes.ask(what, task, asker, turn);
    }

    pub(super) fn put_config(
        &mut self,
        name: ConfigName,
        bytes: Bytes,
        asker: Asker,
        turn: &mut Turn<'_>,
    ) {
        let what = What::PutConfig(name.clone());
        let task = StoreTask::PutConfig { name, bytes };
        self.state_changes.ask(what, task, asker, turn);
    }

    pub(super) fn delete_config(&mut self, name: ConfigName, asker: Asker, turn: &mut Turn<'_>) {
        let what = What::DeleteConfig(name.clone());
        let task = StoreTask::DeleteConfig(name);
        self.state_changes.ask(what, task, asker, turn);
    }

    /// Reads from the store, so that what another host wrote a moment ago is found; while the store is
    /// rewound, from what is known.
    pub(super) fn get_config(
        &mut self,
        name: ConfigName,
        reply: Option<ReplyTo>,
        turn: &mut Turn<'_>,
    ) {
        if self.mirror.rewound().is_some() {
            let config = self.mirror.config(name.as_str());
            return tell_config(config, reply, turn);
        }
        let what = What::ReadConfig(name.clone());
        let task = StoreTask::ReadConfig(name);
        let asker = Asker {
            change: None,
            reply,
        };
        self.state_changes.ask(what, task, asker, turn);
    }

    /// Work on the store came out.
    pub(super) fn store_finished(&mut self, outcome: Outcome, turn: &mut Turn<'_>) {
        match outcome {
            Outcome::LinkStored { serial, written } => {
                if let Some((What::PutLink(link), reply)) = self.take_asked(serial) {
                    self.spec_written(written, turn);
                    announce_put(&link, turn);
                    turn.publish(Event::LinkSet(link));
                    turn.done(reply, success::LINK_PUT);
                }
            }
            Outcome::LinkDeleted {
                serial,
                deletion,
                written,
            } => {
                if let Some((What::DeleteLink(asked), reply)) = self.take_asked(serial) {
                    self.spec_written(written, turn);
                    tell_link_deleted(asked, deletion, reply, turn);
                }
            }
            Outcome::ConfigStored { serial, written } => {
                if let Some((What::PutConfig(name), reply)) = self.take_asked(serial) {
                    let mut notes = Vec::new();
                    let touched = self.mirror.config_written(turn.now, written, &mut notes);
                    self.mirror_changed(touched, notes, turn);
                    turn.publish(Event::ConfigSet(config_changed(&name)));
                    turn.done(reply, success::CONFIG_PUT);
                }
            }
            Outcome::ConfigDeleted { serial, revision } => {
                if let Some((What::DeleteConfig(name), reply)) = self.take_asked(serial) {
                    if let Some(revision) = revision {
                        let touched = self.mirror.config_removed(name.as_str(), revision);
                        self.mirror_changed(touched, Vec::new(), turn);
                    }
                    turn.publish(Event::ConfigDeleted(config_changed(&name)));
                    turn.done(reply, success::CONFIG_DELETED);
                }
            }
            // Whoever made it has told of it, and so may others of what came after it.
            Outcome::MadeBefore { serial } => {
                if let Some((what, reply)) = self.take_asked(serial) {
                    turn.done(reply, what.done());
                }
            }
            Outcome::ConfigRead { serial, value } => {
                if let Some((What::ReadConfig(name), reply)) = self.take_asked(serial) {
                    tell_config_bytes(&name, value, reply, turn);
                }
            }
            Outcome::Ensured { serial } => {
                self.state_changes.ensuring.remove(&serial);
            }
            Outcome::StoreFailed { serial, failure } => self.store_failed(serial, failure, turn),
            // The outcomes of components and providers are handled before.
            _ => {}
        }
    }

    fn take_asked(&mut self, serial: Serial) -> Option<(What, Option<ReplyTo>)> {
        let Asked { what, reply } = self.state_changes.asked.remove(&serial)?;
        Some((what, reply))
    }

    fn spec_written(&mut self, written: Option<Stored>, turn: &mut Turn<'_>) {
        if let Some(written) = written {
            let mut notes = Vec::new();
            let touched = self.mirror.spec_written(turn.now, written, &mut notes);
            self.mirror_changed(touched, notes, turn);
        }
    }

    fn store_failed(&mut self, serial: Serial, failure: StoreFailure, turn: &mut Turn<'_>) {
        if let Some(ensure) = self.state_changes.ensuring.remove(&serial) {
            self.state_changes.retry_at = turn.now.after(RETRY_AFTER);
            turn.push(Effect::Note(Note::NotEnsured {
                what: ensure.key(),
                source: Box::new(failure),
            }));
            self.state_changes.want(ensure);
        } else if let Some((what, reply)) = self.take_asked(serial) {
            let why = with_causes(&failure);
            tell_failed(what, &why, turn);
            turn.refuse(reply, &why);
        }
    }
}

/// Tells that a change was not made, where there is an event for it.
fn tell_failed(what: What, why: &str, turn: &mut Turn<'_>) {
    if let What::PutLink(link) = what {
        let error = why.to_owned();
        turn.publish(Event::LinkSetFailed(LinkSetFailed { link, error }));
    }
}

fn announce_put(link: &Link, turn: &mut Turn<'_>) {
    let mut config = link.source_config.iter().chain(&link.target_config);
    if !config.any(|name| is_secret_name(name)) {
        turn.push(Effect::AnnounceLink(LinkAnnouncement::Put(link.clone())));
    }
}

fn tell_link_deleted(
    asked: DeleteLink,
    deletion: LinkDeletion,
    reply: Option<ReplyTo>,
    turn: &mut Turn<'_>,
) {
    let removed = match deletion {
        LinkDeletion::NoSpec => return turn.done(reply, success::LINK_ABSENT),
        LinkDeletion::NoSuchLink => None,
        LinkDeletion::Removed(link) => Some(link),
    };
    turn.publish(Event::LinkDeleted(LinkDeleted {
        source_id: asked.source_id,
        target: removed.as_ref().map(|it| it.target.clone()),
        name: asked.name,
        wit_namespace: asked.wit_namespace,
        wit_package: asked.wit_package,
        interfaces: removed.as_ref().map(|it| it.interfaces.clone()),
    }));
    if let Some(link) = removed {
        turn.push(Effect::AnnounceLink(LinkAnnouncement::Deleted(link)));
    }
    turn.done(reply, success::LINK_DELETED);
}

fn config_changed(name: &ConfigName) -> ConfigChanged {
    ConfigChanged {
        config_name: name.as_str().to_owned(),
    }
}

fn tell_config_bytes(
    name: &ConfigName,
    value: Option<Bytes>,
    reply: Option<ReplyTo>,
    turn: &mut Turn<'_>,
) {
    match value.map(|it| decode::<Config>(&it, REPLY_BYTES_MAX)) {
        None => tell_config(None, reply, turn),
        Some(Ok(config)) => tell_config(Some(&config), reply, turn),
        Some(Err(error)) => {
            let why = with_causes(&error);
            turn.refuse(
                reply,
                &format!("config `{name}` in the lattice state is unreadable: {why}"),
            );
        }
    }
}

fn tell_config(config: Option<&Config>, reply: Option<ReplyTo>, turn: &mut Turn<'_>) {
    match config {
        Some(config) => turn.reply(reply, || encode(&CtlResponse::data(config))),
        None => turn.done(reply, success::CONFIG_ABSENT),
    }
}

//! The roles of a lattice, and what each may publish and subscribe to: what it needs and no more.
//!
//! Subjects are those of the 1.x wire and our own under `trellis.v1`. With another prefix of the
//! control interface than `wasmbus.ctl` users need other permissions than these.
//!
//! # Inboxes
//! A reply goes to a subject that the asker chose, its inbox, and whoever may subscribe to all inboxes
//! reads every answer. So our own clients take their inboxes under [`Role::inbox_prefix`], which no
//! other role reads. Peers of the 1.x line cannot be told a prefix; where roles may be played by such
//! (a host that asks 1.x providers, `wash` as an operator, a provider with the 1.x SDK) they have
//! `_INBOX.>` as well. Where no 1.x peer is in the lattice the prefix alone is enough for them too.
//! Viewers and dashboards have the prefix only: a client of NATS needs to be told it
//! (`--inbox-prefix`, `custom_inbox_prefix`).

use std::fmt;

use trellis_core::{ComponentId, LatticeName};

use crate::{Permissions, PublicKey, SubjectRules};

/// The first token of the inboxes of our own clients.
const INBOXES: &str = "_INBOX_TRELLIS";

/// The bucket of the hosts' leases, before `_{lattice}`.
const LEASE_BUCKET: &str = "TRELLISLEASES";

/// The buckets of lattice state, before `_{lattice}`: components and links, and configuration.
const STATE_BUCKETS: [&str; 2] = ["LATTICEDATA", "CONFIGDATA"];

/// What a user is in a lattice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A host: answers the control interface, keeps the state, calls and is called.
    Host,
    /// A person or tool that changes things.
    Operator,
    /// A person or tool that looks and changes nothing.
    Viewer,
    /// A provider in a process of its own.
    Provider {
        /// Its id.
        id: ComponentId,
        /// The curve key under which a host of the 1.x line or ours sends it sealed links, if any.
        link_key: Option<PublicKey>,
    },
    /// The server of the dashboard; what it changes, it changes as the operator who asks.
    Dashboard,
}

impl Role {
    /// Returns the prefix of inboxes that only this role may read.
    pub fn inbox_prefix(&self) -> String {
        match self {
            Self::Host => format!("{INBOXES}.host"),
            Self::Operator => format!("{INBOXES}.operator"),
            Self::Viewer => format!("{INBOXES}.viewer"),
            Self::Provider { id, .. } => format!("{INBOXES}.provider.{id}"),
            Self::Dashboard => format!("{INBOXES}.dashboard"),
        }
    }

    fn inbox(&self) -> String {
        format!("{}.>", self.inbox_prefix())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Operator => f.write_str("operator"),
            Self::Viewer => f.write_str("viewer"),
            Self::Provider { id, .. } => write!(f, "provider {id}"),
            Self::Dashboard => f.write_str("dashboard"),
        }
    }
}

/// Returns what `role` may do in `lattice`.
pub fn permissions(role: &Role, lattice: &LatticeName) -> Permissions {
    let (publish, subscribe) = match role {
        Role::Host => host(role, lattice),
        Role::Operator => operator(role, lattice),
        Role::Viewer | Role::Dashboard => reader(role, lattice),
        Role::Provider { id, link_key } => provider(role, lattice, id, link_key.as_ref()),
    };
    Permissions {
        publish: SubjectRules::only(publish),
        subscribe: SubjectRules::only(subscribe),
        responses: None,
    }
}

/// Publish, subscribe.
type Subjects = (Vec<String>, Vec<String>);

/// Not among these: commands to other hosts. Who starts things on them is an operator.
fn host(role: &Role, lattice: &LatticeName) -> Subjects {
    let mut publish = vec![
        format!("wasmbus.evt.{lattice}.>"),
        format!("wasmbus.rpc.{lattice}.>"),
        format!("wasmbus.cfg.{lattice}.req"),
        format!("wadm.evt.{lattice}.>"),
        format!("wadm.status.{lattice}.>"),
        format!("trellis.v1.{lattice}.>"),
        format!("{lattice}.*.wrpc.>"),
        "wasmcloud.secrets.>".to_owned(),
        "_INBOX.>".to_owned(),
        format!("{INBOXES}.>"),
    ];
    publish.extend(state_subjects(lattice));
    let subscribe = vec![
        format!("wasmbus.ctl.v1.{lattice}.>"),
        format!("wasmbus.evt.{lattice}.>"),
        format!("wadm.api.{lattice}.>"),
        format!("trellis.v1.{lattice}.>"),
        format!("{lattice}.*.wrpc.>"),
        "_INBOX.>".to_owned(),
        role.inbox(),
    ];
    (publish, subscribe)
}

/// The requests of JetStream by which a host makes, reads and writes the buckets of the state, and
/// no other stream. Deleting, purging and restoring whole buckets is not among them. Nor are those of a
/// JetStream domain that is named: a token has to fit into one line of the protocol.
fn state_subjects(lattice: &LatticeName) -> Vec<String> {
    let mut subjects = vec!["$JS.API.INFO".to_owned()];
    for bucket in STATE_BUCKETS {
        let bucket = format!("{bucket}_{lattice}");
        let stream = format!("KV_{bucket}");
        subjects.extend([
            format!("$KV.{bucket}.>"),
            format!("$JS.API.STREAM.INFO.{stream}"),
            format!("$JS.API.STREAM.CREATE.{stream}"),
            format!("$JS.API.STREAM.MSG.GET.{stream}"),
            format!("$JS.API.DIRECT.GET.{stream}"),
            format!("$JS.API.DIRECT.GET.{stream}.>"),
            format!("$JS.API.CONSUMER.*.{stream}"),
            format!("$JS.API.CONSUMER.*.{stream}.>"),
            format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.>"),
            format!("$JS.FC.{stream}.>"),
        ]);
    }
    // Leases are read one by one, from the leader, and never watched.
    let leases = format!("{LEASE_BUCKET}_{lattice}");
    subjects.extend([
        format!("$KV.{leases}.>"),
        format!("$JS.API.STREAM.INFO.KV_{leases}"),
        format!("$JS.API.STREAM.CREATE.KV_{leases}"),
        format!("$JS.API.STREAM.MSG.GET.KV_{leases}"),
    ]);
    subjects
}

fn operator(role: &Role, lattice: &LatticeName) -> Subjects {
    let publish = vec![
        format!("wasmbus.ctl.v1.{lattice}.>"),
        format!("wadm.api.{lattice}.>"),
        format!("trellis.v1.{lattice}.>"),
        format!("{lattice}.*.wrpc.>"),
        // A call sends its further parameters to an inbox of the callee.
        "_INBOX.>".to_owned(),
        Role::Host.inbox(),
        format!("{INBOXES}.provider.>"),
        "$JS.API.INFO".to_owned(), // Read by `trellis doctor`.
    ];
    let mut subscribe = reports(lattice);
    subscribe.extend(["_INBOX.>".to_owned(), role.inbox()]);
    (publish, subscribe)
}

/// Not among these: auctions (hosts must answer them) and calls (functions change things).
fn reader(role: &Role, lattice: &LatticeName) -> Subjects {
    let control = |verb: &str| format!("wasmbus.ctl.v1.{lattice}.{verb}");
    let ours = |verb: &str| format!("trellis.v1.{lattice}.{verb}.*");
    let model = |verb: &str| format!("wadm.api.{lattice}.model.{verb}");
    let publish = vec![
        control("host.ping"),
        control("host.get.*"),
        control("link.get"),
        control("claims.get"),
        control("config.get.*"),
        model("list"),
        model("get"),
        model("get.*"),
        model("versions.*"),
        model("status.*"),
        ours("status"),
        ours("doctor"),
        ours("describe"),
        ours("tail"),
    ];
    let mut subscribe = reports(lattice);
    subscribe.push(role.inbox());
    (publish, subscribe)
}

/// What hosts report to everyone who looks on.
fn reports(lattice: &LatticeName) -> Vec<String> {
    vec![
        format!("wasmbus.evt.{lattice}.>"),
        format!("wadm.evt.{lattice}.>"),
        format!("wadm.status.{lattice}.>"),
        format!("trellis.v1.{lattice}.evt.>"),
        format!("trellis.v1.{lattice}.logs.>"),
    ]
}

/// A provider calls components and answers calls, and hears from its host. Neither the control
/// interface nor events, nor what is sent to another provider, is among these.
fn provider(
    role: &Role,
    lattice: &LatticeName,
    id: &ComponentId,
    link_key: Option<&PublicKey>,
) -> Subjects {
    let publish = vec![
        format!("{lattice}.*.wrpc.>"),
        "_INBOX.>".to_owned(),
        format!("{INBOXES}.>"),
    ];
    let mut subscribe = vec![
        format!("{lattice}.{id}.wrpc.>"),
        format!("wasmbus.rpc.{lattice}.{id}.>"),
        "_INBOX.>".to_owned(),
        role.inbox(),
    ];
    subscribe.extend(link_key.map(|key| format!("wasmbus.rpc.{lattice}.{key}.>")));
    (publish, subscribe)
}

#[cfg(test)]
mod tests;

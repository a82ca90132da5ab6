//! What all tests share: a host that is driven by hand.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::Value;
use trellis_control::{Event, HostId, LatticeKey, Request, TextMap, encode};
use trellis_core::{ComponentId, LatticeName};
use trellis_node::{
    ComponentWork, Effect, Identity, Incarnation, Input, LeaseOutcome, LeaseWork, Machine, Millis,
    Options, Outcome, ProviderWork, ReplyTo, Serial, StoreChange, StoreWork, Stored,
};

pub(crate) fn identity(host_id: &str) -> Identity {
    Identity {
        host_id: HostId::new(host_id).unwrap(),
        friendly_name: "quiet-lake".to_owned(),
        labels: TextMap::from([("zone".to_owned(), "a".to_owned())]),
        version: "0.1.0".to_owned(),
        lattice: LatticeName::new("shop").unwrap(),
        ctl_host: Some("nats://127.0.0.1:4222".to_owned()),
        rpc_host: None,
        js_domain: None,
    }
}

pub(crate) fn id(text: &str) -> ComponentId {
    ComponentId::new(text).unwrap()
}

pub(crate) fn incarnation(created: &str, revision: u64) -> Incarnation {
    Incarnation {
        created: created.to_owned(),
        revision,
    }
}

/// A spec as the store has it.
pub(crate) fn stored_spec(
    id: &str,
    spec: &trellis_control::ComponentSpec,
    revision: u64,
) -> Stored {
    Stored {
        key: LatticeKey::Component(id.to_owned()).to_string(),
        value: encode(spec),
        revision,
    }
}

pub(crate) fn stored_config(name: &str, json: &str, revision: u64) -> Stored {
    Stored {
        key: name.to_owned(),
        value: Bytes::copy_from_slice(json.as_bytes()),
        revision,
    }
}

/// One machine, driven by hand. Keeps what it did.
pub(crate) struct Driven {
    pub(crate) machine: Machine,
    pub(crate) now: u64,
    pub(crate) effects: Vec<Effect>,
}

impl Driven {
    /// A host that has just started.
    pub(crate) fn new() -> Self {
        let options = Options {
            built_in_providers: BTreeSet::from(["http-server".to_owned()]),
            can_run_component: |image| !image.starts_with("foreign"),
            can_run_provider: |image| !image.starts_with("foreign"),
            ..Options::default()
        };
        Self {
            machine: Machine::new(identity("N1"), options, Millis(0)),
            now: 0,
            effects: Vec::new(),
        }
    }

    /// A host that has joined an empty lattice.
    pub(crate) fn joined() -> Self {
        let mut driven = Self::new();
        driven.input(Input::Connected);
        driven.read_empty();
        driven.renew();
        driven.effects.clear();
        driven
    }

    pub(crate) fn read_empty(&mut self) {
        for bucket in [Input::Specs, Input::Configs] {
            self.input(bucket(StoreChange::Reset {
                entries: Vec::new(),
                incarnation: incarnation("first", 0),
            }));
        }
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.machine
            .handle(Millis(self.now), input, &mut self.effects);
    }

    /// Lets time pass, a tick every half second, the lease kept where `leased`.
    pub(crate) fn pass(&mut self, millis: u64, leased: bool) {
        let end = self.now + millis;
        while self.now < end {
            self.now = end.min(self.now + 500);
            self.input(Input::Tick);
            if leased {
                self.renew();
            }
        }
    }

    /// Grants what was last asked of the lease.
    pub(crate) fn renew(&mut self) {
        let asked = self.effects.iter().rev().find_map(|it| match it {
            Effect::Lease(work) => Some(*work),
            _ => None,
        });
        match asked {
            Some(LeaseWork::Renew { asked, .. }) => {
                self.input(Input::Lease(LeaseOutcome::Renewed { asked }));
            }
            Some(LeaseWork::Rejoin { asked }) => {
                let term = self.now + 1;
                self.input(Input::Lease(LeaseOutcome::Rejoined { asked, term }));
            }
            None => {}
        }
    }

    pub(crate) fn finish(&mut self, outcome: Outcome) {
        self.input(Input::Finished(outcome));
    }

    /// Sends a request; returns what was done about it.
    pub(crate) fn ask(&mut self, request: Request) -> Vec<Effect> {
        let before = self.effects.len();
        let reply = Some(ReplyTo("inbox".to_owned()));
        self.input(Input::Request {
            request,
            change: None,
            reply,
        });
        self.effects[before..].to_vec()
    }

    /// Sends a request that is answered at once; returns the reply.
    pub(crate) fn reply_to(&mut self, request: Request) -> Value {
        let effects = self.ask(request);
        let mut replies = replies(&effects);
        assert_eq!(replies.len(), 1, "one reply, in {effects:?}");
        replies.remove(0)
    }

    /// Takes everything that was done so far.
    pub(crate) fn taken(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub(crate) fn component_work(&self) -> Vec<&ComponentWork> {
        let works = self.effects.iter();
        works
            .filter_map(|it| match it {
                Effect::Component(work) => Some(work),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn provider_work(&self) -> Vec<&ProviderWork> {
        let works = self.effects.iter();
        works
            .filter_map(|it| match it {
                Effect::Provider(work) => Some(work),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn store_work(&self) -> Vec<&StoreWork> {
        let works = self.effects.iter();
        works
            .filter_map(|it| match it {
                Effect::Store(work) => Some(work),
                _ => None,
            })
            .collect()
    }

    /// The component work that began last comes out well.
    pub(crate) fn component_runs(&mut self) {
        let serial = self.component_work().last().unwrap().serial;
        self.finish(component_runs(serial));
    }

    pub(crate) fn provider_runs(&mut self) -> Serial {
        let serial = self.provider_work().last().unwrap().serial;
        let signed = None;
        self.finish(Outcome::ProviderRuns { serial, signed });
        serial
    }
}

pub(crate) fn component_runs(serial: Serial) -> Outcome {
    Outcome::ComponentRuns {
        serial,
        digest: "sha256:00".to_owned(),
        signed: None,
    }
}

pub(crate) fn replies(effects: &[Effect]) -> Vec<Value> {
    let payloads = effects.iter().filter_map(|it| match it {
        Effect::Reply { payload, .. } => Some(payload),
        _ => None,
    });
    payloads
        .map(|it| serde_json::from_slice(it).unwrap())
        .collect()
}

pub(crate) fn events(effects: &[Effect]) -> Vec<&Event> {
    let events = effects.iter();
    events
        .filter_map(|it| match it {
            Effect::Publish(event) => Some(event),
            _ => None,
        })
        .collect()
}

/// The names of the events that were published, in order.
pub(crate) fn event_names(effects: &[Effect]) -> Vec<&'static str> {
    let kinds = events(effects).into_iter().filter_map(Event::kind);
    kinds.map(trellis_control::EventKind::name).collect()
}

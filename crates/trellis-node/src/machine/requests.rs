//! One request: whether the mode allows it, and who handles it.

use std::time::Duration;

use trellis_control::{
    Answer, ComponentAuctionAck, ComponentAuctionRequest, CtlResponse, DecodeError, DrainAction,
    DrainCommand, ErrorCode, Event, Failure, HostMode, Label, LabelKey, LabelsChanged,
    ProviderAuctionAck, ProviderAuctionRequest, Registries, Request, ScaleComponentCommand,
    StartProviderCommand, StopHostCommand, UpdateComponentCommand, claims_map, constraints_met,
    encode, success,
};

use super::state_changes::Asker;
use super::{LABEL_BYTES_MAX, LABELS_MAX, Machine, id_of};
use crate::effect::{Effect, ProviderSettings};
use crate::input::{Envelope, ReplyTo};
use crate::turn::Turn;

/// The scheme of images that the host itself contains.
const BUILT_IN: &str = "wasmcloud+builtin://";

/// Registries of one message: a thousand times a usual one.
const REGISTRIES_MAX: usize = 1_000;

impl Machine {
    /// Handles one request.
    pub(super) fn request(&mut self, request: Request, asker: Asker, turn: &mut Turn<'_>) {
        let Asker { change, reply } = asker;
        if let Some(why) = self.refusal_of(&request) {
            return match is_ours(&request) {
                true => turn.refuse_ours(reply, ErrorCode::Unavailable, &why),
                false => turn.refuse(reply, &why),
            };
        }
        match request {
            Request::HostPing => turn.reply(reply, || encode(&CtlResponse::data(self.host()))),
            Request::HostGet => {
                turn.reply(reply, || encode(&CtlResponse::data(self.inventory())));
            }
            Request::HostStop(command) => self.stop_host(&command, reply, turn),
            Request::LabelPut(label) => self.put_label(label, reply, turn),
            Request::LabelDelete(label) => self.delete_label(&label, reply, turn),
            Request::ComponentAuction(auction) => self.bid_component(auction, reply, turn),
            Request::ProviderAuction(auction) => self.bid_provider(auction, reply, turn),
            Request::ComponentScale(command) => self.scale_component(command, reply, turn),
            Request::ComponentUpdate(command) => self.update_component(command, reply, turn),
            Request::ProviderStart(command) => self.start_provider(command, reply, turn),
            Request::ProviderStop(command) => {
                if let Some(id) = id_of(&command.provider_id, &reply, turn) {
                    self.providers.stop(&id, reply, turn);
                }
            }
            Request::LinkPut(link) => self.put_link(link, Asker { change, reply }, turn),
            Request::LinkDelete(deletion) => {
                self.delete_link(deletion, Asker { change, reply }, turn);
            }
            Request::LinkGet => self.list_links(reply, turn),
            Request::ClaimsGet => self.list_claims(reply, turn),
            Request::ConfigPut { name, bytes, .. } => {
                self.put_config(name, bytes, Asker { change, reply }, turn);
            }
            Request::ConfigGet(name) => self.get_config(name, reply, turn),
            Request::ConfigDelete(name) => {
                self.delete_config(name, Asker { change, reply }, turn);
            }
            Request::RegistryPut(registries) => put_registries(registries, reply, turn),
            Request::Drain(command) => self.drain(command, reply, turn),
            request @ (Request::Status
            | Request::Doctor
            | Request::Call(_)
            | Request::Describe(_)
            | Request::Tail(_)) => turn.push(Effect::Delegate { request, reply }),
        }
    }

    /// Returns why `request` is not taken now; `None` where it is, or is met with silence.
    fn refusal_of(&self, request: &Request) -> Option<String> {
        let permits = &self.permits;
        let (allowed, needs_state) = match request {
            Request::ComponentScale(it) if it.count == 0 => (permits.stop, true),
            Request::ComponentScale(_)
            | Request::ComponentUpdate(_)
            | Request::ProviderStart(_) => (permits.start, true),
            Request::ProviderStop(_) => (permits.stop, true),
            Request::LinkPut(_)
            | Request::LinkDelete(_)
            | Request::ConfigPut { .. }
            | Request::ConfigDelete(_) => (permits.store, true),
            Request::LinkGet | Request::ClaimsGet | Request::ConfigGet(_) => (true, true),
            Request::Call(_) => (permits.call, false),
            _ => return None,
        };
        if needs_state && !self.mirror.is_read() && self.mode.mode == HostMode::Degraded {
            return Some(format!(
                "{} is still reading the lattice state; try again in a moment, or run `trellis doctor` \
                 to see what it cannot reach",
                self.place
            ));
        }
        (!allowed).then(|| self.mode.refusal(&self.place, self.now))
    }

    fn stop_host(
        &mut self,
        command: &StopHostCommand,
        reply: Option<ReplyTo>,
        turn: &mut Turn<'_>,
    ) {
        turn.done(reply, success::HOST_STOPPED);
        let timeout = command.timeout.map(Duration::from_millis);
        self.stop("it was told to stop".to_owned(), timeout, turn);
    }

    fn put_label(&mut self, label: Label, reply: Option<ReplyTo>, turn: &mut Turn<'_>) {
        let bytes = label.key.len() + label.value.len();
        if bytes > LABEL_BYTES_MAX {
            let why = format!("the label has {bytes} bytes; at most {LABEL_BYTES_MAX} are taken");
            return turn.refuse(reply, &why);
        }
        let labels = &mut self.identity.labels;
        if labels.len() >= LABELS_MAX && !labels.contains_key(&label.key) {
            let why = format!("this host already has {LABELS_MAX} labels, the most it takes");
            return turn.refuse(reply, &why);
        }
        labels.insert(label.key, label.value);
        self.tell_labels(turn);
        turn.done(reply, success::LABEL_PUT);
    }

    fn delete_label(&mut self, label: &LabelKey, reply: Option<ReplyTo>, turn: &mut Turn<'_>) {
        if self.identity.labels.remove(&label.key).is_none() {
            return turn.done(reply, success::LABEL_ABSENT);
        }
        self.tell_labels(turn);
        turn.done(reply, success::LABEL_DELETED);
    }

    fn tell_labels(&self, turn: &mut Turn<'_>) {
        turn.publish(Event::LabelsChanged(LabelsChanged {
            host_id: turn.host_id.as_str().to_owned(),
            labels: self.identity.labels.clone(),
        }));
    }

    /// Bids for a component, or is silent.
    fn bid_component(
        &self,
        auction: ComponentAuctionRequest,
        reply: Option<ReplyTo>,
        turn: &mut Turn<'_>,
    ) {
        let able = self.components.has_room()
            && self.may_bid(&auction.component_id)
            && (self.options.can_run_component)(&auction.component_ref);
        if able && constraints_met(&auction.constraints, &self.identity.labels) {
            turn.reply(reply, || {
                encode(&CtlResponse::data(ComponentAuctionAck {
                    component_ref: auction.component_ref,
                    component_id: auction.component_id,
                    host_id: self.identity.host_id.as_str().to_owned(),
                    constraints: auction.constraints,
                }))
            });
        }
    }

    /// Bids for a provider, or is silent.
    fn bid_provider(
        &self,
        auction: ProviderAuctionRequest,
        reply: Option<ReplyTo>,
        turn: &mut Turn<'_>,
    ) {
        let able = self.providers.has_room()
            && self.may_bid(&auction.provider_id)
            && self.missing_built_in(&auction.provider_ref).is_none()
            && (self.options.can_run_provider)(&auction.provider_ref);
        if able && constraints_met(&auction.constraints, &self.identity.labels) {
            turn.reply(reply, || {
                encode(&CtlResponse::data(ProviderAuctionAck {
                    host_id: self.identity.host_id.as_str().to_owned(),
                    provider_ref: auction.provider_ref,
                    provider_id: auction.provider_id,
                    constraints: auction.constraints,
                }))
            });
        }
    }

    fn may_bid(&self, id: &str) -> bool {
        self.permits.start && !self.components.is_taken(id) && !self.providers.is_taken(id)
    }

    /// Returns the name of the built-in provider that `image` means and this host does not have.
    fn missing_built_in<'a>(&self, image: &'a str) -> Option<&'a str> {
        let name = image.strip_prefix(BUILT_IN)?;
        (!self.options.built_in_providers.contains(name)).then_some(name)
    }

    fn scale_component(
        &mut self,
        command: ScaleComponentCommand,
        reply: Option<ReplyTo>,
        turn: &mut Turn<'_>,
    ) {
        let Some(id) = id_of(&command.component_id, &reply, turn) else {
            return;
        };
        match self.check_kind(&id, false) {
            Err(why) if command.count > 0 => turn.refuse(reply, &why),
            _ => self.components.scale(id, command, reply, turn),
        }
    }

    fn update_component(
        &mut self,
        command: UpdateComponentCommand,
        reply: Option<ReplyTo>,
        turn: &mut Turn<'_>,
    ) {
        if let Some(id) = id_of(&command.component_id, &reply, turn) {
            self.components.update(id, command, reply, turn);
        }
    }

    fn start_provider(
        &mut self,
        command: StartProviderCommand,
        reply: Option<ReplyTo>,
        turn: &mut Turn<'_>,
    ) {
        let Some(id) = id_of(&command.provider_id, &reply, turn) else {
            return;
        };
        if let Err(why) = self.check_kind(&id, true) {
            return turn.refuse(reply, &why);
        }
        if let Some(name) = self.missing_built_in(&command.provider_ref) {
            let why = format!("this host has no built-in provider `{name}`");
            return turn.refuse(reply, &why);
        }
        let settings = ProviderSettings {
            image: command.provider_ref,
            config: command.config,
            annotations: command.annotations,
        };
        self.providers.start(id, settings, reply, turn);
    }

    fn list_links(&self, reply: Option<ReplyTo>, turn: &mut Turn<'_>) {
        turn.reply(reply, || {
            let links: Vec<_> = self.mirror.specs().flat_map(|(_, it)| &it.links).collect();
            encode(&CtlResponse::data(links))
        });
    }

    fn list_claims(&self, reply: Option<ReplyTo>, turn: &mut Turn<'_>) {
        turn.reply(reply, || {
            let claims: Vec<_> = self.mirror.claims().map(claims_map).collect();
            encode(&CtlResponse::data(claims))
        });
    }

    /// Goes out of service, or back. Back from a rewound state means to take the state as it is.
    fn drain(&mut self, command: DrainCommand, reply: Option<ReplyTo>, turn: &mut Turn<'_>) {
        match command.action {
            DrainAction::Drain => {
                self.drained = Some("an operator took it out of service".to_owned());
            }
            DrainAction::Resume if self.stopping.is_some() => {
                let why = self.mode.refusal(&self.place, self.now);
                return turn.refuse_ours(reply, ErrorCode::Unavailable, &why);
            }
            DrainAction::Resume if self.drained.is_some() => self.drained = None,
            DrainAction::Resume if self.mirror.rewound().is_some() => match self.mirror.accept() {
                Some(touched) => self.mirror_changed(touched, Vec::new(), turn),
                None => {
                    let why = format!(
                        "{} cannot read the lattice state at present; try again once it can, or run \
                         `trellis doctor`",
                        self.place
                    );
                    return turn.refuse_ours(reply, ErrorCode::Unavailable, &why);
                }
            },
            DrainAction::Resume => {}
        }
        self.judge(turn);
        let request = Request::Drain(command);
        turn.push(Effect::Delegate { request, reply });
    }
}

/// Replies to a message that is no request.
pub(super) fn refuse_unreadable(
    error: &DecodeError,
    envelope: Envelope,
    reply: Option<ReplyTo>,
    turn: &mut Turn<'_>,
) {
    let message = error.message();
    match envelope {
        Envelope::OneX => turn.refuse(reply, &message),
        Envelope::Ours => turn.reply(reply, || {
            let code = ErrorCode::Invalid;
            encode(&Answer::<()>::Error(Failure { code, message }))
        }),
    }
}

fn put_registries(registries: Registries, reply: Option<ReplyTo>, turn: &mut Turn<'_>) {
    if registries.len() > REGISTRIES_MAX {
        let why = format!("at most {REGISTRIES_MAX} registries are taken at once");
        return turn.refuse(reply, &why);
    }
    turn.push(Effect::Registries(registries));
    turn.done(reply, success::REGISTRIES_PUT);
}

/// Tells whether a request is one that 1.x does not have.
fn is_ours(request: &Request) -> bool {
    matches!(
        request,
        Request::Status
            | Request::Drain(_)
            | Request::Doctor
            | Request::Call(_)
            | Request::Describe(_)
            | Request::Tail(_)
    )
}

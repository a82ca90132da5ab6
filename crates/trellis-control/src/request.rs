//! One message of the control interface, read: the typed request that a host handles.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use trellis_core::{ComponentId, IdError, LinkName, with_causes};

use crate::json::{self, JsonError, REQUEST_BYTES_MAX};
use crate::messages::{
    CallCommand, ComponentAuctionRequest, DeleteLink, DescribeCommand, DrainCommand, Label,
    LabelKey, Link, ProviderAuctionRequest, Registries, ScaleComponentCommand,
    StartProviderCommand, StopHostCommand, StopProviderCommand, TailCommand,
    UpdateComponentCommand, label_is_reserved,
};
use crate::names::{ConfigName, HostId};
use crate::state::Config;
use crate::subjects::{Route, SubjectError, Subjects};

/// Everything that can be asked of a host.
///
/// Ids and link names in it are checked: [`ComponentId::new`] and [`LinkName::new`] take them. The
/// host to which a request is addressed is not in it, because a host hears only what is addressed to
/// itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Introduce yourself.
    HostPing,
    /// Tell what you run.
    HostGet,
    /// Stop yourself.
    HostStop(StopHostCommand),
    /// Set a label; not a reserved one.
    LabelPut(Label),
    /// Remove a label.
    LabelDelete(LabelKey),
    /// Bid for a component, or be silent.
    ComponentAuction(ComponentAuctionRequest),
    /// Bid for a provider, or be silent.
    ProviderAuction(ProviderAuctionRequest),
    /// Start, scale or stop a component.
    ComponentScale(ScaleComponentCommand),
    /// Replace the image of a component.
    ComponentUpdate(UpdateComponentCommand),
    /// Start a provider.
    ProviderStart(StartProviderCommand),
    /// Stop a provider.
    ProviderStop(StopProviderCommand),
    /// Set a link.
    LinkPut(Link),
    /// Remove a link.
    LinkDelete(DeleteLink),
    /// List all links.
    LinkGet,
    /// List all claims.
    ClaimsGet,
    /// Set a config entry.
    ConfigPut {
        /// Its name.
        name: ConfigName,
        /// Its values.
        values: Config,
        /// The same as they came: what is stored, byte for byte.
        bytes: Bytes,
    },
    /// Read a config entry.
    ConfigGet(ConfigName),
    /// Remove a config entry.
    ConfigDelete(ConfigName),
    /// Take registry credentials.
    RegistryPut(Registries),
    /// Ours: tell how you are.
    Status,
    /// Ours: go out of service, or back.
    Drain(DrainCommand),
    /// Ours: examine yourself.
    Doctor,
    /// Ours: call a function.
    Call(CallCommand),
    /// Ours: tell what a component exports.
    Describe(DescribeCommand),
    /// Ours: tell the latest log lines, and publish new ones for a while.
    Tail(TailCommand),
}

/// Why a message is no request. The text is for the sender of the message: see
/// [`DecodeError::message`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The subject asks for nothing that exists.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// The payload is not the JSON of the request.
    #[error("failed to deserialize {request}")]
    Json {
        /// What the payload was to be.
        request: &'static str,
        /// Where and why not.
        #[source]
        source: JsonError,
    },
    /// An id or link name would not work.
    #[error("{request} has a bad `{field}`")]
    Id {
        /// What the payload is.
        request: &'static str,
        /// The field with the id.
        field: &'static str,
        /// Why it is no id.
        #[source]
        source: IdError,
    },
    /// A field is empty that must not be.
    #[error("{request} has an empty `{field}`")]
    EmptyField {
        /// What the payload is.
        request: &'static str,
        /// The field.
        field: &'static str,
    },
    /// The label is the host's own.
    #[error("label {key:?} is the host's own and cannot be set")]
    ReservedLabel {
        /// Its key.
        key: String,
    },
    /// The payload names another host than the subject.
    #[error("{request} is for host {named:?} but was sent to {addressed}")]
    OtherHost {
        /// What the payload is.
        request: &'static str,
        /// The host in the payload.
        named: String,
        /// The host in the subject.
        addressed: HostId,
    },
}

impl DecodeError {
    /// Returns the text for the reply: the error and its causes in one line.
    pub fn message(&self) -> String {
        with_causes(self)
    }
}

impl Request {
    /// Reads the message that came on `subject`.
    ///
    /// Payloads of requests that need none are ignored, as hosts of 1.x do.
    ///
    /// # Errors
    /// When the subject asks for nothing that exists, the payload is longer than
    /// [`REQUEST_BYTES_MAX`], no JSON or of another shape, or a name in it would not work.
    pub fn decode(
        subjects: &Subjects,
        subject: &str,
        payload: &Bytes,
    ) -> Result<Self, DecodeError> {
        let route = subjects.parse(subject)?;
        let request = Self::read(route, payload)?;
        request.check()?;
        Ok(request)
    }

    fn read(route: Route, payload: &Bytes) -> Result<Self, DecodeError> {
        Ok(match route {
            Route::HostPing => Self::HostPing,
            Route::HostGet(_) => Self::HostGet,
            Route::HostStop(host) => Self::HostStop(read_stop(host, payload)?),
            Route::LabelPut(_) => Self::LabelPut(json("label", payload)?),
            Route::LabelDelete(_) => Self::LabelDelete(json("label key", payload)?),
            Route::ComponentAuction => Self::ComponentAuction(json("component auction", payload)?),
            Route::ProviderAuction => Self::ProviderAuction(json("provider auction", payload)?),
            Route::ComponentScale(_) => Self::ComponentScale(json("scale command", payload)?),
            Route::ComponentUpdate(_) => Self::ComponentUpdate(json("update command", payload)?),
            Route::ProviderStart(_) => Self::ProviderStart(json("provider start", payload)?),
            Route::ProviderStop(_) => Self::ProviderStop(json("provider stop", payload)?),
            Route::LinkPut => Self::LinkPut(json("link", payload)?),
            Route::LinkDelete => Self::LinkDelete(json("link deletion", payload)?),
            Route::LinkGet => Self::LinkGet,
            Route::ClaimsGet => Self::ClaimsGet,
            Route::ConfigPut(name) => Self::ConfigPut {
                name,
                values: json("config", payload)?,
                bytes: payload.clone(),
            },
            Route::ConfigGet(name) => Self::ConfigGet(name),
            Route::ConfigDelete(name) => Self::ConfigDelete(name),
            Route::RegistryPut => Self::RegistryPut(json("registries", payload)?),
            Route::Status(_) => Self::Status,
            Route::Drain(_) => Self::Drain(json("drain command", payload)?),
            Route::Doctor(_) => Self::Doctor,
            Route::Call(_) => Self::Call(json("call command", payload)?),
            Route::Describe(_) => Self::Describe(json("describe command", payload)?),
            Route::Tail(_) => Self::Tail(json("tail command", payload)?),
        })
    }

    /// Checks names and what must not be empty.
    fn check(&self) -> Result<(), DecodeError> {
        match self {
            Self::LabelPut(it) => check_label(it),
            Self::ComponentAuction(it) => id("component auction", "component_id", &it.component_id),
            Self::ProviderAuction(it) => id("provider auction", "provider_id", &it.provider_id),
            Self::ComponentScale(it) => check_scale(it),
            Self::ComponentUpdate(it) => {
                id("update command", "component_id", &it.component_id)?;
                not_empty("update command", "new_component_ref", &it.new_component_ref)
            }
            Self::ProviderStart(it) => {
                id("provider start", "provider_id", &it.provider_id)?;
                not_empty("provider start", "provider_ref", &it.provider_ref)
            }
            Self::ProviderStop(it) => id("provider stop", "provider_id", &it.provider_id),
            Self::LinkPut(it) => check_link(it),
            Self::LinkDelete(it) => check_link_deletion(it),
            Self::Call(it) => {
                id("call command", "component_id", &it.component_id)?;
                not_empty("call command", "function", &it.function)
            }
            Self::Describe(it) => id("describe command", "component_id", &it.component_id),
            Self::Tail(TailCommand {
                component_id: Some(it),
                ..
            }) => id("tail command", "component_id", it),
            _ => Ok(()),
        }
    }
}

fn json<T: DeserializeOwned>(request: &'static str, payload: &[u8]) -> Result<T, DecodeError> {
    let value = json::decode_object(payload, REQUEST_BYTES_MAX);
    value.map_err(|source| DecodeError::Json { request, source })
}

fn read_stop(host: HostId, payload: &[u8]) -> Result<StopHostCommand, DecodeError> {
    let request = "stop command";
    if payload.is_empty() {
        return Ok(StopHostCommand::default());
    }
    let command: StopHostCommand = json(request, payload)?;
    if !command.host_id.is_empty() && command.host_id != host.as_str() {
        return Err(DecodeError::OtherHost {
            request,
            named: command
                .host_id
                .chars()
                .take(crate::NAME_LENGTH_MAX)
                .collect(),
            addressed: host,
        });
    }
    Ok(command)
}

fn check_label(label: &Label) -> Result<(), DecodeError> {
    not_empty("label", "key", &label.key)?;
    if label_is_reserved(&label.key) {
        let key = label.key.chars().take(crate::NAME_LENGTH_MAX).collect();
        return Err(DecodeError::ReservedLabel { key });
    }
    Ok(())
}

fn check_scale(command: &ScaleComponentCommand) -> Result<(), DecodeError> {
    id("scale command", "component_id", &command.component_id)?;
    // Stopping needs no image.
    match command.count {
        0 => Ok(()),
        _ => not_empty("scale command", "component_ref", &command.component_ref),
    }
}

fn check_link(link: &Link) -> Result<(), DecodeError> {
    id("link", "source_id", &link.source_id)?;
    id("link", "target", &link.target)?;
    link_name("link", &link.name)?;
    not_empty("link", "wit_namespace", &link.wit_namespace)?;
    not_empty("link", "wit_package", &link.wit_package)
}

fn check_link_deletion(link: &DeleteLink) -> Result<(), DecodeError> {
    let request = "link deletion";
    id(request, "source_id", &link.source_id)?;
    link_name(request, &link.name)?;
    match &link.target {
        Some(target) => id(request, "target", target),
        None => Ok(()),
    }
}

fn id(request: &'static str, field: &'static str, text: &str) -> Result<(), DecodeError> {
    match ComponentId::new(text) {
        Ok(_) => Ok(()),
        Err(source) => Err(DecodeError::Id {
            request,
            field,
            source,
        }),
    }
}

fn link_name(request: &'static str, text: &str) -> Result<(), DecodeError> {
    match LinkName::new(text) {
        Ok(_) => Ok(()),
        Err(source) => Err(DecodeError::Id {
            request,
            field: "name",
            source,
        }),
    }
}

fn not_empty(request: &'static str, field: &'static str, text: &str) -> Result<(), DecodeError> {
    if text.trim().is_empty() {
        return Err(DecodeError::EmptyField { request, field });
    }
    Ok(())
}

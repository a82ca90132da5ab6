//! The envelope of events: CloudEvents 1.0, structured, JSON.

use bytes::Bytes;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::data::OtherEvent;
use super::{Event, EventKind};
use crate::json::{self, JsonError, REPLY_BYTES_MAX};
use crate::names::HostId;

/// The version of CloudEvents that is written and read.
const SPEC_VERSION: &str = "1.0";

/// One event: what happened, where and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvent {
    /// Unique among the events of the source.
    pub id: String,
    /// The host that tells it: its bare id.
    pub source: String,
    /// When it was told; CloudEvents of others may lack it.
    pub time: Option<Timestamp>,
    /// What happened.
    pub event: Event,
}

/// Why bytes are no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The bytes are no CloudEvent.
    #[error("cannot read the envelope of an event")]
    Envelope(#[source] JsonError),
    /// The event is of another version of CloudEvents.
    #[error("the event has CloudEvents version {version:?}, not {SPEC_VERSION:?}")]
    Version {
        /// The version.
        version: String,
    },
    /// The data is not that of the type.
    #[error("cannot read the data of event {}", kind.name())]
    Data {
        /// What kind of event it says it is.
        kind: EventKind,
        /// Where and why not; places count from the beginning of the data.
        #[source]
        source: JsonError,
    },
}

/// The attributes, in the order in which 1.x writes them. Unknown ones, such as extensions, are
/// skipped.
#[derive(Serialize, Deserialize)]
struct Envelope {
    specversion: String,
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    source: String,
    #[serde(default)]
    datacontenttype: Option<String>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "write_time"
    )]
    time: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
}

/// A point in time within an optional attribute.
#[derive(Deserialize)]
#[serde(transparent)]
struct Time(#[serde(with = "crate::timestamp")] Timestamp);

fn write_time<S: serde::Serializer>(time: &Option<Time>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(Time(time)) => crate::timestamp::serialize(time, serializer),
        None => serializer.serialize_none(),
    }
}

impl CloudEvent {
    /// Returns `event` of the host `source`, told now, with a fresh id (UUID, version 7).
    pub fn now(source: &HostId, event: Event) -> Self {
        Self {
            id: uuid::Uuid::now_v7().to_string(),
            source: source.as_str().to_owned(),
            time: Some(Timestamp::now()),
            event,
        }
    }

    /// Writes the event as JSON.
    pub fn encode(&self) -> Bytes {
        let event_type = match (&self.event, self.event.kind()) {
            (Event::Other(it), _) => it.event_type.clone(),
            (_, kind) => kind.map(EventKind::event_type).unwrap_or_default(),
        };
        json::encode(&Envelope {
            specversion: SPEC_VERSION.to_owned(),
            id: self.id.clone(),
            event_type,
            source: self.source.clone(),
            datacontenttype: Some("application/json".to_owned()),
            time: self.time.map(Time),
            data: encode_data(&self.event),
        })
    }

    /// Reads an event of any type; one that is unknown keeps its data as it is.
    ///
    /// # Errors
    /// When `bytes` are more than [`REPLY_BYTES_MAX`], no CloudEvent 1.0, or a known type with data of
    /// another shape.
    pub fn decode(bytes: &[u8]) -> Result<Self, EventError> {
        let envelope: Envelope =
            json::decode(bytes, REPLY_BYTES_MAX).map_err(EventError::Envelope)?;
        if envelope.specversion != SPEC_VERSION {
            let version = envelope.specversion.chars().take(16).collect();
            return Err(EventError::Version { version });
        }
        let data = envelope.data.as_deref().map(RawValue::get);
        let event = match EventKind::from_event_type(&envelope.event_type) {
            Some(kind) => decode_data(kind, data.unwrap_or("{}"))
                .map_err(|source| EventError::Data { kind, source })?,
            None => Event::Other(OtherEvent {
                event_type: envelope.event_type,
                data: data.map(str::to_owned),
            }),
        };
        Ok(Self {
            id: envelope.id,
            source: envelope.source,
            time: envelope.time.map(|Time(time)| time),
            event,
        })
    }
}

fn encode_data(event: &Event) -> Option<Box<RawValue>> {
    let raw = |data: serde_json::Result<Box<RawValue>>| {
        Some(data.expect("data of events has text keys and no serializer that fails"))
    };
    match event {
        Event::HostStarted(it) => raw(to_raw_value(it)),
        Event::HostStopped(it) => raw(to_raw_value(it)),
        Event::HostHeartbeat(it) => raw(to_raw_value(it)),
        Event::ComponentScaled(it) => raw(to_raw_value(it)),
        Event::ComponentScaleFailed(it) => raw(to_raw_value(it)),
        Event::LinkSet(it) => raw(to_raw_value(it)),
        Event::LinkSetFailed(it) => raw(to_raw_value(it)),
        Event::LinkDeleted(it) => raw(to_raw_value(it)),
        Event::ProviderStarted(it) => raw(to_raw_value(it)),
        Event::ProviderStartFailed(it) => raw(to_raw_value(it)),
        Event::ProviderStopped(it) => raw(to_raw_value(it)),
        Event::HealthCheckPassed(it)
        | Event::HealthCheckFailed(it)
        | Event::HealthCheckStatus(it) => raw(to_raw_value(it)),
        Event::ConfigSet(it) | Event::ConfigDeleted(it) => raw(to_raw_value(it)),
        Event::LabelsChanged(it) => raw(to_raw_value(it)),
        Event::HostModeChanged(it) => raw(to_raw_value(it)),
        Event::ProviderExited(it) => raw(to_raw_value(it)),
        // Text that is no JSON, which only the program itself can have put there, is left out.
        Event::Other(it) => RawValue::from_string(it.data.clone()?).ok(),
    }
}

fn decode_data(kind: EventKind, data: &str) -> Result<Event, JsonError> {
    Ok(match kind {
        EventKind::HostStarted => Event::HostStarted(read(data)?),
        EventKind::HostStopped => Event::HostStopped(read(data)?),
        EventKind::HostHeartbeat => Event::HostHeartbeat(read(data)?),
        EventKind::ComponentScaled => Event::ComponentScaled(read(data)?),
        EventKind::ComponentScaleFailed => Event::ComponentScaleFailed(read(data)?),
        EventKind::LinkSet => Event::LinkSet(read(data)?),
        EventKind::LinkSetFailed => Event::LinkSetFailed(read(data)?),
        EventKind::LinkDeleted => Event::LinkDeleted(read(data)?),
        EventKind::ProviderStarted => Event::ProviderStarted(read(data)?),
        EventKind::ProviderStartFailed => Event::ProviderStartFailed(read(data)?),
        EventKind::ProviderStopped => Event::ProviderStopped(read(data)?),
        EventKind::HealthCheckPassed => Event::HealthCheckPassed(read(data)?),
        EventKind::HealthCheckFailed => Event::HealthCheckFailed(read(data)?),
        EventKind::HealthCheckStatus => Event::HealthCheckStatus(read(data)?),
        EventKind::ConfigSet => Event::ConfigSet(read(data)?),
        EventKind::ConfigDeleted => Event::ConfigDeleted(read(data)?),
        EventKind::LabelsChanged => Event::LabelsChanged(read(data)?),
        EventKind::HostModeChanged => Event::HostModeChanged(read(data)?),
        EventKind::ProviderExited => Event::ProviderExited(read(data)?),
    })
}

fn read<T: DeserializeOwned>(data: &str) -> Result<T, JsonError> {
    json::decode(data.as_bytes(), REPLY_BYTES_MAX)
}

//! What can go wrong between a handle and the lattice.

use std::time::Duration;

use trellis_core::ErrorClass;

/// Why a message was not taken up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is no connection now.
    #[error("the connection to the lattice is lost or closed")]
    Disconnected,
    /// The client's queue stayed full: the server does not read.
    #[error("the lattice's server does not keep up")]
    Backlogged,
    /// The message is larger than the server takes.
    #[error(
        "a message of {bytes} bytes to {subject} is larger than the server takes ({bytes_max})"
    )]
    TooLarge {
        /// Where it was to go.
        subject: String,
        /// The bytes of its payload.
        bytes: usize,
        /// The most bytes of headers and payload.
        bytes_max: usize,
    },
    /// No message can have this subject.
    #[error("{subject:?} is no subject to publish to")]
    InvalidSubject {
        /// The subject.
        subject: String,
    },
}

impl PublishError {
    pub(super) fn new(
        subject: &str,
        bytes: usize,
        bytes_max: usize,
        error: &async_nats::PublishError,
    ) -> Self {
        use async_nats::PublishErrorKind as Kind;
        let subject = subject.to_owned();
        match error.kind() {
            Kind::MaxPayloadExceeded => Self::TooLarge {
                subject,
                bytes,
                bytes_max,
            },
            Kind::InvalidSubject => Self::InvalidSubject { subject },
            Kind::Send => Self::Disconnected,
        }
    }
}

/// Why a subscription did not come to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The connection was closed.
    #[error("the connection to the lattice is closed")]
    Closed,
    /// The client's queue stayed full: the connection is lost, or the server does not read.
    #[error("the lattice's server does not keep up")]
    Backlogged,
    /// Nothing can subscribe to this.
    #[error("{subject:?}, or its queue group, cannot be subscribed to")]
    Invalid {
        /// The subject.
        subject: String,
    },
}

impl SubscribeError {
    pub(super) fn new(subject: &str, error: &async_nats::SubscribeError) -> Self {
        use async_nats::SubscribeErrorKind as Kind;
        match error.kind() {
            Kind::InvalidSubject | Kind::InvalidQueueName => Self::Invalid {
                subject: subject.to_owned(),
            },
            Kind::Other => Self::Closed,
        }
    }
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Nobody listens to the subject. The request reached nobody.
    #[error("nobody listens to {subject}")]
    NoResponders {
        /// The subject.
        subject: String,
    },
    /// No answer came in time. Whether the request arrived is not known.
    #[error("no answer on {subject} within {} ms", .after.as_millis())]
    Timeout {
        /// The subject.
        subject: String,
        /// How long was waited.
        after: Duration,
    },
    /// There was no connection. The request was not sent.
    #[error("the connection to the lattice is lost or closed")]
    Disconnected,
    /// The connection was lost before the answer. Whether the request arrived is not known.
    #[error("the connection to the lattice was lost before the answer came")]
    ConnectionLost,
    /// The client's queue stayed full: the server does not read. The request was not sent.
    #[error("the lattice's server does not keep up")]
    Backlogged,
    /// The server does not let this user publish to the subject.
    #[error("these credentials may not publish to {subject}")]
    Denied {
        /// The subject.
        subject: String,
    },
    /// The request is larger than the server takes.
    #[error(
        "a request of {bytes} bytes to {subject} is larger than the server takes ({bytes_max})"
    )]
    TooLarge {
        /// The subject.
        subject: String,
        /// The bytes of its payload.
        bytes: usize,
        /// The most bytes of headers and payload.
        bytes_max: usize,
    },
    /// No message can have this subject.
    #[error("{subject:?} is no subject to publish to")]
    InvalidSubject {
        /// The subject.
        subject: String,
    },
}

impl RequestError {
    /// Returns the class of the failure, as every tier reports it.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Timeout { .. } => ErrorClass::Deadline,
            Self::Backlogged => ErrorClass::Overloaded,
            Self::Denied { .. } | Self::TooLarge { .. } | Self::InvalidSubject { .. } => {
                ErrorClass::Denied
            }
            Self::NoResponders { .. } | Self::Disconnected | Self::ConnectionLost => {
                ErrorClass::Unavailable
            }
        }
    }

    /// Says whether the request may have arrived and been acted upon.
    pub const fn may_have_arrived(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::ConnectionLost)
    }

    pub(super) fn new(
        subject: &str,
        bytes: usize,
        bytes_max: usize,
        error: &async_nats::RequestError,
    ) -> Self {
        use async_nats::RequestErrorKind as Kind;
        let subject = subject.to_owned();
        match error.kind() {
            Kind::NoResponders => Self::NoResponders { subject },
            Kind::InvalidSubject => Self::InvalidSubject { subject },
            Kind::MaxPayloadExceeded => Self::TooLarge {
                subject,
                bytes,
                bytes_max,
            },
            // The client's own time limit is off; what is left is that the connection was closed.
            Kind::TimedOut | Kind::Other => Self::ConnectionLost,
        }
    }
}

impl From<PublishError> for RequestError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Disconnected => Self::Disconnected,
            PublishError::Backlogged => Self::Backlogged,
            PublishError::InvalidSubject { subject } => Self::InvalidSubject { subject },
            PublishError::TooLarge {
                subject,
                bytes,
                bytes_max,
            } => Self::TooLarge {
                subject,
                bytes,
                bytes_max,
            },
        }
    }
}

impl From<SubscribeError> for RequestError {
    fn from(error: SubscribeError) -> Self {
        match error {
            SubscribeError::Closed => Self::Disconnected,
            SubscribeError::Backlogged => Self::Backlogged,
            SubscribeError::Invalid { subject } => Self::InvalidSubject { subject },
        }
    }
}

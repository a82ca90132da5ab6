//! Why a request to JetStream has no result. The codes are those of the server's `errors.json`.

use super::super::{BucketName, StoreError};
use crate::lattice::RequestError;

const CODE_NAME_IN_USE: u64 = 10_058;
const CODE_STREAM_MISSING: u64 = 10_059;
const CODE_NO_MESSAGE: u64 = 10_037;
const CODE_WRONG_REVISION: u64 = 10_071;
const CODE_WRONG_REVISION_SINCE_2_12: u64 = 10_164;
const CODE_STORE_FAILED: u64 = 10_077;
const CODES_NO_JETSTREAM: [u64; 2] = [10_039, 10_076];
const CODES_FULL: [u64; 4] = [10_023, 10_028, 10_047, 10_110];
const CODE_ID_IN_PROCESS: u64 = 10_158;
const CODE_TOO_LARGE: u64 = 10_054;
/// The status of everything that may pass: no leader, no quorum, still starting.
const STATUS_UNAVAILABLE: u64 = 503;

/// Why a request to JetStream has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// It was not answered.
    #[error("no answer from JetStream")]
    Request(#[from] RequestError),
    /// It was answered with an error.
    #[error("{description} (code {code})")]
    Failed {
        status: u64,
        code: u64,
        description: String,
    },
    /// The answer cannot be read.
    #[error("cannot read an answer of JetStream: {reason}")]
    Malformed { reason: String },
}

impl ApiError {
    fn code(&self) -> u64 {
        match self {
            Self::Failed { code, .. } => *code,
            _ => 0,
        }
    }

    pub(super) fn is_stream_missing(&self) -> bool {
        self.code() == CODE_STREAM_MISSING
    }

    pub(super) fn is_name_in_use(&self) -> bool {
        self.code() == CODE_NAME_IN_USE
    }

    pub(super) fn is_message_missing(&self) -> bool {
        self.code() == CODE_NO_MESSAGE
    }

    pub(super) fn is_wrong_revision(&self) -> bool {
        matches!(
            self.code(),
            CODE_WRONG_REVISION | CODE_WRONG_REVISION_SINCE_2_12
        )
    }

    /// Tells whether a message with the same id is being written at this moment.
    pub(super) fn is_id_in_process(&self) -> bool {
        self.code() == CODE_ID_IN_PROCESS
    }

    pub(super) fn is_too_large(&self) -> bool {
        self.code() == CODE_TOO_LARGE
    }

    pub(super) fn is_full(&self) -> bool {
        let failed = self.code() == CODE_STORE_FAILED;
        let said = failed
            && match self {
                Self::Failed { description, .. } => {
                    description.contains("maximum") || description.contains("no space")
                }
                _ => false,
            };
        said || CODES_FULL.contains(&self.code())
    }

    pub(super) fn into_store_error(self, bucket: &BucketName) -> StoreError {
        let bucket = bucket.clone();
        match self {
            Self::Request(RequestError::NoResponders { .. }) => StoreError::NoJetStream { bucket },
            Self::Request(RequestError::Denied { subject }) => {
                StoreError::Denied { bucket, subject }
            }
            Self::Failed { code, .. } if code == CODE_STREAM_MISSING => {
                StoreError::Missing { bucket }
            }
            Self::Failed { code, .. } if CODES_NO_JETSTREAM.contains(&code) => {
                StoreError::NoJetStream { bucket }
            }
            Self::Failed {
                status,
                code,
                description,
            } if status != STATUS_UNAVAILABLE => StoreError::Refused {
                bucket,
                reason: description,
                code,
            },
            Self::Malformed { reason } => StoreError::Damaged { bucket, reason },
            error => StoreError::Unavailable {
                bucket,
                source: error.into(),
            },
        }
    }
}

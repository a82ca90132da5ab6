//! `wrpc:http@0.1.0`: what a gateway or an outgoing call says to a component or provider.
//!
//! `handle(request) -> result<response, error-code>`; an outgoing call also gives
//! `option<request-options>`. A body and trailers that are not part of the value are on the channels
//! 0.0 and 0.1 of the parameters for a request, of the results for a response. A body that fails just
//! ends, so whoever reads one compares it with its `content-length`.

use super::codec::{record, variant};
use super::{Bytes, Decode, Encode};
use crate::error::Fault;
use crate::{DecodeError, Reader, write};

/// Names and values of one set of fields that are read: several times what gateways take. A value takes
/// 16 bytes here and may take one on the wire.
pub const FIELDS_MAX: usize = 4_096;

/// Headers or trailers: each name once, with all its values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields<'a>(pub Vec<(&'a str, Vec<Bytes<'a>>)>);

/// A body: `stream<u8>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// It comes on its channel.
    Pending,
    /// This is all of it. Never empty: the encoding has no word for an empty body that is complete.
    Whole(&'a [u8]),
}

impl Encode for Body<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Pending => out.push(0),
            Self::Whole(bytes) => write::bytes(out, bytes),
        }
    }
}

impl<'a> Decode<'a> for Body<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(match reader.bytes()? {
            [] => Self::Pending,
            bytes => Self::Whole(bytes),
        })
    }
}

/// Trailers: `future<option<fields>>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trailers<'a> {
    /// They come on their channel.
    Pending,
    /// They are these, or there are none.
    Ready(Option<Fields<'a>>),
}

impl Encode for Trailers<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Pending => out.push(0),
            Self::Ready(fields) => {
                out.push(1);
                fields.encode(out);
            }
        }
    }
}

impl<'a> Decode<'a> for Trailers<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(if reader.bool()? {
            Self::Ready(Decode::decode(reader)?)
        } else {
            Self::Pending
        })
    }
}

impl Encode for Fields<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl<'a> Decode<'a> for Fields<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut left = FIELDS_MAX;
        let names = count(reader, &mut left)?;
        let mut fields = Vec::new();
        for _ in 0..names {
            let name = reader.string()?;
            let mut values = Vec::new();
            for _ in 0..count(reader, &mut left)? {
                values.push(Decode::decode(reader)?);
            }
            fields.push((name, values));
        }
        Ok(Self(fields))
    }
}

/// Reads how many entries a list has, of those that are `left`.
fn count(reader: &mut Reader<'_>, left: &mut usize) -> Result<u32, DecodeError> {
    let start = *reader;
    let count = reader.u32()?;
    *left = left.checked_sub(count as usize).ok_or_else(|| {
        start.error(Fault::Limit {
            limit: "FIELDS_MAX",
            max: FIELDS_MAX,
        })
    })?;
    Ok(count)
}

/// A method, as in `wasi:http@0.2.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
    /// CONNECT.
    Connect,
    /// OPTIONS.
    Options,
    /// TRACE.
    Trace,
    /// PATCH.
    Patch,
    /// Any other.
    Other(String),
}

variant!(Method {
    0 Get, 1 Head, 2 Post, 3 Put, 4 Delete, 5 Connect, 6 Options, 7 Trace, 8 Patch, 9 Other(name),
});

/// A scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
    /// Any other.
    Other(String),
}

variant!(Scheme { 0 Http, 1 Https, 2 Other(name) });

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The body.
    pub body: Body<'a>,
    /// The trailers.
    pub trailers: Trailers<'a>,
    /// The method.
    pub method: Method,
    /// The path and the query.
    pub path_with_query: Option<&'a str>,
    /// The scheme.
    pub scheme: Option<Scheme>,
    /// The host, and the port where it is given.
    pub authority: Option<&'a str>,
    /// The headers.
    pub headers: Fields<'a>,
}

record!(Request<'a> { body, trailers, method, path_with_query, scheme, authority, headers });

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// The body.
    pub body: Body<'a>,
    /// The trailers.
    pub trailers: Trailers<'a>,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Fields<'a>,
}

record!(Response<'a> { body, trailers, status, headers });

/// How long an outgoing call may take, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestOptions {
    /// Until the connection stands.
    pub connect_timeout: Option<u64>,
    /// Until the first byte of the response.
    pub first_byte_timeout: Option<u64>,
    /// Between two bytes of the response.
    pub between_bytes_timeout: Option<u64>,
}

record!(RequestOptions {
    connect_timeout,
    first_byte_timeout,
    between_bytes_timeout
});

/// What a failed lookup of a name says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsError {
    /// The code as text.
    pub rcode: Option<String>,
    /// The extended code.
    pub info_code: Option<u16>,
}

record!(DnsError { rcode, info_code });

/// What an alert of TLS says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsAlert {
    /// The number of the alert.
    pub alert_id: Option<u8>,
    /// Its text.
    pub alert_message: Option<String>,
}

record!(TlsAlert {
    alert_id,
    alert_message
});

/// Which field was too large.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSize {
    /// Its name.
    pub field_name: Option<String>,
    /// Its size in bytes.
    pub field_size: Option<u32>,
}

record!(FieldSize {
    field_name,
    field_size
});

/// Why a request had no response, as in `wasi:http@0.2.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The 39 names are those of the interface and say what they mean.
pub enum ErrorCode {
    DnsTimeout,
    DnsError(DnsError),
    DestinationNotFound,
    DestinationUnavailable,
    DestinationIpProhibited,
    DestinationIpUnroutable,
    ConnectionRefused,
    ConnectionTerminated,
    ConnectionTimeout,
    ConnectionReadTimeout,
    ConnectionWriteTimeout,
    ConnectionLimitReached,
    TlsProtocolError,
    TlsCertificateError,
    TlsAlertReceived(TlsAlert),
    HttpRequestDenied,
    HttpRequestLengthRequired,
    HttpRequestBodySize(Option<u64>),
    HttpRequestMethodInvalid,
    HttpRequestUriInvalid,
    HttpRequestUriTooLong,
    HttpRequestHeaderSectionSize(Option<u32>),
    HttpRequestHeaderSize(Option<FieldSize>),
    HttpRequestTrailerSectionSize(Option<u32>),
    HttpRequestTrailerSize(FieldSize),
    HttpResponseIncomplete,
    HttpResponseHeaderSectionSize(Option<u32>),
    HttpResponseHeaderSize(FieldSize),
    HttpResponseBodySize(Option<u64>),
    HttpResponseTrailerSectionSize(Option<u32>),
    HttpResponseTrailerSize(FieldSize),
    HttpResponseTransferCoding(Option<String>),
    HttpResponseContentCoding(Option<String>),
    HttpResponseTimeout,
    HttpUpgradeFailed,
    HttpProtocolError,
    LoopDetected,
    ConfigurationError,
    InternalError(Option<String>),
}

variant!(ErrorCode {
    0 DnsTimeout,
    1 DnsError(error),
    2 DestinationNotFound,
    3 DestinationUnavailable,
    4 DestinationIpProhibited,
    5 DestinationIpUnroutable,
    6 ConnectionRefused,
    7 ConnectionTerminated,
    8 ConnectionTimeout,
    9 ConnectionReadTimeout,
    10 ConnectionWriteTimeout,
    11 ConnectionLimitReached,
    12 TlsProtocolError,
    13 TlsCertificateError,
    14 TlsAlertReceived(alert),
    15 HttpRequestDenied,
    16 HttpRequestLengthRequired,
    17 HttpRequestBodySize(size),
    18 HttpRequestMethodInvalid,
    19 HttpRequestUriInvalid,
    20 HttpRequestUriTooLong,
    21 HttpRequestHeaderSectionSize(size),
    22 HttpRequestHeaderSize(field),
    23 HttpRequestTrailerSectionSize(size),
    24 HttpRequestTrailerSize(field),
    25 HttpResponseIncomplete,
    26 HttpResponseHeaderSectionSize(size),
    27 HttpResponseHeaderSize(field),
    28 HttpResponseBodySize(size),
    29 HttpResponseTrailerSectionSize(size),
    30 HttpResponseTrailerSize(field),
    31 HttpResponseTransferCoding(coding),
    32 HttpResponseContentCoding(coding),
    33 HttpResponseTimeout,
    34 HttpUpgradeFailed,
    35 HttpProtocolError,
    36 LoopDetected,
    37 ConfigurationError,
    38 InternalError(message),
});

/// The parameters of `wrpc:http/incoming-handler.handle`.
pub type IncomingParams<'a> = (Request<'a>,);
/// The parameters of `wrpc:http/outgoing-handler.handle`.
pub type OutgoingParams<'a> = (Request<'a>, Option<RequestOptions>);
/// The result of both.
pub type HandleResult<'a> = Result<Response<'a>, ErrorCode>;

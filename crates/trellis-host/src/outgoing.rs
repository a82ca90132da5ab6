//! Outgoing HTTP of components: the client of a link, and requests that stay on the host.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt;
use trellis_capabilities::http_client::{
    ClientError, HttpClient, LocalFailure, LocalService, RequestBody, Timeouts,
};
use trellis_core::ErrorClass;
use trellis_engine::{OutgoingError, OutgoingHttp, OutgoingResponse, RequestOptions, WasiBody};

use crate::http_route::HttpEntrance;

/// Sends the requests of one component through the client of its link.
pub(crate) struct LinkedClient(pub(crate) HttpClient);

impl OutgoingHttp for LinkedClient {
    fn send(&self, request: Request<WasiBody>, options: RequestOptions) -> OutgoingResponse {
        let client = self.0.clone();
        let defaults = Timeouts::default();
        let timeouts = Timeouts {
            connect: options.connect_timeout.unwrap_or(defaults.connect),
            first_byte: options.first_byte_timeout.unwrap_or(defaults.first_byte),
            between_bytes: options
                .between_bytes_timeout
                .unwrap_or(defaults.between_bytes),
        };
        Box::pin(async move {
            let request = request.map(|body| RequestBody::new(body.map_err(boxed)));
            let response = client.send(request, timeouts).await.map_err(|error| {
                tracing::debug!(%error, "outgoing request failed");
                name(&error)
            })?;
            Ok(response.map(|body| WasiBody::new(body.map_err(|error| name(&error)))))
        })
    }
}

fn boxed(error: OutgoingError) -> Box<dyn std::error::Error + Send + Sync> {
    format!("{error:?}").into()
}

/// Names a failure as `wasi:http` does.
fn name(error: &ClientError) -> OutgoingError {
    match error.wasi_name() {
        "HTTP-request-URI-invalid" => OutgoingError::HttpRequestUriInvalid,
        "HTTP-request-method-invalid" => OutgoingError::HttpRequestMethodInvalid,
        "HTTP-request-denied" => OutgoingError::HttpRequestDenied,
        "destination-IP-prohibited" => OutgoingError::DestinationIpProhibited,
        "destination-IP-unroutable" => OutgoingError::DestinationIpUnroutable,
        "destination-unavailable" => OutgoingError::DestinationUnavailable,
        "DNS-error" => OutgoingError::DnsError {
            rcode: None,
            info_code: None,
        },
        "DNS-timeout" => OutgoingError::DnsTimeout,
        "connection-limit-reached" => OutgoingError::ConnectionLimitReached,
        "connection-refused" => OutgoingError::ConnectionRefused,
        "connection-timeout" => OutgoingError::ConnectionTimeout,
        "connection-read-timeout" => OutgoingError::ConnectionReadTimeout,
        "connection-terminated" => OutgoingError::ConnectionTerminated,
        "TLS-certificate-error" => OutgoingError::TlsCertificateError,
        "TLS-protocol-error" => OutgoingError::TlsProtocolError,
        "HTTP-response-header-section-size" => OutgoingError::HttpResponseHeaderSectionSize(None),
        "HTTP-response-timeout" => OutgoingError::HttpResponseTimeout,
        "HTTP-upgrade-failed" => OutgoingError::HttpUpgradeFailed,
        "internal-error" => OutgoingError::InternalError(Some(error.to_string())),
        _ => OutgoingError::HttpProtocolError,
    }
}

/// What answers for one authority of this host, longest path prefix first.
pub(crate) struct LocalEntrance {
    routes: Vec<(String, Arc<dyn HttpEntrance>)>,
}

impl LocalEntrance {
    pub(crate) fn new(mut routes: Vec<(String, Arc<dyn HttpEntrance>)>) -> Self {
        routes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self { routes }
    }

    fn find(&self, path: &str) -> Option<&dyn HttpEntrance> {
        self.routes
            .iter()
            .find(|(prefix, _)| is_below(path, prefix))
            .map(|(_, entrance)| &**entrance)
    }
}

/// Tells whether `path` is `prefix` or something below it.
fn is_below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl LocalService for LocalEntrance {
    fn call(
        &self,
        request: Request<RequestBody>,
    ) -> BoxFuture<'static, Result<Response<RequestBody>, LocalFailure>> {
        match self.find(request.uri().path()) {
            Some(entrance) => LocalService::call(entrance, request),
            None => Box::pin(std::future::ready(Err(LocalFailure {
                class: ErrorClass::Unavailable,
                message: "no component of this host answers for this path".to_owned(),
            }))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_whole_segments() {
        for (path, prefix, below) in [
            ("/", "/", true),
            ("/a/b", "/", true),
            ("/shop", "/shop", true),
            ("/shop/1", "/shop/", true),
            ("/shopping", "/shop", false),
        ] {
            assert_eq!(is_below(path, prefix), below, "{path} below {prefix}");
        }
    }
}

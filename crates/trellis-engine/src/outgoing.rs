//! The seam through which a component's outgoing HTTP requests leave.

use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use http::HeaderName;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks,
};

/// The answer to an outgoing request, or why there is none.
pub type OutgoingResponse =
    Pin<Box<dyn Future<Output = Result<http::Response<WasiBody>, Error>> + Send>>;

/// Sends outgoing requests for one component, under the policy of its link.
pub trait OutgoingHttp: Send + Sync + 'static {
    /// Sends `request`. A request that the policy forbids ends in [`Error::HttpRequestDenied`].
    fn send(&self, request: http::Request<WasiBody>, options: RequestOptions) -> OutgoingResponse;
}

/// The hooks of one instance.
pub(crate) struct HttpHooks {
    outgoing: Option<Arc<dyn OutgoingHttp>>,
}

impl HttpHooks {
    pub(crate) fn new(outgoing: Option<Arc<dyn OutgoingHttp>>) -> Self {
        Self { outgoing }
    }
}

/// One filter for the process; the default makes a new allocation for each header map.
static FORBIDDEN: LazyLock<ForbiddenHeaderFilter> =
    LazyLock::new(|| Arc::new(|name: &HeaderName| DEFAULT_FORBIDDEN_HEADERS.contains(name)));

type IoResult = Box<dyn Future<Output = Result<(), Error>> + Send>;
type SendResult = Result<(http::Response<WasiBody>, IoResult), Error>;

impl WasiHttpHooks for HttpHooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        FORBIDDEN.clone()
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _body_result: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = SendResult> + Send> {
        let Some(outgoing) = &self.outgoing else {
            return Box::new(async { Err(Error::HttpRequestDenied) });
        };
        let answer = outgoing.send(request, options.unwrap_or_default());
        Box::new(async move {
            let response = answer.await?;
            // Failures of the connection reach the guest through the body itself.
            Ok((response, Box::new(async { Ok(()) }) as IoResult))
        })
    }
}

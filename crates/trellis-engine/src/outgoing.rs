//! The seam through which a component's outgoing HTTP requests leave.

use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody,
    WasiHttpHooks,
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
static FORBIDDEN: LazyLock<ForbiddenHeaderFilter> = LazyLock::new(|| Arc::new(is_forbidden));

/// Tells whether a header is not for a guest to see or to set.
pub(crate) fn is_forbidden(name: &HeaderName) -> bool {
    static NAMES: [HeaderName; 9] = DEFAULT_FORBIDDEN_HEADERS;
    NAMES.contains(name)
}

type IoResult = Box<dyn Future<Output = Result<(), Error>> + Send>;
type SendResult = Result<(http::Response<WasiBody>, IoResult), Error>;

impl WasiHttpHooks for HttpHooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        FORBIDDEN.clone()
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _body_result: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = SendResult> + Send> {
        let request = request.map(|body| WasiBody::new(PatientBody { inner: body }));
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

/// What a guest may still write to a request that is not sent any more, and for how long.
const UNSENT_BYTES_MAX: usize = 1 << 20;
const UNSENT_TIME_MAX: Duration = Duration::from_secs(10);

/// A request body that the guest can write to after nobody wants it: the guest then learns from the
/// response why its request was not sent, not from a stream that is suddenly closed.
struct PatientBody {
    inner: WasiBody,
}

impl Body for PatientBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for PatientBody {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if self.inner.is_end_stream() {
            return;
        }
        let body = std::mem::take(&mut self.inner);
        runtime.spawn(tokio::time::timeout(UNSENT_TIME_MAX, discard(body)));
    }
}

async fn discard(mut body: WasiBody) {
    let mut left = UNSENT_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

//! A minimal server on wasmtime's own `ProxyHandler`, with the defaults of `wasmtime serve`.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Args, ValueEnum};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::time::Sleep;
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyHandler, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView};

use crate::guest::{Guests, HELLO, HELLO_P3};
use crate::peer::{Host, Level, Peer, Pool};

/// Requests that `wasmtime serve` gives to one instance of WASI 0.3, and how many of them at once.
const P3_CALLS: usize = 128;
const P3_CONCURRENCY: usize = 16;
/// How long `wasmtime serve` keeps an idle instance.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);

/// How instances are made and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// The pool at its defaults; a fresh instance for each request of WASI 0.2
    Fresh,
    /// As fresh, with as much of a slot kept resident as Spin keeps
    Resident,
    /// The pool at its defaults; 128 requests for each instance of WASI 0.2 too
    Reuse,
    /// Both
    ResidentReuse,
}

/// Serves the hello component.
#[derive(Args)]
pub(crate) struct ProxyHandlerServer {
    /// The WASI of the component
    #[arg(long, value_enum)]
    level: Level,

    /// How instances are made and kept
    #[arg(long, value_enum, default_value = "fresh")]
    mode: Mode,

    #[command(flatten)]
    guests: Guests,
}

impl ProxyHandlerServer {
    /// Serves until the process is ended.
    pub(crate) async fn serve(self) -> Result<()> {
        let pool = match self.mode {
            Mode::Fresh | Mode::Reuse => Pool::Defaults,
            Mode::Resident | Mode::ResidentReuse => Pool::Resident,
        };
        let reused = matches!(self.mode, Mode::Reuse | Mode::ResidentReuse);
        let (name, reuse) = match (self.level, reused) {
            (Level::P2, false) => (
                HELLO,
                Budget {
                    calls: 1,
                    concurrency: 1,
                },
            ),
            (Level::P2, true) => (
                HELLO,
                Budget {
                    calls: P3_CALLS,
                    concurrency: 1,
                },
            ),
            (Level::P3, _) => (
                HELLO_P3,
                Budget {
                    calls: P3_CALLS,
                    concurrency: P3_CONCURRENCY,
                },
            ),
        };
        let peer = Peer::new(&self.guests.read(name)?, self.level, pool)?;
        let handler = ProxyHandler::new(Instances { peer, reuse });
        let service = service_fn(move |request| answer(handler.clone(), request));
        super::serve_http1(service).await
    }
}

async fn answer(
    handler: ProxyHandler<Instances>,
    request: Request<Incoming>,
) -> Result<Response<WasiBody>, Infallible> {
    let request = request.map(|body| body.map_err(Error::from).boxed_unsync());
    Ok(handler.handle((), request).await.unwrap_or_else(|error| {
        eprintln!("error: {error:?}");
        let text = Full::new("the component failed\n".into());
        let mut failed = Response::new(text.map_err(|never| match never {}).boxed_unsync());
        *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        failed
    }))
}

/// How often and by how many requests an instance is used.
#[derive(Clone, Copy)]
struct Budget {
    calls: usize,
    concurrency: usize,
}

struct Instances {
    peer: Peer,
    reuse: Budget,
}

impl HandlerState for Instances {
    type StoreData = Host;
    type WorkerExpiration = IdleExpiration;
    type WorkerState = Budget;

    async fn instantiate(&self) -> wasmtime::Result<Instance<Host, IdleExpiration, Budget>> {
        let mut store = self.peer.store();
        let proxy = self.peer.pre.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy,
            view: |host| host.http(),
            expiration: IdleExpiration { timer: None },
            state: self.reuse,
        })
    }
}

impl WorkerState for Budget {
    type StoreData = Host;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.calls {
            ShouldAccept::Never
        } else if concurrent >= self.concurrency {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _store: StoreContextMut<'_, Host>,
        (): (),
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        Box::pin(std::future::pending()) // no time limit, as by default
    }

    fn drop(&self, store: Store<Host>, result: wasmtime::Result<()>) {
        static SAID: AtomicBool = AtomicBool::new(false);
        drop(store);
        if let Err(error) = result
            && !SAID.swap(true, Ordering::Relaxed)
        {
            eprintln!("a worker failed: {error:?}");
        }
    }
}

/// Ends an instance that was idle for long. The timer is set again only when it fires, so that a busy
/// instance pays nothing for it.
struct IdleExpiration {
    timer: Option<Pin<Box<Sleep>>>,
}

impl WorkerExpiration for IdleExpiration {
    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        if status != WorkerStatus::Idle {
            return Poll::Pending;
        }
        let deadline = start + IDLE_TIMEOUT;
        let timer = &mut self.get_mut().timer;
        let timer =
            timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        loop {
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline.into());
        }
    }
}

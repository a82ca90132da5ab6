//! One call of the hello component after the other, without sockets: the cost of a call, and, as the
//! difference between a fresh and a used instance, the cost of an instance.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use trellis_core::Reuse;
use wasmtime::Store;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::Proxy;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;

use super::{Measures, Span, time};
use crate::guest::{Guests, HELLO};
use crate::in_process::{self, Grant, REUSED};
use crate::peer::{Host, Level, Peer, Pool, plain};

/// Calls the hello component of WASI 0.2.
#[derive(Args)]
pub(crate) struct Calls {
    #[command(flatten)]
    span: Span,

    #[command(flatten)]
    guests: Guests,
}

impl Calls {
    /// Measures Trellis and wasmtime, fresh and reused.
    pub(crate) async fn measure(self) -> Result<()> {
        let span = self.span.duration();
        let mut measures = Measures::default();

        let fresh = self.trellis(Reuse::NEVER, span).await?;
        let reused = self.trellis(REUSED, span).await?;
        measures.put("trellis-call-fresh", fresh);
        measures.put("trellis-call-reused", reused);
        measures.put("trellis-instance", fresh - reused);

        for (pool, name) in [
            (Pool::Defaults, "wasmtime"),
            (Pool::Resident, "wasmtime-resident"),
        ] {
            let component = self.guests.read(HELLO)?;
            let peer = Peer::new(&component, Level::P2, pool)?;
            let (fresh, reused) = wasmtime(&peer, span).await?;
            measures.put(&format!("{name}-call-fresh"), fresh);
            measures.put(&format!("{name}-call-reused"), reused);
            measures.put(&format!("{name}-instance"), fresh - reused);
        }
        measures.print()
    }

    async fn trellis(&self, reuse: Reuse, span: Duration) -> Result<f64> {
        let engine = in_process::engine()?;
        let compiled = in_process::compile(&engine, &self.guests, HELLO).await?;
        let grant = Grant::reuse(Some(reuse));
        let handle = in_process::deploy(&engine, compiled, "hello", grant).await?;
        time(span, async || in_process::get(&handle, "/").await.map(drop)).await
    }
}

/// Returns the microseconds of a call of a fresh and of a used instance.
async fn wasmtime(peer: &Peer, span: Duration) -> Result<(f64, f64)> {
    let fresh = time(span, async || {
        let (mut store, proxy) = instantiate(peer).await?;
        call(&mut store, &proxy).await
    });
    let fresh = fresh.await?;
    let (mut store, proxy) = instantiate(peer).await?;
    let reused = time(span, async || call(&mut store, &proxy).await);
    Ok((fresh, reused.await?))
}

async fn instantiate(peer: &Peer) -> Result<(Store<Host>, Proxy)> {
    let mut store = peer.store();
    let proxy = peer
        .pre
        .instantiate_async(&mut store)
        .await
        .map_err(plain)?;
    Ok((store, proxy))
}

async fn call(store: &mut Store<Host>, proxy: &Proxy) -> Result<()> {
    let Proxy::P2(proxy) = proxy else {
        anyhow::bail!("not a component of WASI 0.2")
    };
    let (sender, answer) = oneshot::channel();
    let mut view = store.data_mut().http();
    let request = in_process::get_request("/")?;
    let request = view
        .new_incoming_request(Scheme::Http, request)
        .map_err(plain)?;
    let outparam = view.new_response_outparam(sender).map_err(plain)?;
    let handler = proxy.wasi_http_incoming_handler();
    let read = async {
        let response = answer
            .await
            .context("no answer")?
            .context("an error for an answer")?;
        response
            .into_body()
            .collect()
            .await
            .context("the answer broke off")
    };
    let (called, body) = tokio::join!(handler.call_handle(store, request, outparam), read);
    called.map_err(plain)?;
    body.map(drop)
}

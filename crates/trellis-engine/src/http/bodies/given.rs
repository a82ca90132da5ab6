//! A body from outside, given into a store.

use std::any::{Any, TypeId};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::HeaderMap;
use bytes::Bytes;
use http_body::Body as _;
use tokio::sync::oneshot;
use wasmtime::component::{
    Destination, FutureReader, Resource, StreamProducer, StreamReader, StreamResult,
};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi_http::p3::bindings::http::types::Trailers;
use wasmtime_wasi_http::{FieldMap, WasiBody, WasiHttpCtxView, WasiHttpView};

use super::error_code::error_code;
use super::written::TrailersResult;
use crate::state::State;
use crate::streams::{Crossing, Way, hand_over};

/// What was read of a body for a guest, and what was not.
pub(super) struct Given {
    /// What did not fit where the guest read last.
    pub(super) unread: Bytes,
    pub(super) body: WasiBody,
    trailers: Option<oneshot::Sender<TrailersResult>>,
    /// Until the guest drops it. An instance that forgets it is not kept.
    _crossing: Option<Crossing>,
}

/// Gives `body` to the guest: its bytes, and what follows them.
///
/// # Errors
/// When the store takes no more.
pub(super) fn give(
    mut store: impl AsContextMut<Data = State>,
    body: WasiBody,
) -> wasmtime::Result<(StreamReader<u8>, FutureReader<TrailersResult>)> {
    let (sender, trailers) = oneshot::channel();
    // One that is at its end is nothing that stays open.
    let crossing = if body.is_end_stream() {
        None
    } else {
        let life = store.as_context().data().life().clone();
        Some(Crossing::open(&life, Way::In)?)
    };
    let given = Given {
        unread: Bytes::new(),
        body,
        trailers: Some(sender),
        _crossing: crossing,
    };
    let contents = StreamReader::new(&mut store, given)?;
    // A guest that wants no more bytes learns of no trailers.
    let trailers = async { wasmtime::error::Ok(trailers.await.unwrap_or(Ok(None))) };
    Ok((contents, FutureReader::new(&mut store, trailers)?))
}

impl Given {
    /// Reads until there are bytes. Tells whether there are, or the body has ended.
    fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        store: &mut StoreContextMut<'_, State>,
    ) -> Poll<wasmtime::Result<bool>> {
        while self.unread.is_empty() {
            let end = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.unread = data;
                        continue;
                    }
                    Err(frame) => match frame.into_trailers() {
                        Ok(map) => Ok(Some(push_trailers(map, store)?)),
                        Err(_) => Ok(None),
                    },
                },
                Some(Err(error)) => Err(error_code(&error)),
                None => Ok(None),
            };
            self.end(end);
            return Poll::Ready(Ok(false));
        }
        Poll::Ready(Ok(true))
    }

    fn end(&mut self, trailers: TrailersResult) {
        if let Some(sender) = self.trailers.take() {
            // The guest need not want to know.
            let _ = sender.send(trailers);
        }
    }
}

fn push_trailers(
    map: HeaderMap,
    store: &mut StoreContextMut<'_, State>,
) -> wasmtime::Result<Resource<Trailers>> {
    let WasiHttpCtxView { hooks, table, .. } = store.data_mut().http();
    Ok(table.push(FieldMap::new_immutable(hooks, map))?)
}

impl StreamProducer<State> for Given {
    type Item = u8;
    type Buffer = Bytes;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'a, State>,
        destination: Destination<'a, u8, Bytes>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        match self.poll_fill(context, &mut store)? {
            Poll::Ready(true) => {}
            Poll::Ready(false) => return Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
        }
        hand_over(store, destination, &mut self.unread);
        Poll::Ready(Ok(StreamResult::Completed))
    }

    fn try_into(me: Pin<Box<Self>>, ty: TypeId) -> Result<Box<dyn Any>, Pin<Box<Self>>> {
        if ty == TypeId::of::<Self>() {
            let me: Box<Self> = Pin::into_inner(me);
            Ok(me)
        } else {
            Err(me)
        }
    }
}

//! Pipes and channels without a guest.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use trellis_core::ErrorClass;
use trellis_wire::plan::FunctionPlan;
use trellis_wire::{Field, FunctionType, Type};

use super::codec::{Decoder, Kind};
use super::life::{Crossing, Life, LifeGuard, Way};
use super::outbound::Outbound;
use super::pipe::{Closed, PIPE_BYTES_MAX, Piece, PipeReader, PipeWriter, pipe};
use super::source::{Channel, ChannelSource, Source};
use crate::call_error::CallError;

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn piece(bytes: &'static [u8]) -> Piece {
    Piece {
        count: bytes.len() as u32,
        wire: Bytes::from_static(bytes),
    }
}

fn next(reader: &mut PipeReader) -> Poll<Result<Option<Piece>, CallError>> {
    reader.poll_next(&mut context())
}

fn room(writer: &PipeWriter) -> Poll<Result<usize, Closed>> {
    writer.poll_room(&mut context())
}

fn error(poll: Poll<Result<Option<Piece>, CallError>>) -> CallError {
    match poll {
        Poll::Ready(Err(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pipe_holds_so_much_and_no_more() {
    let (writer, mut reader) = pipe();
    assert!(matches!(room(&writer), Poll::Ready(Ok(PIPE_BYTES_MAX))));
    let wire = Bytes::from(vec![1; PIPE_BYTES_MAX]);
    writer.push(Piece { count: 1, wire });
    assert!(room(&writer).is_pending());
    assert!(matches!(next(&mut reader), Poll::Ready(Ok(Some(_)))));
    assert!(matches!(room(&writer), Poll::Ready(Ok(PIPE_BYTES_MAX))));
}

#[test]
fn only_a_pipe_that_was_finished_is_complete() {
    let (writer, mut reader) = pipe();
    writer.push(piece(b"ab"));
    writer.finish();
    drop(writer);
    assert!(matches!(next(&mut reader), Poll::Ready(Ok(Some(it))) if it == piece(b"ab")));
    assert!(matches!(next(&mut reader), Poll::Ready(Ok(None))));

    let (writer, mut reader) = pipe();
    writer.push(piece(b"ab"));
    drop(writer);
    assert!(matches!(next(&mut reader), Poll::Ready(Ok(Some(_)))));
    assert_eq!(error(next(&mut reader)).class, ErrorClass::Unavailable);
}

#[test]
fn a_writer_learns_what_became_of_its_reader() {
    let (writer, reader) = pipe();
    drop(reader);
    assert!(matches!(room(&writer), Poll::Ready(Err(Closed::Gone))));
    writer.push(piece(b"unread"));

    let (writer, reader) = pipe();
    reader.fail(CallError::new(ErrorClass::Unavailable, "the peer is lost"));
    drop(reader);
    let Poll::Ready(Err(Closed::Failed(error))) = room(&writer) else {
        panic!("the failure is lost");
    };
    assert_eq!(error.message(), "the peer is lost");
}

#[test]
fn a_life_knows_what_crosses_and_why_it_ended() {
    let life = Arc::<Life>::default();
    let (written, read) = (
        Crossing::new(&life, Way::Out),
        Crossing::new(&life, Way::In),
    );
    assert!(!life.is_self_contained());
    assert!(life.poll_written(&mut context()).is_pending());
    drop(written);
    assert!(life.poll_written(&mut context()).is_ready());
    assert!(!life.is_self_contained());
    drop(read);
    assert!(life.is_self_contained());

    assert!(life.ended().is_none());
    life.end(&CallError::new(ErrorClass::Trap, "first"));
    drop(LifeGuard(life.clone()));
    assert_eq!(life.ended().unwrap().message(), "first");
}

/// A function with these parameters.
fn function<const N: usize>(params: [Type; N]) -> Arc<FunctionPlan> {
    let params = params.into_iter().map(|ty| Field {
        name: String::new(),
        ty,
    });
    let ty = FunctionType {
        params: params.collect(),
        result: None,
    };
    Arc::new(FunctionPlan::compile(&ty).unwrap())
}

#[test]
fn streams_of_bytes_and_futures_of_values_can_cross() {
    let plan = function([
        Type::stream(Some(Type::U8)),
        Type::future(Some(Type::list(Type::String))),
        Type::future(None),
        Type::stream(Some(Type::String)),
        Type::stream(None),
        Type::future(Some(Type::stream(Some(Type::U8)))),
    ]);
    let kinds: Vec<_> = plan
        .param_paths
        .iter()
        .map(|path| Kind::of(&plan, path.plan))
        .collect();
    assert_eq!(kinds[0], Ok(Kind::Bytes));
    assert!(matches!(kinds[1], Ok(Kind::Value(_))));
    assert_eq!(kinds[2], Ok(Kind::Event));
    assert_eq!(kinds[3], Err("a stream of anything but bytes"));
    assert_eq!(kinds[4], Err("a stream of anything but bytes"));
    assert_eq!(kinds[5], Err("a stream or future inside of a future"));
}

/// Bytes on a channel, one message each.
struct Messages(VecDeque<Bytes>);

impl ChannelSource for Messages {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Bytes>, CallError>> {
        Poll::Ready(Ok(self.0.pop_front()))
    }
}

/// Reads a channel to its end.
fn read(ty: Type, bytes: &[u8], cut: usize) -> Result<Vec<u8>, CallError> {
    let plan = function([ty]);
    let id = plan.param_paths[0].plan;
    let kind = Kind::of(&plan, id).unwrap();
    let messages = bytes.chunks(cut).map(Bytes::copy_from_slice).collect();
    let mut source = Source::Channel(Box::new(Channel {
        bytes: Box::new(Messages(messages)),
        decoder: Decoder::of(&plan, id, kind),
        is_over: false,
    }));
    let mut all = Vec::new();
    loop {
        match source.poll_next(&mut context()) {
            Poll::Ready(Ok(Some(piece))) => all.extend_from_slice(&piece.wire),
            Poll::Ready(Ok(None)) => return Ok(all),
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => panic!("nothing is to be waited for"),
        }
    }
}

#[test]
fn what_goes_out_on_a_channel_comes_in_however_it_is_cut() {
    let (writer, pipe) = pipe();
    writer.push(piece(b"hello "));
    writer.push(piece(b"streams"));
    writer.finish();
    let mut outbound = Outbound {
        path: vec![0],
        pipe,
        kind: Kind::Bytes,
        is_over: false,
    };
    let mut channel = Vec::new();
    let mut next = Box::pin(async {
        while let Some(bytes) = outbound.next().await.unwrap() {
            channel.extend_from_slice(&bytes);
        }
    });
    assert!(next.as_mut().poll(&mut context()).is_ready());
    drop(next);
    for cut in 1..=channel.len() {
        let bytes = || Type::stream(Some(Type::U8));
        assert_eq!(read(bytes(), &channel, cut).unwrap(), b"hello streams");
        let short = &channel[..channel.len() - 1];
        let error = read(bytes(), short, cut).unwrap_err();
        assert_eq!(error.class, ErrorClass::Unavailable);
    }
}

#[test]
fn a_future_is_its_value_or_an_error() {
    let text = || Type::future(Some(Type::String));
    for cut in 1..5 {
        assert_eq!(read(text(), b"\x03yes", cut).unwrap(), b"\x03yes");
        let error = read(text(), b"\x03ye", cut).unwrap_err();
        assert_eq!(error.class, ErrorClass::Unavailable);
        let error = read(text(), b"\x02\xff\xff", cut).unwrap_err();
        assert!(error.message().contains("UTF-8"), "{error}");
    }
    assert_eq!(read(Type::future(None), b"", 1).unwrap(), b"");
}

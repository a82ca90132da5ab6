//! Pipes and channels without a guest.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use trellis_core::ErrorClass;
use trellis_wire::plan::FunctionPlan;
use trellis_wire::{Field, FunctionType, Type};

use super::codec::{Decoder, Kind};
use super::life::{Crossing, Life, LifeGuard, Way};
use super::origin::STREAMS_OPEN_MAX;
use super::outbound::Outbound;
use super::pipe::{
    Closed, PIPE_BYTES_MAX, PIPE_PIECES_MAX, PIPE_STREAMS_MAX, Piece, PipeReader, PipeWriter, pipe,
};
use super::source::{Channel, ChannelSource, Inbound, Source};
use crate::call_error::CallError;

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn piece(bytes: &'static [u8]) -> Piece {
    Piece::new(bytes.len() as u32, Bytes::from_static(bytes))
}

/// The number and the bytes of the next elements.
type Next = Poll<Result<Option<(u32, Bytes)>, CallError>>;

fn next(reader: &mut PipeReader) -> Next {
    let next = reader.poll_next(&mut context());
    next.map_ok(|piece| piece.map(|it| (it.count, it.wire)))
}

fn room(writer: &PipeWriter) -> Poll<Result<usize, Closed>> {
    writer.poll_room(&mut context())
}

fn error(poll: Next) -> CallError {
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
    writer.push(Piece::new(1, wire));
    assert!(room(&writer).is_pending());
    assert!(matches!(next(&mut reader), Poll::Ready(Ok(Some(_)))));
    assert!(matches!(room(&writer), Poll::Ready(Ok(PIPE_BYTES_MAX))));
}

#[test]
fn a_pipe_bounds_small_pieces_units_and_streams_of_streams_too() {
    let (writer, mut reader) = pipe();
    for _ in 0..PIPE_PIECES_MAX {
        assert!(room(&writer).is_ready());
        writer.push(piece(b"a"));
    }
    assert!(room(&writer).is_pending());
    assert!(next(&mut reader).is_ready());
    assert!(room(&writer).is_ready());

    let (writer, mut reader) = pipe();
    writer.push(Piece::new(PIPE_BYTES_MAX as u32, Bytes::new()));
    assert!(room(&writer).is_pending());
    assert!(next(&mut reader).is_ready());
    assert!(room(&writer).is_ready());

    let bytes = || Type::stream(Some(Type::U8));
    let plan = function([bytes()]);
    let id = plan.param_paths[0].plan;
    let (writer, mut reader) = pipe();
    let mut writers = Vec::new();
    for _ in 0..PIPE_STREAMS_MAX {
        assert!(room(&writer).is_ready());
        let (inner_writer, inner) = pipe();
        writers.push(inner_writer);
        let inner = Source::Pipe(inner, None);
        writer.push(Piece {
            inner: vec![Outbound::new(plan.clone(), id, vec![0], inner).unwrap()],
            ..piece(&[0])
        });
    }
    assert!(room(&writer).is_pending());
    assert!(next(&mut reader).is_ready());
    assert!(room(&writer).is_ready());
    // Whoever writes to one that nobody took learns of it with the others.
    drop(reader);
    for writer in writers {
        assert!(matches!(room(&writer), Poll::Ready(Err(Closed::Gone))));
    }
}

#[test]
fn only_a_pipe_that_was_finished_is_complete() {
    let (writer, mut reader) = pipe();
    writer.push(piece(b"ab"));
    writer.finish();
    drop(writer);
    assert!(matches!(next(&mut reader), Poll::Ready(Ok(Some((2, it)))) if it == "ab"));
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
        Crossing::open(&life, Way::Out).unwrap(),
        Crossing::open(&life, Way::In).unwrap(),
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

#[test]
fn a_store_has_so_many_streams_open_and_no_more() {
    let life = Arc::<Life>::default();
    let open = || Crossing::open(&life, Way::In);
    let mut all: Vec<_> = (0..STREAMS_OPEN_MAX).map(|_| open().unwrap()).collect();
    assert_eq!(open().unwrap_err().class, ErrorClass::Overloaded);
    all.pop();
    assert!(open().is_ok());
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
fn every_stream_and_future_is_of_a_kind() {
    let plan = function([
        Type::stream(Some(Type::U8)),
        Type::stream(Some(Type::String)),
        Type::stream(None),
        Type::future(Some(Type::list(Type::String))),
        Type::future(None),
        Type::future(Some(Type::stream(Some(Type::U8)))),
    ]);
    let kinds = plan.param_channels.iter();
    let kinds: Vec<_> = kinds
        .map(|path| Kind::of(&plan, path.plan).unwrap())
        .collect();
    assert_eq!(
        (kinds[0], kinds[2], kinds[4]),
        (Kind::Bytes, Kind::Units, Kind::Event)
    );
    assert!(matches!(kinds[1], Kind::Elements(_)));
    assert!(matches!(kinds[3], Kind::Value(_)));
    assert_eq!(kinds[3].with_inner(&plan), None);
    assert!(kinds[5].with_inner(&plan).is_some());
    assert!(Kind::of(&plan, plan.params).is_err());
}

/// Bytes on a channel, one message each.
struct Messages(VecDeque<Bytes>);

impl ChannelSource for Messages {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Bytes>, CallError>> {
        Poll::Ready(Ok(self.0.pop_front()))
    }
}

/// Opens nothing.
struct Nothing;

impl Inbound for Nothing {
    fn open(&self, path: &[u32]) -> Box<dyn ChannelSource> {
        panic!("{path:?} was opened")
    }
}

/// What comes on the channel of the first parameter.
fn channel(
    plan: &Arc<FunctionPlan>,
    messages: VecDeque<Bytes>,
    inbound: Arc<dyn Inbound>,
) -> Source {
    let id = plan.param_channels[0].plan;
    let kind = Kind::of(plan, id).unwrap();
    Source::Channel(Box::new(Channel {
        bytes: Some(Box::new(Messages(messages))),
        decoder: Decoder::of(plan, id, kind),
        is_over: false,
        inbound,
        path: vec![0],
    }))
}

/// Reads a channel to its end.
fn read(ty: Type, bytes: &[u8], cut: usize) -> Result<(u32, Vec<u8>), CallError> {
    let messages = bytes.chunks(cut).map(Bytes::copy_from_slice).collect();
    let mut source = channel(&function([ty]), messages, Arc::new(Nothing));
    let (mut count, mut all) = (0, Vec::new());
    loop {
        match source.poll_next(&mut context()) {
            Poll::Ready(Ok(Some(piece))) => {
                count += piece.count;
                all.extend_from_slice(&piece.wire);
            }
            Poll::Ready(Ok(None)) => return Ok((count, all)),
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => panic!("nothing is to be waited for"),
        }
    }
}

/// Reads all that goes out.
fn carried(outbound: &mut Outbound) -> Vec<u8> {
    let mut channel = Vec::new();
    let mut next = Box::pin(async {
        while let Some(bytes) = outbound.next().await.unwrap() {
            channel.extend_from_slice(&bytes);
        }
    });
    assert!(next.as_mut().poll(&mut context()).is_ready());
    drop(next);
    channel
}

#[test]
fn what_goes_out_on_a_channel_comes_in_however_it_is_cut() {
    let text = || Type::stream(Some(Type::String));
    let bytes = || Type::stream(Some(Type::U8));
    let units = || Type::stream(None);
    let streams = [
        (
            bytes(),
            vec![piece(b"hello "), piece(b"streams")],
            13,
            "hello streams",
        ),
        (
            text(),
            vec![
                Piece::new(2, "\x01a\x00".into()),
                Piece::new(1, "\x02bc".into()),
            ],
            3,
            "\x01a\x00\x02bc",
        ),
        (
            units(),
            vec![
                Piece::new(70_000, Bytes::new()),
                Piece::new(1, Bytes::new()),
            ],
            70_001,
            "",
        ),
    ];
    for (ty, pieces, count, wire) in streams {
        let (writer, pipe) = pipe();
        pieces.into_iter().for_each(|piece| writer.push(piece));
        writer.finish();
        let plan = function([ty.clone()]);
        let source = Source::Pipe(pipe, None);
        let id = plan.param_channels[0].plan;
        let mut outbound = Outbound::new(plan, id, vec![0], source).unwrap();
        let channel = carried(&mut outbound);
        for cut in 1..=channel.len() {
            assert_eq!(
                read(ty.clone(), &channel, cut).unwrap(),
                (count, wire.as_bytes().to_vec())
            );
            let short = &channel[..channel.len() - 1];
            let error = read(ty.clone(), short, cut).unwrap_err();
            assert_eq!(error.class, ErrorClass::Unavailable);
        }
    }
}

/// Opens channels with what was written before, and says which.
struct Written(Mutex<Vec<(Vec<u32>, &'static [u8])>>);

impl Inbound for Written {
    fn open(&self, path: &[u32]) -> Box<dyn ChannelSource> {
        let mut all = self.0.lock().unwrap();
        let found = all.iter().position(|(at, _)| at == path);
        let (_, bytes) = all.remove(found.expect("it is not awaited there"));
        Box::new(Messages([Bytes::from_static(bytes)].into()))
    }
}

#[test]
fn what_is_inside_of_elements_is_carried_on_with_them() {
    let inner = Type::tuple([Type::U8, Type::option(Type::stream(Some(Type::U8)))]);
    let plan = function([Type::stream(Some(inner))]);
    let inbound = Arc::new(Written(Mutex::new(vec![
        (vec![0, 0, 1], b"\x02ab\x00"),
        (vec![0, 3, 1], b"\x01c\x00"),
    ])));
    // The third has its stream with it.
    let chunks = [
        b"\x02\x07\x01\x00\x08\x00".as_slice(),
        b"\x02\x09\x01\x01z\x0a\x01\x00",
        b"\x00",
    ];
    let source = channel(
        &plan,
        chunks.map(Bytes::from_static).into(),
        inbound.clone(),
    );
    let id = plan.param_channels[0].plan;
    // Given on by an instance as its fifth parameter.
    let mut outbound = Outbound::new(plan, id, vec![4], source).unwrap();
    assert_eq!(carried(&mut outbound), chunks.concat());
    let mut inner = outbound.take_inner();
    let inner: Vec<_> = inner
        .iter_mut()
        .map(|it| (it.path().to_vec(), carried(it)))
        .collect();
    assert_eq!(inner[0], (vec![4, 0, 1], b"\x02ab\x00".to_vec()));
    assert_eq!(inner[1], (vec![4, 3, 1], b"\x01c\x00".to_vec()));
    assert_eq!(inner.len(), 2);
    assert!(inbound.0.lock().unwrap().is_empty());
}

#[test]
fn a_stream_that_is_the_value_of_a_future_follows_it_on_its_channel() {
    let ty = || {
        Type::future(Some(Type::result(
            Some(Type::future(Some(Type::stream(Some(Type::U8))))),
            None,
        )))
    };
    let whole = b"\x00\x00\x00\x02ab\x01c\x00";
    for cut in 1..=whole.len() {
        let plan = function([ty()]);
        let messages = whole.chunks(cut).map(Bytes::copy_from_slice).collect();
        let source = channel(&plan, messages, Arc::new(Nothing));
        let id = plan.param_channels[0].plan;
        let mut outbound = Outbound::new(plan, id, vec![0], source).unwrap();
        let carried = carried(&mut outbound);
        assert_eq!(carried[..3], [0, 0, 0], "{cut}");
        let text: Vec<u8> = carried[3..]
            .iter()
            .copied()
            .filter(u8::is_ascii_lowercase)
            .collect();
        assert_eq!(text, b"abc", "{cut}");
        assert!(outbound.take_inner().is_empty());
    }
}

#[test]
fn a_future_is_its_value_or_an_error() {
    let text = || Type::future(Some(Type::String));
    for cut in 1..5 {
        assert_eq!(
            read(text(), b"\x03yes", cut).unwrap(),
            (1, b"\x03yes".to_vec())
        );
        let error = read(text(), b"\x03ye", cut).unwrap_err();
        assert_eq!(error.class, ErrorClass::Unavailable);
        let error = read(text(), b"\x02\xff\xff", cut).unwrap_err();
        assert!(error.message().contains("UTF-8"), "{error}");
    }
    assert_eq!(read(Type::future(None), b"", 1).unwrap(), (1, Vec::new()));
}

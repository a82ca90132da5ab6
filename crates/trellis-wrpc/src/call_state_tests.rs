//! Tests of one end of a call, without a connection.

#![allow(clippy::unwrap_used)]

use std::task::Context;
use std::time::Duration;

use super::*;

pub(super) fn state(side: Side) -> CallState {
    let bounds = Bounds {
        value_bytes_max: 1_000,
        call_buffered_bytes_max: 1_000,
        buffered_bytes_max: 100_000,
        window_bytes: 400,
        buffered_in_all: Arc::default(),
    };
    CallState::new(side, Instant::now() + Duration::from_secs(60), bounds)
}

fn data(text: &str) -> Piece<'static> {
    Piece {
        payload: Bytes::from(text.to_owned()),
        note: None,
        error: None,
    }
}

fn noted(text: &str, at: u64, end: bool) -> Piece<'static> {
    let note = Note {
        at,
        end,
        ..Note::default()
    };
    Piece {
        note: Some(note),
        ..data(text)
    }
}

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn value(call: &CallState) -> Poll<Result<Bytes, CallError>> {
    call.poll_value(&mut cx())
}

fn next(call: &CallState, path: &IndexPath) -> Poll<Result<Option<Bytes>, CallError>> {
    call.poll_channel(&mut cx(), path)
        .map_ok(|taken| taken.bytes)
}

fn accepted(dialect: Dialect) -> Accepted {
    Accepted {
        control: "inbox.1".into(),
        dialect,
        peer: None,
        window: 400,
    }
}

#[test]
fn a_call_counts_as_lost_until_something_is_heard_of_it() {
    let silence_max = Duration::from_secs(2);
    let lost_at = |call: &CallState| call.lost_at(silence_max);
    let soon_taken = |side| {
        let mut call = state(side);
        call.is_soon_taken = true;
        call
    };
    let call = soon_taken(Side::Caller);
    assert_eq!(lost_at(&call), Some(call.begun + silence_max));
    call.receive(None, noted("a", 0, false));
    assert_eq!(lost_at(&call), None);
    let call = soon_taken(Side::Caller);
    call.fail(CallError::deadline());
    assert_eq!(lost_at(&call), None);
    assert_eq!(lost_at(&soon_taken(Side::Callee)), None);
    // A host of 1.x may take it much later.
    assert_eq!(lost_at(&state(Side::Caller)), None);
}

#[test]
fn a_legacy_value_ends_with_an_empty_message_and_the_second_end_is_ignored() {
    let call = state(Side::Caller);
    call.receive(None, data("ab"));
    call.receive(None, data("cd"));
    assert!(value(&call).is_pending());
    call.receive(None, data(""));
    call.receive(None, data(""));
    call.receive(None, data("late"));
    assert_eq!(value(&call), Poll::Ready(Ok("abcd".into())));
}

#[test]
fn an_extended_value_ends_where_it_says() {
    let call = state(Side::Caller);
    call.receive(None, noted("ab", 0, false));
    call.receive(None, noted("cd", 2, true));
    assert_eq!(value(&call), Poll::Ready(Ok("abcd".into())));
    assert!(call.is_finished());

    let empty = state(Side::Caller);
    empty.receive(None, noted("", 0, true));
    assert_eq!(value(&empty), Poll::Ready(Ok(Bytes::new())));
}

#[test]
fn a_hole_a_repetition_and_a_short_value_are_errors() {
    for second in [noted("cd", 3, true), noted("ab", 0, true)] {
        let call = state(Side::Caller);
        call.receive(None, noted("ab", 0, false));
        call.receive(None, second);
        assert!(matches!(value(&call), Poll::Ready(Err(_))));
    }
    let call = state(Side::Caller);
    let mut short = noted("ab", 0, true);
    short.note.as_mut().unwrap().size = Some(3);
    call.receive(None, short);
    assert!(matches!(value(&call), Poll::Ready(Err(_))));
}

#[test]
fn a_hole_in_a_stream_fails_the_stream_and_not_the_call() {
    let call = state(Side::Caller);
    let path = IndexPath::new(&[0, 1]);
    call.receive(None, noted("ok", 0, true));
    call.receive(Some("0.1"), noted("ab", 0, false));
    call.receive(Some("0.1"), noted("ef", 4, true));
    assert!(matches!(next(&call, &path), Poll::Ready(Err(_))));
    assert_eq!(value(&call), Poll::Ready(Ok("ok".into())));
}

#[test]
fn data_that_comes_before_its_reader_is_kept() {
    let call = state(Side::Callee);
    let path = IndexPath::new(&[1]);
    call.receive(Some("1"), data("ab"));
    call.receive(Some("1"), data(""));
    assert_eq!(next(&call, &path), Poll::Ready(Ok(Some("ab".into()))));
    assert_eq!(next(&call, &path), Poll::Ready(Ok(None)));
    assert_eq!(next(&call, &path), Poll::Ready(Ok(None)));
}

#[test]
fn a_slow_reader_of_a_legacy_stream_loses_its_call() {
    let call = state(Side::Caller);
    for _ in 0..12 {
        call.receive(Some("0"), data(&"x".repeat(100)));
    }
    let Poll::Ready(Err(error)) = value(&call) else {
        panic!("the call goes on");
    };
    assert_eq!(error.class(), ErrorClass::Overloaded);
    assert!(matches!(
        next(&call, &IndexPath::new(&[0])),
        Poll::Ready(Err(_))
    ));
    assert_eq!(
        call.bounds.buffered_in_all.load(Relaxed),
        call.lock().charged
    );
}

#[test]
fn what_is_charged_is_given_back_when_it_is_read_or_dropped() {
    let call = state(Side::Caller);
    let all = call.bounds.buffered_in_all.clone();
    call.receive(Some("0"), data("abc"));
    call.receive(Some("1"), data("abc"));
    call.receive(None, data("abc"));
    assert_eq!(all.load(Relaxed), 3 * (3 + MESSAGE_OVERHEAD_BYTES));
    let _ = next(&call, &IndexPath::new(&[0]));
    assert_eq!(all.load(Relaxed), 2 * (3 + MESSAGE_OVERHEAD_BYTES));
    call.stop_channel(&IndexPath::new(&[1]));
    assert_eq!(all.load(Relaxed), 3 + MESSAGE_OVERHEAD_BYTES);
    drop(call);
    assert_eq!(all.load(Relaxed), 0);
}

#[test]
fn a_sender_waits_for_credit_and_half_a_window_read_is_told() {
    let sender = state(Side::Callee);
    let path = IndexPath::new(&[0]);
    sender.accept(accepted(Dialect::Extended));
    assert_eq!(
        sender.poll_credit(&mut cx(), &path, 100),
        Poll::Ready(Ok(300))
    );
    assert!(sender.poll_credit(&mut cx(), &path, 400).is_pending());

    let reader = state(Side::Caller);
    reader.accept(accepted(Dialect::Extended));
    reader.receive(Some("0"), noted(&"x".repeat(150), 0, false));
    reader.receive(Some("0"), noted(&"x".repeat(150), 150, false));
    let first = reader.poll_channel(&mut cx(), &path);
    assert!(matches!(first, Poll::Ready(Ok(Taken { credit: None, .. }))));
    let Poll::Ready(Ok(Taken { credit, .. })) = reader.poll_channel(&mut cx(), &path) else {
        panic!("nothing to read");
    };
    assert_eq!(credit, Some(700));
    let note = Note {
        credit,
        path: Some("0"),
        ..Note::default()
    };
    sender.allow(&note);
    assert_eq!(
        sender.poll_credit(&mut cx(), &path, 400),
        Poll::Ready(Ok(300))
    );
    let stop = Note { stop: true, ..note };
    sender.allow(&stop);
    assert!(matches!(
        sender.poll_credit(&mut cx(), &path, 400),
        Poll::Ready(Err(_))
    ));
}

#[test]
fn a_peer_of_ours_that_ignores_its_credit_fails_its_stream() {
    let call = state(Side::Caller);
    let path = IndexPath::new(&[0]);
    call.receive(Some("0"), noted(&"x".repeat(300), 0, false));
    call.receive(Some("0"), noted(&"x".repeat(300), 300, false));
    assert!(matches!(next(&call, &path), Poll::Ready(Err(_))));
}

#[test]
fn hostile_paths_and_counts_of_streams_are_bounded() {
    let call = state(Side::Callee);
    for bad in ["", "a", "0.", "..", "99999999999999999999x"] {
        call.receive(Some(bad), data("ab"));
    }
    assert!(call.lock().channels.is_empty());
    for index in 0..=CHANNELS_PER_CALL_MAX as u32 {
        call.receive(Some(IndexPath::new(&[index]).as_str()), data(""));
    }
    assert!(call.lock().failure.is_some());
}

#[test]
fn a_value_without_bound_is_refused() {
    let call = state(Side::Callee);
    for _ in 0..11 {
        call.receive(None, data(&"x".repeat(100)));
    }
    assert!(matches!(value(&call), Poll::Ready(Err(_))));
}

#[test]
fn a_failed_call_fails_whoever_waits_but_not_what_is_complete() {
    let call = state(Side::Caller);
    call.receive(None, data("ab"));
    call.receive(None, data(""));
    call.receive(Some("0"), data("cd"));
    call.receive(Some("0"), data(""));
    call.fail(CallError::deadline());
    assert_eq!(value(&call), Poll::Ready(Ok("ab".into())));
    let path = IndexPath::new(&[0]);
    assert_eq!(next(&call, &path), Poll::Ready(Ok(Some("cd".into()))));
    assert!(matches!(
        next(&call, &IndexPath::new(&[1])),
        Poll::Ready(Err(_))
    ));
    assert!(call.poll_accepted(&mut cx()).is_ready());
}

#[test]
fn a_part_of_a_value_is_never_called_whole_because_the_rest_came_meanwhile() {
    let call = state(Side::Callee);
    call.receive(None, data("ab"));
    let Poll::Ready(Ok(first)) = call.poll_more(&mut cx(), 1) else {
        panic!("nothing is there");
    };
    call.receive(None, data("cd"));
    call.receive(None, data(""));
    assert!(first.bytes == "ab" && !first.is_whole);
    let Poll::Ready(Ok(all)) = call.poll_more(&mut cx(), 100) else {
        panic!("it has ended");
    };
    assert!(all.bytes == "abcd" && all.is_whole);
}

#[test]
fn any_number_of_streams_may_follow_one_another() {
    let call = state(Side::Callee);
    call.accept(accepted(Dialect::Extended));
    for number in 0..1_000 {
        let path = IndexPath::new(&[0, number]);
        call.open_outbound(&path).unwrap();
        call.end_outbound(&path);
        call.receive(Some(path.as_str()), noted("ab", 0, true));
        assert_eq!(next(&call, &path), Poll::Ready(Ok(Some("ab".into()))));
        assert_eq!(next(&call, &path), Poll::Ready(Ok(None)));
    }
    let open = |number| call.open_outbound(&IndexPath::new(&[1, number]));
    for number in 0..CHANNELS_PER_CALL_MAX as u32 {
        open(number).unwrap();
    }
    let error = open(u32::MAX).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Overloaded);
}

#[test]
fn a_reader_that_goes_away_leaves_what_it_has_claimed() {
    let call = state(Side::Callee);
    call.accept(accepted(Dialect::Extended));
    let (outer, claimed) = (IndexPath::new(&[0]), IndexPath::new(&[0, 0]));
    let (unread, later) = (IndexPath::new(&[0, 1]), IndexPath::new(&[0, 2]));
    for path in [&outer, &claimed, &unread] {
        call.open_outbound(path).unwrap();
    }
    let credit = Note {
        credit: Some(400),
        path: Some(claimed.as_str()),
        ..Note::default()
    };
    call.allow(&credit);
    call.allow(&Note {
        stop: true,
        path: Some(outer.as_str()),
        ..Note::default()
    });
    call.open_outbound(&later).unwrap();
    let credit = |path| call.poll_credit(&mut cx(), path, 0);
    assert!(matches!(credit(&claimed), Poll::Ready(Ok(400))));
    for path in [&outer, &unread, &later] {
        assert!(matches!(credit(path), Poll::Ready(Err(_))), "{path}");
    }
    call.open_outbound(&IndexPath::new(&[1])).unwrap();
    assert!(matches!(
        credit(&IndexPath::new(&[1])),
        Poll::Ready(Ok(400))
    ));
}

#[test]
fn what_nobody_reads_is_thrown_away_with_what_it_is_inside_of() {
    let call = state(Side::Callee);
    let (outer, claimed) = (IndexPath::new(&[0]), IndexPath::new(&[0, 0]));
    for path in ["0", "0.0", "0.1"] {
        call.receive(Some(path), noted("ab", 0, false));
    }
    call.claim_channel(&claimed);
    assert!(call.stop_channel(&outer));
    assert_eq!(next(&call, &claimed), Poll::Ready(Ok(Some("ab".into()))));
    assert!(next(&call, &IndexPath::new(&[0, 1])).is_pending());
    assert_eq!(call.lock().charged, 0);
}

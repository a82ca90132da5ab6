//! What the parser takes and refuses, whole and in any pieces.

use proptest::prelude::*;

use super::*;

const LIMITS: ParserLimits = ParserLimits {
    control_line_bytes_max: 64,
    payload_bytes_max: 1_000,
};

/// Feeds `pieces` one after the other; returns a line per operation, and the error at the end.
fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut parser = Parser::new(LIMITS);
    let mut input = BytesMut::new();
    let mut found = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match parser.next(&mut input) {
                Ok(Some(operation)) => found.push(describe(&operation)),
                Ok(None) => break,
                Err(error) => {
                    found.push(format!("! {error}"));
                    return found;
                }
            }
        }
    }
    found
}

fn describe(operation: &Operation) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match operation {
        Operation::Connect(json) => format!("connect {}", text(json)),
        Operation::Info(json) => format!("info {}", text(json)),
        Operation::Publish(it) => format!(
            "publish {} {} {} {:?}",
            text(it.subject()),
            it.reply().map_or("-".to_owned(), text),
            it.headers_length(),
            text(it.body())
        ),
        Operation::Subscribe(it) => {
            let queue = it.queue.as_deref().map_or("-".to_owned(), text);
            format!("subscribe {} {queue} {}", text(&it.subject), text(&it.id))
        }
        Operation::Unsubscribe(it) => format!("unsubscribe {} {:?}", text(&it.id), it.after),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn check(input: &str, expected: &[&str]) {
    assert_eq!(parse([input.as_bytes()]), expected, "{input:?}");
    let bytes: Vec<_> = input.as_bytes().chunks(1).collect();
    assert_eq!(parse(bytes), expected, "{input:?}, byte by byte");
}

#[test]
fn operations_are_told_apart() {
    check("PING\r\npong\r\n+OK\n", &["ping", "pong", "acknowledge"]);
    check("PINGX y\r\n", &["ping"]);
    check("CONNECT {}\r\nINFO {}\r\n", &["connect {}", "info {}"]);
    check("CONNECT{}\r\nCONNECT\r\n", &["connect {}", "connect "]);
    check(
        "SUB a 1\r\nsub  a \t q  2 \r\n",
        &["subscribe a - 1", "subscribe a q 2"],
    );
    check(
        "UNSUB 1\r\nUNSUB 1 5\r\nUNSUB 1 x\r\nUNSUB 1 0\r\n",
        &[
            "unsubscribe 1 None",
            "unsubscribe 1 Some(5)",
            "unsubscribe 1 None",
            "unsubscribe 1 None",
        ],
    );
}

#[test]
fn messages_have_what_was_announced() {
    check(
        "PUB a 2\r\nhi\r\nPUB a r 0\r\n\r\n",
        &["publish a - 0 \"hi\"", "publish a r 0 \"\""],
    );
    check(
        "HPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        &["publish a r 12 \"NATS/1.0\\r\\n\\r\\nhi\""],
    );
    check("PUB a 2\r\nhi!\r\n", &["! unknown protocol operation"]);
    check("PUB a 2\r\nhi\r\r\n", &["! unknown protocol operation"]);
    check("PUB a 1000\r\n", &[]);
    check("PUB a 1001\r\n", &["! maximum payload violation"]);
}

#[test]
fn bad_arguments_are_refused() {
    for line in [
        "PUB a",
        "PUB a b c d",
        "PUB a b 1 c",
        "PUB a -1",
        "PUB a x",
        "PUB a 9999999999",
    ] {
        check(&format!("{line}\r\n"), &["! bad arguments of PUB"]);
    }
    for line in [
        "HPUB a 1",
        "HPUB a x 1",
        "HPUB a 1 x",
        "HPUB a 3 2",
        "HPUB a b c 1 2",
    ] {
        check(&format!("{line}\r\n"), &["! bad arguments of HPUB"]);
    }
    check("SUB a\r\n", &["! bad arguments of SUB"]);
    check("SUB a b c d\r\n", &["! bad arguments of SUB"]);
    check("UNSUB a b c\r\n", &["! bad arguments of UNSUB"]);
    check("UNSUB \r\n", &["! bad arguments of UNSUB"]);
}

#[test]
fn garbage_is_refused_before_its_line_ends() {
    for start in [
        "G", "\r", " PING", "PX", "SUBX", "SUB\r", "MSG", "HM", "-ERX", "UNSUBS", "\u{7f}",
    ] {
        check(start, &["! unknown protocol operation"]);
    }
    check("-ERR 'x'\r\n", &["! the client sent an error line"]);
}

#[test]
fn a_line_is_bounded_with_and_without_its_end() {
    let argument = "a".repeat(LIMITS.control_line_bytes_max - 2);
    check(
        &format!("SUB {argument} 1\r\n"),
        &[&format!("subscribe {argument} - 1")],
    );
    for end in ["b 1\r\n", "b 1", "b 1\r"] {
        check(
            &format!("SUB {argument}{end}"),
            &["! maximum control line exceeded"],
        );
    }
    let blanks = " ".repeat(LIMITS.control_line_bytes_max + LINE_SLACK);
    check(
        &format!("SUB {blanks}"),
        &["! maximum control line exceeded"],
    );
    check(
        &format!("PING{blanks}"),
        &["! maximum control line exceeded"],
    );
}

#[test]
fn a_large_payload_is_asked_for() {
    let mut parser = Parser::new(LIMITS);
    let mut input = BytesMut::from(&b"PUB a 900\r\nxy"[..]);
    assert_eq!(parser.missing(&input), 0);
    assert_eq!(parser.next(&mut input), Ok(None));
    assert_eq!(parser.missing(&input), 900);
}

/// Something a client may send, well formed or not.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let line = |text: &'static str| Just(text.as_bytes().to_vec());
    prop_oneof![
        line("PING\r\n"),
        line("PONG\n"),
        line("CONNECT {\"verbose\":false}\r\n"),
        line("SUB a.* queue 12\r\n"),
        line("UNSUB 12 3\r\n"),
        line("PUB a.b 5\r\nhello\r\n"),
        line("PUB a.b reply 0\r\n\r\n"),
        line("HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"),
        line("PUB a 3\r\nfour\r\n"),
        line("SUB\r\n"),
        prop::collection::vec(any::<u8>(), 0..100).prop_map(|body| {
            let mut frame = format!("PUB x.y {}\r\n", body.len()).into_bytes();
            frame.extend_from_slice(&body);
            frame.extend_from_slice(b"\r\n");
            frame
        }),
        prop::collection::vec(any::<u8>(), 0..30),
        "[PSUHC +-][A-Z ]{0,80}\r?\n?".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn pieces_of_any_size_mean_the_same(
        pieces in prop::collection::vec(piece(), 0..12),
        cuts in prop::collection::vec(1_usize..40, 1..20),
    ) {
        let input = pieces.concat();
        let whole = parse([&input[..]]);
        let mut rest = &input[..];
        let mut parts = Vec::new();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (part, after) = rest.split_at((*cut).min(rest.len()));
            parts.push(part);
            rest = after;
        }
        prop_assert_eq!(parse(parts), whole);
    }

    #[test]
    fn any_bytes_are_taken_or_refused(input in prop::collection::vec(any::<u8>(), 0..400)) {
        parse([&input[..]]);
    }
}

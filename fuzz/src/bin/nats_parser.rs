//! The broker's parser of what NATS clients send: the same operations however the bytes arrive, and
//! no more memory than one line and one message.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use trellis_broker::protocol::encode::{self, Head};
use trellis_broker::protocol::messages::Connect;
use trellis_broker::protocol::parser::{Operation, ParseError, Parser, ParserLimits};
use trellis_fuzz::{Choices, pieces, within};

/// So small that inputs of a fuzzer reach them.
const LIMITS: ParserLimits = ParserLimits {
    control_line_bytes_max: 64,
    payload_bytes_max: 300,
};

/// The name of an operation and blanks around its arguments, line ends, and a margin.
const SLACK: usize = 128;

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    let cuts = choices.cuts();
    let input = choices.rest();
    within((1 << 16) + 64 * data.len(), || {
        let whole = parse([input]);
        assert_eq!(whole, parse(pieces(input, cuts)), "in pieces");
        assert_eq!(whole, parse(input.chunks(1)), "byte by byte");
        whole.0.iter().for_each(use_operation);
    });
});

type Outcome = (Vec<Operation>, Option<ParseError>);

fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut parser = Parser::new(LIMITS);
    let (mut input, mut found) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        let missing = parser.missing(&input);
        input.extend_from_slice(piece);
        let before = found.len();
        loop {
            match parser.next(&mut input) {
                Ok(Some(operation)) => found.push(operation),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
        assert!(
            found.len() == before || piece.len() >= missing,
            "whole too early"
        );
        let most = LIMITS.control_line_bytes_max + LIMITS.payload_bytes_max + SLACK;
        assert!(input.len() <= most, "{} bytes are kept", input.len());
        assert!(
            input.len() + parser.missing(&input) <= most,
            "more is asked for"
        );
    }
    (found, None)
}

fn use_operation(operation: &Operation) {
    match operation {
        Operation::Connect(json) => {
            if let Ok(connect) = serde_json::from_slice::<Connect>(json) {
                let _ = (connect.speaks_our_protocol(), format!("{connect:?}"));
            }
        }
        Operation::Publish(publish) => {
            let (headers, body) = (publish.headers_length(), publish.body());
            assert!(headers <= body.len());
            assert!(publish.shared_body_and_end(headers).ends_with(b"\r\n"));
            let head = Head {
                subject: publish.subject(),
                subscription: b"1",
                reply: publish.reply(),
                headers,
                total: body.len(),
            };
            let mut line = BytesMut::new();
            head.write(&mut line);
            assert!(line.len() <= head.length_max());
        }
        Operation::Subscribe(subscribe) => {
            let mut line = BytesMut::new();
            encode::error(&String::from_utf8_lossy(&subscribe.subject), &mut line);
            assert_eq!(line.iter().filter(|it| **it == b'\n').count(), 1);
        }
        _ => {}
    }
}

//! What the broker sends: fixed lines, error lines and the head of a message.

use bytes::{BufMut, BytesMut};

/// The answer to an operation of a verbose client.
pub const OK: &[u8] = b"+OK\r\n";
/// Asks whether the client is there.
pub const PING: &[u8] = b"PING\r\n";
/// Says that the broker is there.
pub const PONG: &[u8] = b"PONG\r\n";
/// Ends a line and a payload.
pub const END: &[u8] = b"\r\n";

/// The number of digits of the longest `usize`.
const DIGITS_MAX: usize = 20;

/// What stands before the payload of a delivered message.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The subject it was published to.
    pub subject: &'a [u8],
    /// The client's id of the subscription.
    pub subscription: &'a [u8],
    /// The subject to answer to.
    pub reply: Option<&'a [u8]>,
    /// The length of the headers in bytes; 0 for a message without.
    pub headers: usize,
    /// The length of headers and payload together in bytes.
    pub total: usize,
}

impl Head<'_> {
    /// Returns an upper bound of the length of the encoded head in bytes.
    pub fn length_max(&self) -> usize {
        let reply = self.reply.map_or(0, |it| it.len() + 1);
        "HMSG   ".len() + self.subject.len() + self.subscription.len() + reply + 2 * DIGITS_MAX + 3
    }

    /// Appends the head, a whole line, to `output`.
    pub fn write(&self, output: &mut BytesMut) {
        output.put_slice(if self.headers > 0 { b"HMSG " } else { b"MSG " });
        output.put_slice(self.subject);
        output.put_u8(b' ');
        output.put_slice(self.subscription);
        output.put_u8(b' ');
        if let Some(reply) = self.reply {
            output.put_slice(reply);
            output.put_u8(b' ');
        }
        if self.headers > 0 {
            put_number(output, self.headers);
            output.put_u8(b' ');
        }
        put_number(output, self.total);
        output.put_slice(END);
    }
}

/// Appends an error line. Quotes and line ends in `text` become blanks, so that it stays one line.
pub fn error(text: &str, output: &mut BytesMut) {
    output.put_slice(b"-ERR '");
    output.extend(text.bytes().map(|byte| match byte {
        b'\r' | b'\n' | b'\'' => b' ',
        byte => byte,
    }));
    output.put_slice(b"'\r\n");
}

fn put_number(output: &mut BytesMut, mut number: usize) {
    let mut digits = [0; DIGITS_MAX];
    let mut start = DIGITS_MAX;
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    output.put_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: Head<'_>, expected: &str) {
        let mut output = BytesMut::new();
        head.write(&mut output);
        assert_eq!(output, expected.as_bytes());
        assert!(output.len() <= head.length_max());
    }

    #[test]
    fn a_head_has_what_the_message_has() {
        let head = Head {
            subject: b"a.b",
            subscription: b"7",
            reply: None,
            headers: 0,
            total: 0,
        };
        check(head, "MSG a.b 7 0\r\n");
        let reply: Option<&[u8]> = Some(b"r");
        check(
            Head {
                reply,
                total: 1_048_576,
                ..head
            },
            "MSG a.b 7 r 1048576\r\n",
        );
        let long = Head {
            reply,
            headers: usize::MAX,
            total: usize::MAX,
            ..head
        };
        check(long, &format!("HMSG a.b 7 r {0} {0}\r\n", usize::MAX));
    }

    #[test]
    fn an_error_stays_one_line() {
        let mut output = BytesMut::new();
        error("no \"x'\r\ny\"", &mut output);
        assert_eq!(&output[..], b"-ERR 'no \"x   y\"'\r\n");
    }
}

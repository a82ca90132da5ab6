//! Lines of any kind, good and bad.

use crate::raw_client::{CONNECT, VERBOSE, check_all};
use crate::servers::Settings;

const UNKNOWN: &str = "-ERR 'Unknown Protocol Operation'\r\n<closed>";
const TOO_LONG: &str = "-ERR 'maximum control line exceeded'\r\n<closed>";
const CLOSED: &str = "<closed>";

#[tokio::test(flavor = "multi_thread")]
async fn operations_and_garbage() {
    let subject = "a".repeat(4_000);
    let longest = format!("SUB {subject} {}\r\n", "1".repeat(95));
    let long = format!("SUB {subject} {}\r\n", "1".repeat(96));
    let endless = format!("PUB {subject}{subject}");
    let cases = [
        ("PING\r\n", "PONG\r\n"),
        ("ping\n", "PONG\r\n"),
        ("PINGX\r\nPING a b\r\n", "PONG\r\nPONG\r\n"),
        ("PONG\r\n+OK\r\nINFO {}\r\n", ""),
        ("GARBAGE\r\n", UNKNOWN),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", UNKNOWN),
        ("\r\n", UNKNOWN),
        ("\u{0}\u{1}\u{2}", UNKNOWN),
        ("MSG a 1 1\r\nx\r\n", UNKNOWN),
        ("SUBX a 1\r\n", UNKNOWN),
        ("-ERR 'x'\r\n", CLOSED),
        ("SUB\r\n", UNKNOWN),
        ("SUB a\r\n", CLOSED),
        ("SUB a b c d\r\n", CLOSED),
        ("PUB\r\n", UNKNOWN),
        ("PUB a\r\n", CLOSED),
        ("PUB a b 1 c\r\nx\r\n", CLOSED),
        ("PUB a x\r\n", CLOSED),
        ("PUB a -1\r\n", CLOSED),
        ("PUB a 99999999999999\r\n", CLOSED),
        ("HPUB a 20\r\n", CLOSED),
        ("HPUB a x 20\r\n", CLOSED),
        ("HPUB a 30 20\r\n", CLOSED),
        ("UNSUB\r\n", UNKNOWN),
        ("UNSUB 1 2 3\r\n", CLOSED),
        ("UNSUB 9\r\n", ""),
        (&longest, ""),
        (&long, TOO_LONG),
        (&endless, TOO_LONG),
    ];
    check_all(&Settings::default(), CONNECT, &cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connecting_in_many_ways() {
    let cases = [
        ("PING\r\n", "PONG\r\n+OK\r\n+OK\r\n"),
        ("CONNECT {bad}\r\n", CLOSED),
        ("CONNECT\r\n", CLOSED),
        ("CONNECT []\r\n", CLOSED),
        ("CONNECT {\"verbose\":\"x\"}\r\n", CLOSED),
        ("CONNECT {}\r\n", "+OK\r\n+OK\r\n+OK\r\n"),
        ("CONNECT {\"verbose\":false}\r\n", ""),
        (
            "CONNECT {\"protocol\":9}\r\n",
            "-ERR 'invalid client protocol'\r\n<closed>",
        ),
        (
            "CONNECT {\"no_responders\":true}\r\n",
            "-ERR 'no responders requires headers support'\r\n<closed>",
        ),
    ];
    check_all(&Settings::default(), "", &cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verbose_client_is_told_of_each_operation() {
    let cases = [
        (
            "SUB a 1\r\nSUB a 1\r\nPUB a 2\r\nhi\r\nUNSUB 1\r\nUNSUB 1\r\nPING\r\nPONG\r\n",
            "+OK\r\n+OK\r\n+OK\r\n+OK\r\nMSG a 1 2\r\nhi\r\n+OK\r\n+OK\r\nPONG\r\n+OK\r\n+OK\r\n",
        ),
        (
            "SUB a..b 1\r\n",
            "+OK\r\n-ERR 'Invalid Subject'\r\n+OK\r\n+OK\r\n",
        ),
    ];
    check_all(&Settings::default(), VERBOSE, &cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pedantic_client_is_told_of_bad_subjects() {
    let connect = "CONNECT {\"verbose\":false,\"pedantic\":true}\r\n";
    let cases = [
        (
            "SUB a.* 1\r\nPUB a.* 1\r\nx\r\n",
            "-ERR 'Invalid Publish Subject'\r\nMSG a.* 1 1\r\nx\r\n",
        ),
        (
            "SUB > 1\r\nPUB a..b 1\r\nx\r\nUNSUB 1\r\n",
            "-ERR 'Invalid Publish Subject'\r\n",
        ),
    ];
    check_all(&Settings::default(), connect, &cases).await;
}

//! Streams and futures from a component on one host to a component on another, through a real NATS server.

use std::net::SocketAddr;

use rustix::process::Signal;
use trellis_tests::{Client, Response, Site, get, wait_until};

/// A caller on the first host, linked to a callee on the second.
fn linked() -> (Site, SocketAddr) {
    let site = Site::of(2);
    let [first, second] = [0, 1].map(|it: usize| site.hosts[it].host_id());
    site.start("stream_callee", "callee", &["--host", &second]);
    site.start("stream_caller", "caller", &["--host", &first]);
    site.ask(&[
        "link",
        "put",
        "caller",
        "callee",
        "trellis-test",
        "streams",
        "--interface",
        "api",
    ]);
    let address = site.serve(0, "caller");
    wait_until("the link is bound", || {
        let client = Client::connect(address, "any");
        let answer = client.and_then(|mut client| client.get("/ask?question=ready"));
        answer.is_ok_and(|it| it.status == 200)
    });
    (site, address)
}

fn class(answer: &Response) -> Option<&str> {
    answer.header("x-trellis-error")
}

#[test]
fn streams_and_futures_arrive_whole_on_another_host() {
    let (_site, address) = linked();
    assert_eq!(get(address, "/ask?question=far").text(), "far - yes\n");
    for bytes in [0, 1, 8 << 20] {
        let down = get(address, &format!("/download?bytes={bytes}"));
        assert_eq!(down.status, 200, "{}", down.text());
        let count = format!("{bytes} ");
        assert!(down.text().starts_with(&count), "{}", down.text());
        for deed in ["upload", "echo"] {
            let answer = get(address, &format!("/{deed}?bytes={bytes}"));
            assert_eq!(answer.text(), down.text(), "{deed} of {bytes}");
        }
    }
    let measured = get(address, "/measured?bytes=300000").text();
    assert_eq!(measured, get(address, "/download?bytes=300000").text());
    assert_eq!(get(address, "/measured?bytes=0").text(), "nothing\n");

    // A reader may stop early.
    let taken = get(address, "/download?bytes=8388608&take=1000").text();
    assert_eq!(taken, get(address, "/download?bytes=1000").text());
    let taken = get(address, "/upload?bytes=8388608&most=1000").text();
    assert_eq!(taken, get(address, "/download?bytes=1000").text());
}

#[test]
fn elements_of_all_types_and_streams_inside_of_others_arrive_on_another_host() {
    let (_site, address) = linked();
    let deeds = [
        ("count?count=50000", "50000\n"),
        ("count?count=1000000&take=10", "10\n"),
        ("typed/texts?count=500", "500\n"),
        ("typed/readings?count=500", "500\n"),
        ("typed/tokens?count=500", "500\n"),
        ("typed/ticks?count=500", "500\n"),
        ("typed/pass?count=500", "500\n"),
        ("typed/texts?count=100000&take=10", "10\n"),
        ("typed/join?count=20", "20\n"),
        ("typed/twice?count=60", "60\n"),
        ("typed/answers?count=60", "60 40\n"),
        // More, one after the other, than a call may have at once; and some that nobody reads.
        ("typed/groups?count=300", "300 44850\n"),
        ("typed/groups?count=300&take=10", "10 45\n"),
        ("typed/kept?count=200000", "200000\n"), // more than a window
        ("typed/pass-groups?count=30", "30\n"),
        ("typed/pass-groups?count=300&take=10", "10\n"),
    ];
    for (deed, expected) in deeds {
        assert_eq!(get(address, &format!("/{deed}")).text(), expected, "{deed}");
    }
}

#[test]
fn a_stream_that_breaks_on_another_host_is_an_error() {
    let (site, address) = linked();
    for path in [
        "/download?bytes=1000000&ending=trap",
        "/upload?bytes=1000000&ending=trap",
        "/count?count=5000&ending=trap",
        "/typed/texts?count=500&ending=trap",
        "/typed/groups?count=30&ending=trap", // inside of the last one
        "/ask?question=trap",
    ] {
        let answer = get(address, path);
        assert_eq!(
            (answer.status, class(&answer)),
            (500, Some("trap")),
            "{path}: {}",
            answer.text()
        );
    }
    assert_eq!(get(address, "/echo?bytes=1").status, 200);

    // The host of the writer dies: in the middle, as far as a test can tell.
    let waiting = std::thread::spawn(move || get(address, "/download?bytes=1&ending=wait"));
    site.ask(&["ping"]);
    site.hosts[1].signal(Signal::KILL);
    let answer = waiting.join().unwrap();
    assert_eq!(
        (answer.status, class(&answer)),
        (503, Some("unavailable")),
        "{}",
        answer.text()
    );
}

//! H6: clients that misuse HTTP/2 are cut off, cost little memory, and others do not notice.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::Pair;
use super::http2_frames::{
    CONTINUATION, Connection, DATA, END_HEADERS, END_STREAM, FRAME_BYTES_MAX, HEADERS, Method,
    PING, RST_STREAM, SETTINGS, frame, request, string,
};
use crate::lab::load::at_once;
use crate::lab::{Lab, Report, waiting};

/// Frames of each flood.
const FRAMES: usize = 100_000;

/// Frames that leave in one write.
const TOGETHER: usize = 100;

/// A connection without a request is told to go after 10 s and closed after as many.
const CLOSED_WITHIN: Duration = Duration::from_secs(22);

/// An answer that nobody takes is given up after 30 to 45 s.
const UNREAD_CLOSED_WITHIN: Duration = Duration::from_secs(47);

/// Streams that one connection may have open at once.
const STREAMS: u32 = 100;

/// Requests with too many headers, a frame of the greatest size each.
const BOMBS: usize = 600;

/// Requests at once that the component has seen before anything is compared.
const WARM_CALLS: usize = 200;

/// Requests of [`decent`] that are not taken back.
const DECENT: usize = 3;

/// `CANCEL`, as the payload of a frame that takes a request back.
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// What a flood may cost of memory.
const MEMORY_GROWTH_MAX: u64 = 64 << 20;

/// What a flood came to.
struct Flood {
    /// What it is called.
    name: &'static str,
    /// Frames that the server took.
    sent: usize,
    /// From the first frame of a connection to its end; `None` where it did not end.
    closed: Vec<Option<Duration>>,
    /// What it may take.
    limit: Duration,
}

pub(super) fn run(lab: &Lab, report: &mut Report) -> Result<()> {
    let pair = Pair::start(lab, "http2_floods", "misbehaver_p3", json!({}))?;
    // What the component itself needs for so many requests at once is not what a flood costs.
    at_once(
        &pair.plan(lab, "/sleep?ms=100", 1, 1),
        WARM_CALLS,
        WARM_CALLS,
    )?;
    let watched = pair.watch(lab)?;
    let answered = decent(pair.address)?;
    let what = "requests made of the same frames in decent numbers, unanswered";
    report.none_of("H6", what, DECENT - answered, DECENT);
    let resting = pair.descriptors()?;
    let start = Instant::now();
    let mut greediest = (0, "none");
    let floods: [fn(SocketAddr) -> Result<Flood>; 7] = [
        rapid_reset,
        continuations,
        pings,
        settings,
        empty_data,
        header_bomb,
        unread_answers,
    ];
    for flood in floods {
        let memory = pair.begin_memory()?;
        let flood = flood(pair.address)?;
        let growth = pair.memory("VmHWM")?.saturating_sub(memory);
        greediest = greediest.max((growth, flood.name));
        let what = format!("until {} ends ({} frames)", flood.name, flood.sent);
        report.longest("H6", &what, &flood.closed, flood.limit);
        waiting::go_on()?;
    }
    let let_go = pair.let_go(resting, CLOSED_WITHIN)?;
    let what = "until the host holds no connection more than before";
    report.longest("H6", what, &[let_go], CLOSED_WITHIN);
    let what = format!("memory beyond that before, at most, by {}", greediest.1);
    report.line(
        "H6",
        &what,
        format!("{} MiB", greediest.0 >> 20),
        &format!("at most {} MiB", MEMORY_GROWTH_MAX >> 20),
        greediest.0 <= MEMORY_GROWTH_MAX,
    );
    let times = watched.tell(report, "H6", start)?;
    report.slowdown("H6", "the neighbour's p99 meanwhile", times, 2.0);
    Ok(())
}

/// Sends some of every frame that the floods are made of, as it is meant, and returns how many requests are answered:
/// a flood that ends for a slip of ours would show nothing.
fn decent(address: SocketAddr) -> Result<usize> {
    let mut connection = Connection::open(address, &[])?;
    let mut bytes = Vec::new();
    frame(&mut bytes, PING, 0, 0, b"floodest");
    frame(&mut bytes, SETTINGS, 0, 0, &[]);
    frame(
        &mut bytes,
        HEADERS,
        END_STREAM,
        1,
        &request(Method::Get, "/"),
    );
    frame(&mut bytes, CONTINUATION, END_HEADERS, 1, &plain_field());
    let posted = request(Method::Post, "/echo");
    frame(&mut bytes, HEADERS, END_HEADERS, 3, &posted);
    frame(&mut bytes, DATA, 0, 3, &[]);
    frame(&mut bytes, DATA, END_STREAM, 3, &[]);
    let remembered = remembering(2);
    frame(
        &mut bytes,
        HEADERS,
        END_HEADERS | END_STREAM,
        5,
        &remembered,
    );
    let block = request(Method::Get, "/sleep?ms=1000");
    frame(&mut bytes, HEADERS, END_HEADERS | END_STREAM, 7, &block);
    frame(&mut bytes, RST_STREAM, 0, 7, &CANCEL);
    connection.send(&bytes, Instant::now() + CLOSED_WITHIN);
    let answered = waiting::within(CLOSED_WITHIN, || {
        Ok((connection.answers() >= DECENT).then_some(()))
    })?;
    Ok(answered.map_or_else(|| connection.answers().min(DECENT), |_| DECENT))
}

/// Sends [`FRAMES`] frames over one connection and waits for its end.
fn flood(
    name: &'static str,
    mut connection: Connection,
    opening: &[u8],
    one: &[u8],
) -> Result<Flood> {
    let start = Instant::now();
    let until = start + CLOSED_WITHIN;
    let batch = one.repeat(TOGETHER);
    let mut sent = 0;
    let mut is_taken = connection.send(opening, until);
    while is_taken && sent < FRAMES {
        is_taken = connection.send(&batch, until);
        sent += if is_taken { TOGETHER } else { 0 };
        waiting::go_on()?;
    }
    let closed = closed_within(&mut connection, start, CLOSED_WITHIN)?;
    Ok(Flood {
        name,
        sent,
        closed: vec![closed],
        limit: CLOSED_WITHIN,
    })
}

fn closed_within(
    connection: &mut Connection,
    start: Instant,
    limit: Duration,
) -> Result<Option<Duration>> {
    let left = limit.saturating_sub(start.elapsed());
    let seen = waiting::within(left, || Ok(connection.is_closed().then_some(())))?;
    Ok(seen.map(|_| start.elapsed()))
}

/// Requests that are taken back at once, over as many connections as it takes.
fn rapid_reset(address: SocketAddr) -> Result<Flood> {
    let block = request(Method::Get, "/sleep?ms=1000");
    let (mut sent, mut closed) = (0, Vec::new());
    while sent < FRAMES {
        let mut connection = Connection::open(address, &[])?;
        let start = Instant::now();
        let mut stream = 1;
        let mut is_taken = true;
        while is_taken && sent < FRAMES {
            let mut batch = Vec::new();
            for _ in 0..TOGETHER {
                frame(
                    &mut batch,
                    HEADERS,
                    END_HEADERS | END_STREAM,
                    stream,
                    &block,
                );
                frame(&mut batch, RST_STREAM, 0, stream, &CANCEL);
                stream += 2;
            }
            is_taken = connection.send(&batch, start + CLOSED_WITHIN);
            sent += if is_taken { TOGETHER } else { 0 };
            waiting::go_on()?;
        }
        closed.push(closed_within(&mut connection, start, CLOSED_WITHIN)?);
        if closed.last() == Some(&None) {
            break;
        }
    }
    Ok(Flood {
        name: "rapid reset",
        sent,
        closed,
        limit: CLOSED_WITHIN,
    })
}

/// Headers that never end.
fn continuations(address: SocketAddr) -> Result<Flood> {
    let mut opening = Vec::new();
    frame(
        &mut opening,
        HEADERS,
        END_STREAM,
        1,
        &request(Method::Get, "/"),
    );
    let mut one = Vec::new();
    frame(&mut one, CONTINUATION, 0, 1, &plain_field());
    let connection = Connection::open(address, &[])?;
    flood("headers without end", connection, &opening, &one)
}

/// Returns a field that no table remembers.
fn plain_field() -> Vec<u8> {
    let mut field = vec![0];
    string(&mut field, "x-field");
    string(&mut field, &"v".repeat(100));
    field
}

fn pings(address: SocketAddr) -> Result<Flood> {
    let mut one = Vec::new();
    frame(&mut one, PING, 0, 0, b"floodest");
    flood(
        "a flood of pings",
        Connection::open(address, &[])?,
        &[],
        &one,
    )
}

fn settings(address: SocketAddr) -> Result<Flood> {
    let mut one = Vec::new();
    frame(&mut one, SETTINGS, 0, 0, &[]);
    let connection = Connection::open(address, &[])?;
    flood("a flood of settings", connection, &[], &one)
}

/// A body that goes on without a byte.
fn empty_data(address: SocketAddr) -> Result<Flood> {
    let mut opening = Vec::new();
    frame(
        &mut opening,
        HEADERS,
        END_HEADERS,
        1,
        &request(Method::Post, "/echo"),
    );
    let mut one = Vec::new();
    frame(&mut one, DATA, 0, 1, &[]);
    let connection = Connection::open(address, &[])?;
    flood("a body of empty pieces", connection, &opening, &one)
}

/// The field that was last added to the table, by a byte.
const REMEMBERED: u8 = 0x80 | 62;

/// Returns the headers of a request with a field of 4,000 bytes that is added to the table, and meant so many times
/// more.
fn remembering(times: usize) -> Vec<u8> {
    let mut block = request(Method::Get, "/");
    block.push(0x40);
    string(&mut block, "x-bomb");
    string(&mut block, &"v".repeat(4_000));
    block.resize(block.len() + times, REMEMBERED);
    block
}

/// Small frames that stand for headers of many megabytes: a field of the dynamic table, thousands of times.
fn header_bomb(address: SocketAddr) -> Result<Flood> {
    let mut connection = Connection::open(address, &[])?;
    let start = Instant::now();
    let until = start + CLOSED_WITHIN;
    let (mut stream, mut sent, mut is_taken) = (1, 0, true);
    while is_taken && sent < BOMBS {
        let mut block = remembering(0);
        block.resize(FRAME_BYTES_MAX, REMEMBERED);
        let mut bytes = Vec::new();
        frame(
            &mut bytes,
            HEADERS,
            END_HEADERS | END_STREAM,
            stream,
            &block,
        );
        is_taken = connection.send(&bytes, until);
        sent += usize::from(is_taken);
        stream += 2;
        waiting::go_on()?;
    }
    let closed = closed_within(&mut connection, start, CLOSED_WITHIN)?;
    Ok(Flood {
        name: "a bomb of headers",
        sent,
        closed: vec![closed],
        limit: CLOSED_WITHIN,
    })
}

/// Large answers that the client leaves no room for.
fn unread_answers(address: SocketAddr) -> Result<Flood> {
    /// `SETTINGS_INITIAL_WINDOW_SIZE`, and none.
    const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];
    let mut connection = Connection::open(address, &NO_WINDOW)?;
    let start = Instant::now();
    let block = request(Method::Get, "/big?mib=8");
    let mut bytes = Vec::new();
    for stream in (1..).step_by(2).take(STREAMS as usize) {
        frame(
            &mut bytes,
            HEADERS,
            END_HEADERS | END_STREAM,
            stream,
            &block,
        );
    }
    let is_taken = connection.send(&bytes, start + UNREAD_CLOSED_WITHIN);
    let closed = closed_within(&mut connection, start, UNREAD_CLOSED_WITHIN)?;
    Ok(Flood {
        name: "a connection that takes no answers",
        sent: if is_taken { STREAMS as usize } else { 0 },
        closed: vec![closed],
        limit: UNREAD_CLOSED_WITHIN,
    })
}

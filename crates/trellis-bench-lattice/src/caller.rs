//! The calling end of a measurement: it obeys lines of its standard input, and answers each with figures.
//!
//! The published peer in `tests/interop/` includes this file too, so that every way of calling is measured by the
//! same code. It must know no transport and nothing of this crate.

use std::fmt::{self, Display, Formatter, Write as _};
use std::io::{self, BufRead, Write as _};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// What a process says once it can be called, or told to call.
pub(crate) const READY: &str = "ready";

/// A call that takes longer is lost, and the measurement with it.
const CALL_MAX: Duration = Duration::from_secs(5);

/// One way of calling a function that gives back what it was given.
pub(crate) trait Caller: Clone + Send + Sync + 'static {
    /// Calls once. Without bytes it is a function without parameters and results, where there is such.
    fn call(&self, payload: Bytes) -> impl Future<Output = Result<Bytes>> + Send;
}

/// What one line asks for: `BYTES IN_FLIGHT MILLISECONDS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Bytes that go there and back.
    pub(crate) bytes: usize,
    /// Calls under way at once.
    pub(crate) in_flight: usize,
    /// How long it is called.
    pub(crate) milliseconds: u64,
}

/// What one line answers: the nanoseconds in all, the calls, those lost, and the nanoseconds of each call that was
/// alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measured {
    /// From the first call to the end of the last.
    pub(crate) nanoseconds: u64,
    /// How many were answered.
    pub(crate) calls: u64,
    /// How many were not; with any, the figures are worth nothing.
    pub(crate) lost: u64,
    /// What each took, with one call in flight.
    pub(crate) each: Vec<u64>,
}

/// Says that this process is ready, then measures as it is told, until nobody tells it any more.
pub(crate) fn obey(runtime: &Runtime, caller: &impl Caller) -> Result<()> {
    say(READY)?;
    for line in io::stdin().lock().lines() {
        let wanted = line.context("nobody says what to measure")?.parse()?;
        // On a worker of the runtime, as calls of a host are.
        let measured = runtime.spawn(measure(caller.clone(), wanted));
        say(runtime.block_on(measured)??)?;
    }
    Ok(())
}

/// Says that this process is ready, then waits until nobody needs it any more.
pub(crate) fn stand_by() -> Result<()> {
    say(READY)?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn say(line: impl Display) -> Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{line}").context("nobody reads the figures")?;
    stdout.flush().context("nobody reads the figures")
}

async fn measure(caller: impl Caller, wanted: Wanted) -> Result<Measured> {
    let payload = Bytes::from(vec![7; wanted.bytes]);
    let begin = Instant::now();
    let end = begin + Duration::from_millis(wanted.milliseconds);
    let mut measured = Measured::default();
    let mut callers = JoinSet::new();
    for _ in 0..wanted.in_flight {
        callers.spawn(alone(caller.clone(), payload.clone(), end));
    }
    while let Some(one) = callers.join_next().await {
        let one = one??;
        measured.calls += one.each.len() as u64;
        measured.lost += one.lost;
        if wanted.in_flight == 1 {
            measured.each = one.each;
        }
    }
    measured.nanoseconds = nanoseconds(begin.elapsed());
    Ok(measured)
}

/// Calls again and again until `end`, at least once, or until a call is lost.
async fn alone(caller: impl Caller, payload: Bytes, end: Instant) -> Result<Measured> {
    let mut measured = Measured::default();
    let mut begin = Instant::now();
    while measured.each.is_empty() || begin < end {
        let call = caller.call(payload.clone());
        let Ok(answer) = tokio::time::timeout(CALL_MAX, call).await else {
            measured.lost = 1;
            break;
        };
        let now = Instant::now();
        let (received, sent) = (answer?.len(), payload.len());
        ensure!(received == sent, "{received} bytes came back of {sent}");
        measured.each.push(nanoseconds(now - begin));
        begin = now;
    }
    Ok(measured)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Display for Wanted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.bytes, self.in_flight, self.milliseconds)
    }
}

impl FromStr for Wanted {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        let mut words = line.split_ascii_whitespace();
        let mut next = || words.next().context("a line has three numbers");
        Ok(Self {
            bytes: next()?.parse()?,
            in_flight: next()?.parse()?,
            milliseconds: next()?.parse()?,
        })
    }
}

impl Display for Measured {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut line = format!("{} {} {}", self.nanoseconds, self.calls, self.lost);
        for each in &self.each {
            write!(line, " {each}")?;
        }
        f.write_str(&line)
    }
}

impl FromStr for Measured {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        let mut numbers = line.split_ascii_whitespace().map(str::parse);
        let mut next = || numbers.next().context("an answer has three numbers");
        Ok(Self {
            nanoseconds: next()??,
            calls: next()??,
            lost: next()??,
            each: numbers.collect::<Result<_, _>>()?,
        })
    }
}

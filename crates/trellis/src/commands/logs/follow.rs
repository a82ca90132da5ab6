//! Following log lines: listens first, then asks each host to publish, and asks again before that ends.

use std::collections::BTreeMap;
use std::time::Duration;

use trellis_control::{FOLLOW_MAX, HostId, LogLine, LogSource};
use trellis_core::with_causes;

use super::{Logs, latest, show, sources};
use crate::connection::Session;
use crate::failure::Failure;
use crate::output::Reader;

/// How often hosts are asked to go on, which also finds those that started meanwhile. Half of what one
/// request is good for, so that one may be lost.
const RENEW_INTERVAL: Duration = Duration::from_secs(FOLLOW_MAX.as_secs() / 2);

/// Shows lines until Ctrl-C.
///
/// # Errors
/// When no host answers, or the connection is closed.
pub(super) async fn run(
    session: &Session,
    arguments: &Logs,
    first: Vec<HostId>,
) -> Result<(), Failure> {
    let source = match &arguments.id {
        Some(id) => LogSource::Component(id.clone()),
        None => LogSource::Host,
    };
    let one_host = match (&arguments.host, first.as_slice()) {
        (Some(_), [host]) => Some(host.clone()),
        _ => None,
    };
    let lines = session.client.log_lines(one_host.as_ref(), &source).await;
    let mut lines = lines.map_err(|error| session.failure(&error))?;
    let follow_ms = u64::try_from(FOLLOW_MAX.as_millis()).unwrap_or(u64::MAX);
    let mut command = arguments.tail(follow_ms);
    let mut seen = Seen::default();
    for line in latest(session, &first, &command).await? {
        if seen.is_new(&line) && show(&line, arguments.options.output)? == Reader::Gone {
            return Ok(());
        }
    }
    command.lines = 0;
    let mut renew = tokio::time::interval(RENEW_INTERVAL);
    renew.reset();
    loop {
        tokio::select! {
            line = lines.next() => match line {
                Some(Ok(line)) => {
                    seen.tell_gap(&line);
                    if seen.is_new(&line) && show(&line, arguments.options.output)? == Reader::Gone {
                        return Ok(());
                    }
                }
                Some(Err(error)) => eprintln!("warning: {}", with_causes(&error)),
                None => return Err(session.failed("the connection was closed", None)),
            },
            _ = renew.tick() => {
                // A lattice that is away for a moment is asked again the next time.
                if let Ok(hosts) = sources(session, arguments).await {
                    drop(latest(session, &hosts, &command).await);
                }
            }
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

/// The latest line of each host: a line comes both as one of the latest and as a new one.
#[derive(Debug, Default)]
struct Seen(BTreeMap<String, u64>);

impl Seen {
    fn is_new(&mut self, line: &LogLine) -> bool {
        match self.0.get_mut(&line.host_id) {
            Some(latest) if line.sequence > *latest => {
                *latest = line.sequence;
                true
            }
            // A host that was started again counts from the beginning.
            Some(latest) if line.sequence == 0 && *latest > 0 => {
                *latest = 0;
                true
            }
            Some(_) => false,
            None => {
                self.0.insert(line.host_id.clone(), line.sequence);
                true
            }
        }
    }

    fn tell_gap(&self, line: &LogLine) {
        let next = self.0.get(&line.host_id).map(|it| it.saturating_add(1));
        if let Some(lost) = next.and_then(|next| line.sequence.checked_sub(next))
            && lost > 0
        {
            eprintln!(
                "warning: {lost} lines of host {} were lost here",
                line.host_id
            );
        }
    }
}

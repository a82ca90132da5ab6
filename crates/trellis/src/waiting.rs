//! Waits until what was asked for is so, or says why it is not.
//!
//! Hosts answer a command before the work is done. Their events tell at once how it ended; because an
//! event can be lost, the host itself is asked from time to time too.

use std::time::Duration;

use clap::Args;
use trellis_control::{
    ClientError, CloudEvent, Event, EventKind, Events, HostId, HostInventory, HostStatus,
};
use trellis_lattice::RequestError;

use crate::connection::Session;
use crate::duration;
use crate::failure::{Failure, said};
use crate::progress::Spinner;

/// How often a host is asked although no event told of a change.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// How long to wait where nobody says: a large component on a small machine compiles within it.
pub(crate) const WAIT_DEFAULT: Duration = Duration::from_secs(60);

/// Whether and how long to wait.
#[derive(Args, Clone, Debug)]
pub(crate) struct WaitOptions {
    /// Return as soon as the host has accepted the command
    #[arg(long)]
    pub(crate) no_wait: bool,

    /// Wait this long until it is done [default: 1m]
    #[arg(long, value_name = "TIME", value_parser = duration::parse, conflicts_with = "no_wait")]
    pub(crate) wait: Option<Duration>,
}

/// What is waited for on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// A component takes calls with so many instances, of this image where one is given.
    ComponentReady {
        id: String,
        instances: u32,
        image: Option<String>,
    },
    /// A component does not run any more.
    ComponentGone { id: String },
    /// A provider serves.
    ProviderReady { id: String },
    /// The host does not answer any more.
    HostGone,
}

/// A goal and its host.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) host: HostId,
    /// The name of the host for people.
    pub(crate) host_label: String,
    pub(crate) goal: Goal,
}

/// How far a goal is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Progress {
    Reached,
    /// Not yet, and why, where the host says.
    Pending(Option<String>),
    Failed(String),
}

/// Listens to what happens, to be called before the command is sent.
///
/// # Errors
/// When the connection fails.
pub(crate) async fn listen(session: &Session) -> Result<Events, Failure> {
    let kinds = [
        EventKind::ComponentScaled,
        EventKind::ComponentScaleFailed,
        EventKind::ProviderStarted,
        EventKind::ProviderStartFailed,
        EventKind::ProviderExited,
        EventKind::HostStopped,
    ];
    let events = session.client.events(&kinds).await;
    events.map_err(|error| session.failure(&error))
}

/// Waits until every goal is reached.
///
/// # Errors
/// When one fails, or is not reached in time.
pub(crate) async fn until(
    session: &Session,
    mut events: Events,
    mut pending: Vec<Expected>,
    options: &WaitOptions,
) -> Result<(), Failure> {
    let limit = options.wait.unwrap_or(WAIT_DEFAULT);
    let spinner = Spinner::new();
    let end = tokio::time::sleep(limit);
    tokio::pin!(end);
    let mut ask = tokio::time::interval(ASK_INTERVAL);
    ask.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut why = None;
    while let Some(first) = pending.first() {
        spinner.show(&first.doing());
        let concerned = tokio::select! {
            biased;
            event = events.next() => match event {
                Some(Ok(event)) => {
                    check_failures(session, &pending, &event)?;
                    Some(event.source)
                }
                // An event that cannot be read is somebody else's.
                Some(Err(_)) => continue,
                None => return Err(session.failed("the connection was closed", None)),
            },
            _ = ask.tick() => None,
            () = &mut end => return Err(too_late(session, first, limit, why)),
        };
        let mut rest = Vec::new();
        for expected in pending {
            if concerned
                .as_ref()
                .is_some_and(|host| host != expected.host.as_str())
            {
                rest.push(expected);
                continue;
            }
            match look(session, &expected).await? {
                Progress::Reached => {}
                Progress::Pending(reason) => {
                    why = reason;
                    rest.push(expected);
                }
                Progress::Failed(reason) => return Err(expected.failed(session, &reason)),
            }
        }
        pending = rest;
    }
    Ok(())
}

/// Finds the event that says that a goal will not be reached.
fn check_failures(
    session: &Session,
    pending: &[Expected],
    event: &CloudEvent,
) -> Result<(), Failure> {
    let of_host = pending.iter().filter(|it| it.host.as_str() == event.source);
    for expected in of_host {
        if let Some(reason) = expected.goal.failure(&event.event) {
            return Err(expected.failed(session, &reason));
        }
    }
    Ok(())
}

/// Asks the host how far the goal is.
async fn look(session: &Session, expected: &Expected) -> Result<Progress, Failure> {
    let client = &session.client;
    match client.status(&expected.host).await {
        Ok(status) => return Ok(expected.goal.of_status(&status)),
        // A host of 1.x, or none.
        Err(ClientError::Nobody { .. }) => {}
        Err(error) => return unanswered(session, &expected.goal, &error),
    }
    match client.host_inventory(&expected.host).await {
        Ok(inventory) => Ok(expected.goal.of_inventory(&inventory)),
        Err(ClientError::Nobody { .. }) => Ok(match expected.goal {
            Goal::HostGone => Progress::Reached,
            _ => Progress::Failed("the host is gone".to_owned()),
        }),
        Err(error) => unanswered(session, &expected.goal, &error),
    }
}

/// A host that is busy, or a connection that comes back, may answer the next time.
fn unanswered(session: &Session, goal: &Goal, error: &ClientError) -> Result<Progress, Failure> {
    match error {
        ClientError::NoAnswer { .. } => Ok(Progress::Pending(Some(
            "the host does not answer".to_owned(),
        ))),
        ClientError::Connection { source, .. }
            if !matches!(source, RequestError::Denied { .. }) =>
        {
            // An embedded lattice ends with its host.
            if *goal == Goal::HostGone && session.resolved.is_embedded() {
                return Ok(Progress::Reached);
            }
            Ok(Progress::Pending(Some("the connection is lost".to_owned())))
        }
        error => Err(session.failure(error)),
    }
}

impl Goal {
    fn of_status(&self, status: &HostStatus) -> Progress {
        match self {
            Self::ComponentReady {
                id,
                instances,
                image,
            } => match status.components.iter().find(|it| it.id == *id) {
                Some(it)
                    if it.ready
                        && it.max_instances == *instances
                        && image.as_ref().is_none_or(|image| *image == it.image_ref) =>
                {
                    Progress::Reached
                }
                found => Progress::Pending(found.and_then(|it| it.why.clone())),
            },
            Self::ComponentGone { id } => {
                reached(!status.components.iter().any(|it| it.id == *id && it.ready))
            }
            Self::ProviderReady { id } => match status.providers.iter().find(|it| it.id == *id) {
                Some(it) if it.ready => Progress::Reached,
                found => Progress::Pending(found.and_then(|it| it.why.clone())),
            },
            Self::HostGone => Progress::Pending(Some(status.why.clone())),
        }
    }

    /// An inventory of 1.x lists what was compiled and started.
    fn of_inventory(&self, inventory: &HostInventory) -> Progress {
        let component = |id: &str| inventory.components.iter().find(|it| it.id == id);
        match self {
            Self::ComponentReady {
                id,
                instances,
                image,
            } => reached(component(id).is_some_and(|it| {
                it.max_instances == *instances
                    && image.as_ref().is_none_or(|image| *image == it.image_ref)
            })),
            Self::ComponentGone { id } => reached(component(id).is_none()),
            Self::ProviderReady { id } => {
                reached(inventory.providers.iter().any(|it| it.id == *id))
            }
            Self::HostGone => Progress::Pending(None),
        }
    }

    /// Returns why `event` of the host ends all hope.
    fn failure(&self, event: &Event) -> Option<String> {
        match (self, event) {
            (Self::HostGone, _) => None,
            (_, Event::HostStopped(_)) => Some("the host was stopped".to_owned()),
            (
                Self::ComponentReady { id, .. } | Self::ComponentGone { id },
                Event::ComponentScaleFailed(it),
            ) if it.component_id == *id => Some(it.error.clone()),
            (Self::ProviderReady { id }, Event::ProviderStartFailed(it))
                if it.provider_id == *id =>
            {
                Some(it.error.clone())
            }
            // The host tries again, but who started it is to know at once what keeps it from serving.
            (Self::ProviderReady { id }, Event::ProviderExited(it)) if it.provider_id == *id => {
                Some(it.reason.clone())
            }
            _ => None,
        }
    }

    fn id(&self) -> &str {
        match self {
            Self::ComponentReady { id, .. }
            | Self::ComponentGone { id }
            | Self::ProviderReady { id } => id,
            Self::HostGone => "",
        }
    }
}

fn reached(reached: bool) -> Progress {
    if reached {
        Progress::Reached
    } else {
        Progress::Pending(None)
    }
}

impl Expected {
    fn doing(&self) -> String {
        let (verb, id, host) = match &self.goal {
            Goal::ComponentReady { id, .. } | Goal::ProviderReady { id } => {
                ("waiting for", id.as_str(), &self.host_label)
            }
            Goal::ComponentGone { id } => ("stopping", id.as_str(), &self.host_label),
            Goal::HostGone => return format!("stopping host {}", self.host_label),
        };
        format!("{verb} {id} on {host}")
    }

    fn failed(&self, session: &Session, reason: &str) -> Failure {
        let (reason, advice) = said(reason);
        let message = match &self.goal {
            Goal::ComponentReady { id, .. } => {
                format!(
                    "component {id} does not run on host {}: {reason}",
                    self.host_label
                )
            }
            Goal::ComponentGone { id } => {
                format!(
                    "component {id} was not stopped on host {}: {reason}",
                    self.host_label
                )
            }
            Goal::ProviderReady { id } => {
                format!(
                    "provider {id} does not run on host {}: {reason}",
                    self.host_label
                )
            }
            Goal::HostGone => format!("host {} was not stopped: {reason}", self.host_label),
        };
        let hint = format!(
            "`trellis logs --host {}` shows what the host says",
            self.host
        );
        session.failed(&message, Some(advice.unwrap_or(&hint)))
    }
}

fn too_late(session: &Session, late: &Expected, limit: Duration, why: Option<String>) -> Failure {
    let (why, advice) = why.as_deref().map(said).unzip();
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    let (limit, host) = (duration::text(limit), &late.host_label);
    let (message, hint) = match &late.goal {
        Goal::ComponentReady { id, .. } => (
            format!("component {id} is not ready on host {host} after {limit}{why}"),
            format!("`trellis logs {id}` shows what it says; `--wait TIME` waits longer"),
        ),
        Goal::ProviderReady { id } => (
            format!("provider {id} is not ready on host {host} after {limit}{why}"),
            format!("`trellis logs {id}` shows what it says; `--wait TIME` waits longer"),
        ),
        goal => (
            format!(
                "{} still runs on host {host} after {limit}{why}",
                match goal.id() {
                    "" => "the host",
                    id => id,
                }
            ),
            "`--wait TIME` waits longer; `trellis get inventory` says what runs".to_owned(),
        ),
    };
    session.failed(&message, Some(advice.flatten().unwrap_or(&hint)))
}

#[cfg(test)]
mod tests {
    use trellis_control::{
        ComponentDescription, ComponentScaleFailed, HostStopped, ProviderExited,
    };

    use super::*;

    fn ready(instances: u32, image: Option<&str>) -> Goal {
        Goal::ComponentReady {
            id: "cart".to_owned(),
            instances,
            image: image.map(str::to_owned),
        }
    }

    #[test]
    fn a_component_of_1x_is_ready_when_its_host_lists_it_as_asked_for() {
        let inventory = HostInventory {
            components: vec![ComponentDescription {
                id: "cart".to_owned(),
                image_ref: "reg/cart:2".to_owned(),
                max_instances: 3,
                ..ComponentDescription::default()
            }],
            ..HostInventory::default()
        };
        assert_eq!(ready(3, None).of_inventory(&inventory), Progress::Reached);
        assert_eq!(
            ready(3, Some("reg/cart:2")).of_inventory(&inventory),
            Progress::Reached
        );
        let pending = Progress::Pending(None);
        assert_eq!(ready(2, None).of_inventory(&inventory), pending);
        assert_eq!(
            ready(3, Some("reg/cart:1")).of_inventory(&inventory),
            pending
        );
        let gone = Goal::ComponentGone {
            id: "cart".to_owned(),
        };
        assert_eq!(gone.of_inventory(&inventory), pending);
        assert_eq!(
            gone.of_inventory(&HostInventory::default()),
            Progress::Reached
        );
    }

    #[test]
    fn only_the_failure_of_the_same_component_ends_the_wait() {
        let failed = |id: &str| {
            Event::ComponentScaleFailed(ComponentScaleFailed {
                component_id: id.to_owned(),
                error: "no such image".to_owned(),
                ..ComponentScaleFailed::default()
            })
        };
        let goal = ready(1, None);
        assert_eq!(
            goal.failure(&failed("cart")).as_deref(),
            Some("no such image")
        );
        assert_eq!(goal.failure(&failed("web")), None);
        let exited = Event::ProviderExited(ProviderExited {
            provider_id: "http".to_owned(),
            reason: "the port is taken".to_owned(),
            ..ProviderExited::default()
        });
        let provider = |id: &str| Goal::ProviderReady { id: id.to_owned() };
        assert!(provider("http").failure(&exited).is_some());
        assert_eq!(provider("kv").failure(&exited), None);
        let stopped = Event::HostStopped(HostStopped::default());
        assert!(goal.failure(&stopped).is_some());
        assert_eq!(Goal::HostGone.failure(&stopped), None);
    }
}

//! The checks of the connection, and those that hosts make of themselves.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use trellis_control::{ClientError, DoctorCheck, DoctorOutcome, EventKind, Host, HostId};
use trellis_core::with_causes;
use trellis_identity::token;
use trellis_lattice::RequestError;

use super::{Group, check};
use crate::connection::{Resolved, Session};
use crate::{duration, hosts};

/// A round trip that a person begins to feel.
const LATENCY_WARNING: Duration = Duration::from_millis(100);
/// Messages must carry values of the state store and what components send.
const PAYLOAD_BYTES_MIN: usize = 1 << 20;
/// The oldest server whose JetStream KV is as we need it.
const SERVER_VERSION_MIN: (u64, u64) = (2, 9);
/// Credentials that expire sooner are to be renewed now.
const EXPIRY_WARNING: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Examines the connection and, over it, every host.
pub(super) async fn examine(resolved: Resolved) -> Vec<Group> {
    let mut group = Group {
        name: "connection".to_owned(),
        host_id: None,
        checks: Vec::new(),
    };
    group.checks.extend(credentials(&resolved));
    let session = match Session::with(resolved).await {
        Ok(session) => session,
        Err(failure) => {
            let (message, remedy) = failure.parts();
            let failed = DoctorOutcome::Failed;
            group
                .checks
                .push(check("connect", failed, message, remedy.as_deref()));
            return vec![group];
        }
    };
    let connected = check("connect", DoctorOutcome::Passed, session.note(), None);
    group.checks.push(connected);
    group.checks.push(latency(&session).await);
    group.checks.extend(server(&session));
    let (permissions, found) = permissions(&session).await;
    group.checks.extend(permissions);
    let mut groups = vec![group];
    for host in found {
        groups.push(of_host(&session, &host).await);
    }
    groups
}

/// Looks whether the token is valid now. What a server thinks of it, connecting tells.
fn credentials(resolved: &Resolved) -> Option<DoctorCheck> {
    let jwt = resolved.login.as_ref()?.value.jwt()?;
    let renew = "get new credentials from who runs the lattice; a wrong clock of this machine looks the same";
    let now = SystemTime::now();
    let claims = match token::decode(&jwt, now) {
        Ok(claims) => claims,
        Err(error) => {
            let message = with_causes(&error);
            return Some(check(
                "credentials",
                DoctorOutcome::Failed,
                message,
                Some(renew),
            ));
        }
    };
    let name = &claims.name;
    let (outcome, message, remedy) = match claims.expires_at {
        0 => (
            DoctorOutcome::Passed,
            format!("those of {name} do not expire"),
            None,
        ),
        at => {
            let left = (UNIX_EPOCH + Duration::from_secs(at))
                .duration_since(now)
                .unwrap_or_default();
            let age = duration::age(left.as_secs());
            let message = format!("those of {name} expire in {age}");
            match left < EXPIRY_WARNING {
                true => (DoctorOutcome::Warning, message, Some(renew)),
                false => (DoctorOutcome::Passed, message, None),
            }
        }
    };
    Some(check("credentials", outcome, message, remedy))
}

async fn latency(session: &Session) -> DoctorCheck {
    match session.client.lattice().round_trip().await {
        Ok(took) => {
            let message = format!(
                "the server answers in {:.1} ms",
                took.as_secs_f64() * 1_000.0
            );
            if took < LATENCY_WARNING {
                return check("latency", DoctorOutcome::Passed, message, None);
            }
            let remedy = "use a server nearer to you, or a leaf node; `--timeout` waits longer";
            check("latency", DoctorOutcome::Warning, message, Some(remedy))
        }
        Err(error) => check("latency", DoctorOutcome::Failed, with_causes(&error), None),
    }
}

/// Examines what the server says about itself.
fn server(session: &Session) -> Vec<DoctorCheck> {
    let Some(info) = session.client.lattice().server_info() else {
        return Vec::new();
    };
    let version = if session.resolved.is_embedded() || !is_too_old(&info.version) {
        // A server without a name goes by its id, which says nothing.
        let name = if info.name == info.id {
            "nats-server"
        } else {
            &info.name
        };
        let message = format!("{name} {}", info.version);
        check("server", DoctorOutcome::Passed, message, None)
    } else {
        let message = format!("nats-server {} is older than 2.9", info.version);
        check(
            "server",
            DoctorOutcome::Failed,
            message,
            Some("update the NATS server"),
        )
    };
    let payload = format!("messages have at most {} KiB", info.max_payload >> 10);
    let payload = if info.max_payload < PAYLOAD_BYTES_MIN {
        let remedy = "set `max_payload` of the server to 1MB or more";
        check("payload", DoctorOutcome::Warning, payload, Some(remedy))
    } else {
        check("payload", DoctorOutcome::Passed, payload, None)
    };
    let state = if session.resolved.is_embedded() {
        check(
            "state",
            DoctorOutcome::Passed,
            "kept by the host of the embedded lattice",
            None,
        )
    } else if info.jetstream || session.resolved.js_domain.is_some() {
        let domain = info
            .domain
            .map(|it| format!(", domain {it}"))
            .unwrap_or_default();
        let message = format!("the server has JetStream{domain}");
        check("state", DoctorOutcome::Passed, message, None)
    } else {
        let message = "the server has no JetStream, in which the lattice keeps its state";
        let remedy = "enable `jetstream` in the server, or name its domain with `--js-domain`";
        check("state", DoctorOutcome::Warning, message, Some(remedy))
    };
    vec![version, payload, state]
}

fn is_too_old(version: &str) -> bool {
    let mut parts = version.split('.').map(|it| it.parse::<u64>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) < SERVER_VERSION_MIN,
        // A name that is no version says nothing.
        _ => false,
    }
}

/// Asks what any user of a lattice may ask. Returns the hosts that answered.
async fn permissions(session: &Session) -> (Vec<DoctorCheck>, Vec<Host>) {
    let denied = "use the credentials of a role that may do this: `--creds FILE`";
    let (asked, found) = match session.client.hosts().await {
        Ok(hosts) => {
            let count = hosts.answers.len();
            let check = match count {
                0 => {
                    let remedy = "`trellis up` starts a host; `trellis config show` says which lattice this is";
                    check(
                        "hosts",
                        DoctorOutcome::Failed,
                        "no host is in the lattice",
                        Some(remedy),
                    )
                }
                1 => check("hosts", DoctorOutcome::Passed, "1 host answers", None),
                n => check(
                    "hosts",
                    DoctorOutcome::Passed,
                    format!("{n} hosts answer"),
                    None,
                ),
            };
            (check, hosts.answers)
        }
        Err(error) => {
            let message = with_causes(&error);
            (
                check("hosts", DoctorOutcome::Failed, message, Some(denied)),
                Vec::new(),
            )
        }
    };
    let events = match session.client.events(&[EventKind::HostHeartbeat]).await {
        Ok(_) => check("events", DoctorOutcome::Passed, "events can be heard", None),
        Err(error) => check(
            "events",
            DoctorOutcome::Warning,
            with_causes(&error),
            Some(denied),
        ),
    };
    let links = match session.client.links().await {
        Ok(links) => {
            let message = format!(
                "the state of the lattice can be read: {} links",
                links.len()
            );
            check("read", DoctorOutcome::Passed, message, None)
        }
        Err(ClientError::Connection {
            source: source @ RequestError::Denied { .. },
            ..
        }) => check(
            "read",
            DoctorOutcome::Failed,
            with_causes(&source),
            Some(denied),
        ),
        Err(error) => {
            let remedy = error.hint();
            check(
                "read",
                DoctorOutcome::Failed,
                with_causes(&error),
                remedy.as_deref(),
            )
        }
    };
    (vec![asked, events, links], found)
}

/// Lets a host examine itself.
async fn of_host(session: &Session, host: &Host) -> Group {
    let mut group = Group {
        name: format!("host {}", hosts::label(&host.friendly_name, &host.id)),
        host_id: Some(host.id.clone()),
        checks: Vec::new(),
    };
    let id = match HostId::new(&host.id) {
        Ok(id) => id,
        Err(error) => {
            group.checks.push(check(
                "id",
                DoctorOutcome::Failed,
                with_causes(&error),
                None,
            ));
            return group;
        }
    };
    match session.client.doctor(&id).await {
        Ok(report) => group.checks = report.checks,
        Err(ClientError::Nobody { .. }) => {
            let message = "a host of wasmCloud 1.x, which cannot examine itself";
            group
                .checks
                .push(check("doctor", DoctorOutcome::Skipped, message, None));
        }
        Err(error) => {
            let remedy = error.hint();
            let message = with_causes(&error);
            let failed = check("doctor", DoctorOutcome::Failed, message, remedy.as_deref());
            group.checks.push(failed);
        }
    }
    group
}

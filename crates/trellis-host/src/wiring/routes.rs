//! Whether the routes of all applications can stand side by side. Pure: it is known before anything is
//! bound or compiled.

use std::collections::HashMap;

use trellis_gateway::{RouteError, RoutePlace};

use super::{WiredRoute, Wiring, problem};
use crate::deployable::Deployable;
use crate::error::Problem;

/// Finds routes that are none, and those that answer for what another answers for already.
pub(super) fn check(applications: &[Deployable], wiring: &Wiring) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut taken: HashMap<_, &WiredRoute> = HashMap::new();
    for route in wiring.routes.iter().filter(|it| is_served(wiring, it)) {
        let name = format!("component {}", route.component);
        let place = match RoutePlace::new(&name, route.host.as_deref(), &route.path_prefix) {
            Ok(place) => place,
            Err(error) => {
                problems.push(no_route(applications, route, &error));
                continue;
            }
        };
        let key = (route.address, place);
        match taken.get(&key) {
            Some(first) => problems.push(collision(applications, first, route)),
            None => {
                taken.insert(key, route);
            }
        }
    }
    problems
}

/// A component without instances answers nothing, so that its route is in nobody's way.
fn is_served(wiring: &Wiring, route: &WiredRoute) -> bool {
    let mut components = wiring.components.iter();
    components.any(|it| it.blueprint.id == route.component)
}

fn no_route(applications: &[Deployable], route: &WiredRoute, error: &RouteError) -> Problem {
    let hint = match error {
        RouteError::Host { .. } => "write a name such as `shop.example`, without scheme and port",
        RouteError::PathPrefix { .. } | RouteError::Conflict { .. } => {
            "write a path such as `/shop`, without a host and a query"
        }
    };
    let deployable = &applications[route.application];
    let message = error.to_string();
    problem(
        deployable,
        route.config_span,
        message,
        Some(hint.to_owned()),
    )
}

/// Says both places: the second as the place of the problem, the first in the hint.
fn collision(applications: &[Deployable], first: &WiredRoute, second: &WiredRoute) -> Problem {
    let message = format!(
        "component {} and component {} both want path {} of {} at {}",
        first.component,
        second.component,
        second.path_prefix,
        second.host.as_deref().unwrap_or("every host"),
        second.address,
    );
    let other = &applications[first.application];
    let (name, start) = (&other.application.source_name, first.config_span.start);
    let hint = match (
        other.has_manifest,
        applications[second.application].has_manifest,
    ) {
        (true, _) => format!(
            "the first is in {name}:{}:{}; give one of them a `path`, a `host` or another `address` \
             in the source config of its link",
            start.line, start.column
        ),
        (false, true) => format!(
            "the first is {name}; give the link a `path`, a `host` or another `address` in its \
             source config"
        ),
        (false, false) => format!(
            "the first is {name}; describe one of them in a manifest that gives it a `path`, a \
             `host` or another `address`"
        ),
    };
    let deployable = &applications[second.application];
    problem(deployable, second.config_span, message, Some(hint))
}

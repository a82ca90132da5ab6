//! Finds links that lead from a component back to itself: calls along them would never end.

use std::collections::HashMap;

use crate::diagnostic::{Findings, quote};
use crate::model::{Application, ComponentKind, Link, Origin};

/// The longest circle that a message names in full.
const NAMES_SHOWN_MAX: usize = 8;

/// How far the search is with one component.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    OnPath,
    Done,
}

/// One component on the path from the start of the search.
struct Step<'a> {
    node: usize,
    /// The links still to follow.
    links: std::slice::Iter<'a, Link>,
}

/// Reports each link that closes a circle of components. Depth first, with its own stack.
pub(super) fn check(application: &Application, findings: &mut Findings) {
    let components = &application.components;
    let index: HashMap<&str, usize> = components
        .iter()
        .enumerate()
        .filter(|(_, it)| it.kind == ComponentKind::Component)
        // The links of a shared component are in the manifest of its own application too.
        .filter(|(_, it)| matches!(it.origin, Origin::Image { .. }))
        .map(|(position, it)| (it.name.as_str(), position))
        .collect();
    let mut marks = vec![Mark::New; components.len()];
    for start in index
        .values()
        .copied()
        .collect::<std::collections::BTreeSet<_>>()
    {
        if marks[start] != Mark::New {
            continue;
        }
        marks[start] = Mark::OnPath;
        let mut path = vec![Step {
            node: start,
            links: components[start].links.iter(),
        }];
        while let Some(step) = path.last_mut() {
            let Some(link) = step.links.next() else {
                marks[step.node] = Mark::Done;
                path.pop();
                continue;
            };
            let Some(next) = index.get(link.target.as_str()).copied() else {
                continue;
            };
            match marks[next] {
                Mark::Done => {}
                Mark::OnPath => {
                    let nodes: Vec<usize> = path.iter().map(|step| step.node).collect();
                    let message = describe(application, &nodes, next);
                    let hint = "remove one of these links; a component cannot wait for itself";
                    let diagnostic = application.error_at(link.target_span, message);
                    findings.push(diagnostic.with_hint(hint));
                }
                Mark::New => {
                    marks[next] = Mark::OnPath;
                    path.push(Step {
                        node: next,
                        links: components[next].links.iter(),
                    });
                }
            }
        }
    }
}

/// Returns the message for the circle that begins and ends at `first`.
fn describe(application: &Application, path: &[usize], first: usize) -> String {
    let name = |node: usize| quote(&application.components[node].name);
    let circle: Vec<usize> = path
        .iter()
        .copied()
        .skip_while(|node| *node != first)
        .collect();
    let mut names: Vec<String> = circle
        .iter()
        .take(NAMES_SHOWN_MAX)
        .map(|node| name(*node))
        .collect();
    if circle.len() > NAMES_SHOWN_MAX {
        names.push(format!("… ({} more)", circle.len() - NAMES_SHOWN_MAX));
    }
    names.push(name(first));
    format!("components are linked in a circle: {}", names.join(" -> "))
}

//! Rules that need more than one place of a manifest, or more than one manifest.

use std::collections::HashMap;

use trellis_core::derived_part;

use crate::diagnostic::{Diagnostic, Findings, quote};
use crate::model::{
    Application, Component, ComponentKind, ConfigSet, Link, Origin, Policy, Secret,
};
use crate::schema::Draft;
use crate::source::Span;

mod cycles;
mod known_interfaces;

/// The type of the policies that secrets name.
const SECRET_POLICY_TYPE: &str = "policy.secret.wasmcloud.dev/v1alpha1";

/// Checks one application whose parts are right by themselves.
pub(crate) fn application(draft: &Draft, findings: &mut Findings) {
    let application = &draft.application;
    check_secrets(draft, findings);
    check_config_names(application, findings);
    let kinds: HashMap<&str, ComponentKind> = application
        .components
        .iter()
        .map(|it| (it.name.as_str(), it.kind))
        .collect();
    for component in &application.components {
        check_links(application, component, &kinds, findings);
    }
    cycles::check(application, findings);
}

/// Checks applications that are to run side by side.
pub(crate) fn across(drafts: &[Draft], findings: &mut Findings) {
    let mut names: HashMap<&str, &Draft> = HashMap::new();
    let mut ids: HashMap<&str, (&Application, &Component)> = HashMap::new();
    for draft in drafts {
        let application = &draft.application;
        if let Some(Draft {
            application: first, ..
        }) = names.insert(application.name.as_str(), draft)
        {
            let diagnostic =
                application.error_at(application.span, "two applications have this name");
            findings.push(diagnostic.with_hint(first_place(first, first.span)));
        }
        for component in &application.components {
            // A reference has the id of what it refers to.
            if matches!(component.origin, Origin::Application { .. }) {
                continue;
            }
            if let Some((other, first)) = ids.insert(component.id.as_str(), (application, component))
                // Equal names have been reported as such.
                && (other.name != application.name || first.name != component.name)
            {
                findings.push(id_clash(application, component, other, first));
            }
        }
    }
    for Draft { application, .. } in drafts {
        for component in &application.components {
            check_reference(application, component, &names, findings);
        }
    }
}

fn first_place(application: &Application, span: Span) -> String {
    format!(
        "the first is in {}:{}",
        application.source_name, span.start.line
    )
}

fn id_clash(
    application: &Application,
    component: &Component,
    other: &Application,
    first: &Component,
) -> Diagnostic {
    let message = format!(
        "two components have the id {}",
        quote(component.id.as_str())
    );
    let place = first_place(other, first.span);
    let hint = format!(
        "{place}; ids are derived from the names of application and component, with `_` for all \
         but letters and digits: rename one, or set `id`"
    );
    application
        .error_at(component.span, message)
        .with_hint(hint)
}

/// Checks a reference to an application that is among those read together; others may run already.
fn check_reference(
    application: &Application,
    component: &Component,
    names: &HashMap<&str, &Draft>,
    findings: &mut Findings,
) {
    let Origin::Application {
        application: other,
        component: name,
        span,
    } = &component.origin
    else {
        return;
    };
    let Some(Draft {
        application: other,
        complete,
        ..
    }) = names.get(other.as_str())
    else {
        return;
    };
    let problem = match other.component(name) {
        _ if !other.is_shared() => Some((
            "this application is not shared",
            "annotate it with `experimental.wasmcloud.dev/shared: \"true\"`".to_owned(),
        )),
        None if !complete => None,
        None => {
            let candidates = other.components.iter().map(|it| it.name.as_str());
            let hint = match findings.suggest(name, candidates) {
                Some(name) => format!("did you mean {}?", quote(name)),
                None => format!("its manifest is {}", other.source_name),
            };
            Some(("this application has no component of this name", hint))
        }
        Some(found) if found.kind != component.kind => Some((
            "the component of the shared application is of another type",
            "write the same `type` here".to_owned(),
        )),
        Some(_) => None,
    };
    if let Some((message, hint)) = problem {
        findings.push(application.error_at(*span, message).with_hint(hint));
    }
}

fn check_secrets(draft: &Draft, findings: &mut Findings) {
    let application = &draft.application;
    let policies: HashMap<&str, &Policy> = application
        .policies
        .iter()
        .map(|it| (it.name.as_str(), it))
        .collect();
    let own = application.components.iter().flat_map(|it| &it.secrets);
    let of_links =
        links(application).flat_map(|it| it.source_secrets.iter().chain(&it.target_secrets));
    for secret in own.chain(of_links) {
        let known = policies.contains_key(secret.policy.as_str());
        if known || draft.policies_complete {
            check_secret(application, secret, &policies, findings);
        }
    }
}

fn links(application: &Application) -> impl Iterator<Item = &Link> {
    application.components.iter().flat_map(|it| &it.links)
}

fn check_secret(
    application: &Application,
    secret: &Secret,
    policies: &HashMap<&str, &Policy>,
    findings: &mut Findings,
) {
    let (message, hint) = match policies.get(secret.policy.as_str()) {
        None => {
            let candidates = application.policies.iter().map(|it| it.name.as_str());
            let hint = match findings.suggest(&secret.policy, candidates) {
                Some(name) => format!("did you mean {}?", quote(name)),
                None => {
                    format!("add a policy of type `{SECRET_POLICY_TYPE}` under `spec.policies`")
                }
            };
            (
                format!(
                    "this secret names the policy {}, which is missing",
                    quote(&secret.policy)
                ),
                hint,
            )
        }
        Some(policy) if policy.policy_type != SECRET_POLICY_TYPE => {
            let message = format!("the policy {} is not for secrets", quote(&policy.name));
            (message, format!("its type must be `{SECRET_POLICY_TYPE}`"))
        }
        Some(policy) if !policy.properties.contains_key("backend") => {
            let message = format!("the policy {} names no backend", quote(&policy.name));
            (
                message,
                "add `backend` to its properties, such as `backend: nats-kv`".to_owned(),
            )
        }
        Some(_) => return,
    };
    findings.push(application.error_at(secret.span, message).with_hint(hint));
}

/// Two sets of one name become one entry of the lattice, so they must be the same.
fn check_config_names(application: &Application, findings: &mut Findings) {
    let mut inline: HashMap<String, &ConfigSet> = HashMap::new();
    let own = application.components.iter().flat_map(|it| &it.config);
    let of_links =
        links(application).flat_map(|it| it.source_config.iter().chain(&it.target_config));
    let sets: Vec<&ConfigSet> = own.chain(of_links).collect();
    for set in sets.iter().filter(|it| it.properties.is_some()) {
        let first = inline.entry(derived_part(&set.name)).or_insert(set);
        if first.properties != set.properties {
            let message = format!("two different configs have the name {}", quote(&set.name));
            let line = first.span.start.line;
            let hint = format!(
                "the other, {}, is in line {line}; rename one",
                quote(&first.name)
            );
            findings.push(application.error_at(set.span, message).with_hint(hint));
        }
    }
    for set in sets.iter().filter(|it| it.properties.is_none()) {
        let same = inline
            .get(&derived_part(&set.name))
            .filter(|it| it.name == set.name);
        if let Some(same) = same {
            let message = format!("this is not the config of line {}", same.span.start.line);
            let hint = "without `properties` a config is one that the lattice holds already; \
                        repeat the properties to mean the same";
            findings.push(application.warning_at(set.span, message).with_hint(hint));
        }
    }
}

fn check_links(
    application: &Application,
    component: &Component,
    kinds: &HashMap<&str, ComponentKind>,
    findings: &mut Findings,
) {
    let mut seen: HashMap<(&str, &str, &str, &str), Span> = HashMap::new();
    for link in &component.links {
        let target_kind = kinds.get(link.target.as_str());
        if component.kind == ComponentKind::Capability
            && target_kind == Some(&ComponentKind::Capability)
        {
            let message = "a link needs a component at one end, these are two capabilities";
            let hint = "remove the link; providers do not call one another";
            findings.push(
                application
                    .error_at(link.target_span, message)
                    .with_hint(hint),
            );
        }
        for interface in &link.interfaces {
            let key = (
                link.name.as_str(),
                &*link.namespace,
                &*link.package,
                &*interface.name,
            );
            if let Some(first) = seen.insert(key, interface.span) {
                let message = format!(
                    "{} has two links for this interface",
                    quote(&component.name)
                );
                let hint = format!(
                    "the other is in line {}; remove one, or give one a `name`",
                    first.start.line
                );
                findings.push(
                    application
                        .error_at(interface.span, message)
                        .with_hint(hint),
                );
            }
            if let Some(hint) = known_interfaces::doubt(link, &interface.name, findings) {
                let message = format!("no such interface is known in `{}`", link.namespace);
                findings.push(
                    application
                        .warning_at(interface.span, message)
                        .with_hint(hint),
                );
            }
        }
    }
}

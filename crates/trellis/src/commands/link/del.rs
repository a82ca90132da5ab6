//! `trellis link del`: removes a link.

use clap::Args;
use trellis_control::{DeleteLink, Link};
use trellis_core::{ComponentId, LinkName};

use super::link_name;
use crate::arguments::OutputFormat;
use crate::commands::component_id;
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::output;
use crate::suggestion::did_you_mean;

/// Take the right to call from a component or provider
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trellis link del cart wasi keyvalue")]
pub(crate) struct Del {
    /// Who calls
    #[arg(value_name = "SOURCE", value_parser = component_id, add = live(Live::Ids))]
    source: ComponentId,

    /// The namespace of the interfaces, such as `wasi`
    #[arg(value_name = "NAMESPACE")]
    namespace: String,

    /// The package of the interfaces, such as `keyvalue`
    #[arg(value_name = "PACKAGE")]
    package: String,

    /// The name of the link
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = link_name)]
    name: LinkName,

    /// The link to this target, where there are several
    #[arg(long, value_name = "ID", value_parser = component_id, add = live(Live::Ids))]
    target: Option<ComponentId>,

    #[command(flatten)]
    options: LatticeOptions,
}

pub(crate) async fn run(arguments: Del) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let links = session.client.links().await;
    let links = links.map_err(|error| session.failure(&error))?;
    let link = choose(&session, &arguments, &links)?;
    let deletion = DeleteLink {
        source_id: link.source_id.clone(),
        name: link.name.clone(),
        wit_namespace: link.wit_namespace.clone(),
        wit_package: link.wit_package.clone(),
        target: arguments.target.as_ref().map(ToString::to_string),
    };
    let deleted = session.client.delete_link(&deletion).await;
    deleted.map_err(|error| session.failure(&error))?;
    match arguments.options.output {
        OutputFormat::Json => output::json(link),
        OutputFormat::Text => output::line(&format!(
            "deleted {} -> {} {}:{} ({})",
            link.source_id, link.target, link.wit_namespace, link.wit_package, link.name
        )),
    }
}

/// Finds the one link that is meant.
fn choose<'l>(session: &Session, arguments: &Del, links: &'l [Link]) -> Result<&'l Link, Failure> {
    let (source, name) = (arguments.source.as_str(), arguments.name.as_str());
    let (namespace, package) = (&arguments.namespace, &arguments.package);
    let named = |it: &&Link| {
        it.source_id == source
            && it.name == name
            && it.wit_namespace == *namespace
            && it.wit_package == *package
            && arguments
                .target
                .as_ref()
                .is_none_or(|to| to.as_str() == it.target)
    };
    let found: Vec<&Link> = links.iter().filter(named).collect();
    match found.as_slice() {
        [link] => Ok(link),
        [] => {
            let near = did_you_mean(source, links.iter().map(|it| it.source_id.as_str()));
            let near = if links.iter().any(|it| it.source_id == source) {
                ""
            } else {
                &near
            };
            let message = format!("{source} has no link {name} for {namespace}:{package}{near}");
            Err(session.failed(&message, Some("`trellis get links` lists the links")))
        }
        several => {
            let targets: Vec<&str> = several.iter().map(|it| it.target.as_str()).collect();
            let message = format!(
                "{source} has {} links {name} for {namespace}:{package}, to {}",
                several.len(),
                targets.join(", ")
            );
            Err(session.failed(&message, Some("choose one with `--target ID`")))
        }
    }
}

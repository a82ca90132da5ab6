//! `trellis link put`: sets a link.

use clap::Args;
use trellis_control::{ConfigName, Link};
use trellis_core::{ComponentId, LinkName};

use super::{link_name, notes};
use crate::arguments::OutputFormat;
use crate::commands::{component_id, config_name};
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::output;

/// Let a component or provider call interfaces of another
///
/// A link of the same source, target, package and name is replaced. It takes effect at once, without a
/// restart of either end.
#[derive(Args, Debug)]
#[command(
    override_usage = "trellis link put [OPTIONS] --interface <INTERFACE>\n               <SOURCE> <TARGET> <NAMESPACE> <PACKAGE>",
    after_help = "Examples:\n  \
    trellis link put cart kv wasi keyvalue --interface store,atomics\n  \
    trellis link put http cart wasi http --interface incoming-handler \\\n    \
    --source-config http-cart"
)]
pub(crate) struct Put {
    /// Who calls
    #[arg(value_name = "SOURCE", value_parser = component_id, add = live(Live::Ids))]
    source: ComponentId,

    /// Who is called
    #[arg(value_name = "TARGET", value_parser = component_id, add = live(Live::Ids))]
    target: ComponentId,

    /// The namespace of the interfaces, such as `wasi`
    #[arg(value_name = "NAMESPACE")]
    namespace: String,

    /// The package of the interfaces, such as `keyvalue`
    #[arg(value_name = "PACKAGE")]
    package: String,

    /// An interface of the package, such as `store`
    #[arg(
        long = "interface",
        value_name = "INTERFACE",
        required = true,
        value_delimiter = ','
    )]
    interfaces: Vec<String>,

    /// Tell it from other links of this source and package
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = link_name)]
    name: LinkName,

    /// Give the source this config
    #[arg(long, value_name = "NAME", value_parser = config_name, add = live(Live::Configs))]
    source_config: Vec<ConfigName>,

    /// Give the target this config
    #[arg(long, value_name = "NAME", value_parser = config_name, add = live(Live::Configs))]
    target_config: Vec<ConfigName>,

    #[command(flatten)]
    options: LatticeOptions,
}

pub(crate) async fn run(arguments: Put) -> Result<(), Failure> {
    let session = Session::open(&arguments.options.connection).await?;
    let names = |names: &[ConfigName]| names.iter().map(ToString::to_string).collect();
    let link = Link {
        source_id: arguments.source.to_string(),
        target: arguments.target.to_string(),
        name: arguments.name.to_string(),
        wit_namespace: arguments.namespace.clone(),
        wit_package: arguments.package.clone(),
        interfaces: arguments.interfaces.clone(),
        source_config: names(&arguments.source_config),
        target_config: names(&arguments.target_config),
    };
    let put = session.client.put_link(&link).await;
    put.map_err(|error| session.failure(&error))?;
    notes::tell(&session, &link).await;
    match arguments.options.output {
        OutputFormat::Json => output::json(&link),
        OutputFormat::Text => output::line(&format!(
            "{} -> {} {}:{}/{} ({})",
            link.source_id,
            link.target,
            link.wit_namespace,
            link.wit_package,
            link.interfaces.join(","),
            link.name
        )),
    }
}

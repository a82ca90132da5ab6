//! `trellis config show`: the settings of this command line, and where each comes from.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::arguments::OutputFormat;
use crate::connection::{LatticeOptions, Origin, Resolved, Setting, redacted};
use crate::context::Contexts;
use crate::failure::Failure;
use crate::gateway::{GatewayOptions, ResolvedGateway};
use crate::output::{self, Table};
use crate::{duration, folders};

/// Show the settings of this command line, and where each comes from
///
/// Flags go before the environment, the environment before the context, and that before the default.
/// The context is the one that is named, else the selected one, else that of an embedded lattice that
/// runs here. No secret is shown.
///
/// Those of the gateway are what `trellis up` with the same options has in force.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    trellis config show\n  \
    trellis config show --context shop")]
pub(crate) struct Show {
    #[command(flatten)]
    options: LatticeOptions,

    #[command(flatten)]
    gateway: GatewayOptions,
}

/// The shape of `--output json`.
#[derive(Serialize)]
struct Output {
    settings: Vec<SettingOutput>,
}

#[derive(Serialize)]
struct SettingOutput {
    name: &'static str,
    /// Absent where there is none.
    value: Option<String>,
    /// `flag --x`, `environment X`, `context NAME`, or `default`.
    origin: String,
}

pub(crate) fn run(arguments: &Show) -> Result<(), Failure> {
    let resolved = Resolved::of_client(&arguments.options.connection)?;
    let gateway = ResolvedGateway::of_host(&arguments.gateway, &arguments.options.connection)?;
    let mut settings = settings(&resolved);
    settings.extend(gateway.shown().map(|(name, value, origin)| SettingOutput {
        name,
        value: (!value.is_empty()).then_some(value),
        origin: origin.to_string(),
    }));
    match arguments.options.output {
        OutputFormat::Json => output::json(&Output { settings }),
        OutputFormat::Text => {
            let mut table = Table::new(&["SETTING", "VALUE", "FROM"]);
            for it in settings {
                table.row([it.name.to_owned(), it.value.unwrap_or_default(), it.origin]);
            }
            table.print()
        }
    }
}

fn settings(resolved: &Resolved) -> Vec<SettingOutput> {
    let servers = |it: &Vec<String>| -> String {
        let servers: Vec<String> = it.iter().map(|it| redacted(it)).collect();
        servers.join(",")
    };
    let path = |it: &PathBuf| it.display().to_string();
    let context = resolved.context.as_ref();
    let context = context.map(|(name, choice)| (name.value.clone(), choice.origin(&name.origin)));
    let (context, context_origin) = context.unzip();
    let maybe = |name, found: Option<SettingOutput>| found.unwrap_or_else(|| absent(name));
    let file = |name, it: &Option<Setting<PathBuf>>| {
        maybe(name, it.as_ref().map(|it| present(name, it, path)))
    };
    let login = resolved.login.as_ref();
    let js_domain = resolved.js_domain.as_ref();
    vec![
        SettingOutput {
            name: "context",
            value: context,
            origin: context_origin.unwrap_or_else(|| Origin::Default.to_string()),
        },
        present("servers", &resolved.servers, servers),
        present("lattice", &resolved.lattice, ToString::to_string),
        maybe(
            "credentials",
            login.map(|it| present("credentials", it, ToString::to_string)),
        ),
        file("tls-ca", &resolved.tls_ca),
        file("tls-cert", &resolved.tls_cert),
        file("tls-key", &resolved.tls_key),
        present("tls-first", &resolved.tls_first, ToString::to_string),
        maybe(
            "js-domain",
            js_domain.map(|it| present("js-domain", it, Clone::clone)),
        ),
        present("timeout", &resolved.timeout, |it| duration::text(*it)),
        SettingOutput {
            name: "config-folder",
            value: Contexts::open().folder().map(|it| it.display().to_string()),
            origin: folders::config_origin().to_owned(),
        },
    ]
}

fn present<T>(
    name: &'static str,
    setting: &Setting<T>,
    text: impl Fn(&T) -> String,
) -> SettingOutput {
    SettingOutput {
        name,
        value: Some(text(&setting.value)),
        origin: setting.origin.to_string(),
    }
}

fn absent(name: &'static str) -> SettingOutput {
    SettingOutput {
        name,
        value: None,
        origin: Origin::Default.to_string(),
    }
}

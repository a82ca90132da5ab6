//! `trellis inspect`: what is in a component.

use std::collections::BTreeMap;

use serde::Serialize;
use trellis_artifact::{Bounds, Inspection, Item};
use trellis_host::Satisfier;

use crate::arguments::{Inspect, OutputFormat};
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(arguments: &Inspect) -> Result<(), Failure> {
    let artifact = trellis_artifact::load(&arguments.file, Bounds::default())
        .map_err(|error| Failure::new(&error, error.hint().as_deref()))?;
    let inspection =
        trellis_artifact::inspect(&artifact.bytes).map_err(|error| Failure::new(&error, None))?;
    match arguments.output {
        OutputFormat::Json => output::json(&InspectOutput::from(&inspection)),
        OutputFormat::Text => output::line(&text(&inspection)),
    }
}

/// `trellis inspect --output json`: the shape of [`Inspection`], and what would satisfy each import.
#[derive(Serialize)]
struct InspectOutput<'a> {
    #[serde(flatten)]
    inspection: &'a Inspection,
    satisfied_by: BTreeMap<&'a str, String>,
}

impl<'a> From<&'a Inspection> for InspectOutput<'a> {
    fn from(inspection: &'a Inspection) -> Self {
        let imports = inspection.imports.iter();
        let satisfied_by = imports
            .map(|item| (item.name.as_str(), satisfier(item)))
            .collect();
        Self {
            inspection,
            satisfied_by,
        }
    }
}

fn satisfier(item: &Item) -> String {
    match &item.interface {
        Some(interface) => Satisfier::of(interface).to_string(),
        None => "nothing: it is not an interface".to_owned(),
    }
}

fn text(inspection: &Inspection) -> String {
    let mut lines = Vec::new();
    if let Some(name) = &inspection.metadata.name {
        lines.push(format!("name      {name}"));
    }
    lines.push(format!("digest    {}", inspection.digest));
    lines.push(format!("size      {} bytes", inspection.size));
    lines.push(format!(
        "wasi      {}",
        inspection.wasi.name().unwrap_or("none")
    ));
    let metadata = &inspection.metadata;
    for (title, tools) in [
        ("language", &metadata.languages),
        ("tool", &metadata.tools),
        ("sdk", &metadata.sdks),
    ] {
        for tool in tools {
            lines.push(format!("{title:<9} {} {}", tool.name, tool.version));
        }
    }
    lines.push(String::new());
    lines.push("imports, and what satisfies them:".to_owned());
    for item in &inspection.imports {
        lines.push(format!("  {}", item.name));
        lines.push(format!("      {}", satisfier(item)));
    }
    lines.push(String::new());
    lines.push("exports:".to_owned());
    for item in &inspection.exports {
        lines.push(format!("  {}", item.name));
        lines.extend(
            item.functions
                .iter()
                .map(|it| format!("      {}", it.signature)),
        );
    }
    lines.push(String::new());
    lines.push(inspection.wit.trim_end().to_owned());
    lines.join("\n")
}

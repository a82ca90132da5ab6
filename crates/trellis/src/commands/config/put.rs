//! `trellis config put`: sets a config entry as a whole.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use trellis_control::{Config, ConfigName, REQUEST_BYTES_MAX, is_secret_name};

use crate::arguments::OutputFormat;
use crate::commands::{config_name, key_value};
use crate::completion::{Live, live};
use crate::connection::{LatticeOptions, Session};
use crate::failure::Failure;
use crate::output;

/// Set a config entry: named text by key
///
/// The entry is replaced as a whole. What uses it sees the new values without a restart.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    trellis config put cart currency=EUR limit=20\n  \
    trellis config put cart --from-file cart.json limit=30")]
pub(crate) struct Put {
    /// The name of the entry
    #[arg(value_name = "NAME", value_parser = config_name, add = live(Live::Configs))]
    name: ConfigName,

    /// The values
    #[arg(value_name = "KEY=VALUE", value_parser = key_value, required_unless_present = "from_file")]
    values: Vec<(String, String)>,

    /// Take values from this file too: a JSON object of text, or lines KEY=VALUE
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    from_file: Option<PathBuf>,

    #[command(flatten)]
    options: LatticeOptions,
}

/// The shape of `--output json`.
#[derive(Serialize)]
struct Output<'a> {
    name: &'a str,
    keys: Vec<&'a str>,
}

pub(crate) async fn run(arguments: Put) -> Result<(), Failure> {
    let mut values = match &arguments.from_file {
        Some(path) => read(path)?,
        None => Config::new(),
    };
    values.extend(arguments.values.iter().cloned());
    if values.is_empty() {
        let message = format!("there are no values for {}", arguments.name);
        let hint = format!(
            "write KEY=VALUE into the file; `trellis config del {}` removes the entry",
            arguments.name
        );
        return Err(Failure::usage(&message, Some(&hint)));
    }
    if is_secret_name(arguments.name.as_str()) {
        let message = format!(
            "{} would be read as the reference of a secret",
            arguments.name
        );
        return Err(Failure::usage(
            &message,
            Some("choose a name that does not begin with SECRET"),
        ));
    }
    let session = Session::open(&arguments.options.connection).await?;
    let put = session.client.put_config(&arguments.name, &values).await;
    put.map_err(|error| session.failure(&error))?;
    let keys: Vec<&str> = values.keys().map(String::as_str).collect();
    match arguments.options.output {
        OutputFormat::Json => output::json(&Output {
            name: arguments.name.as_str(),
            keys,
        }),
        OutputFormat::Text => output::line(&format!("{} = {}", arguments.name, keys.join(", "))),
    }
}

fn read(path: &Path) -> Result<Config, Failure> {
    let failed = |reason: String, hint| {
        let message = format!("cannot read {}: {reason}", path.display());
        Failure::message(&message, Some(hint))
    };
    let mut text = String::new();
    let limit = REQUEST_BYTES_MAX as u64;
    let read =
        std::fs::File::open(path).and_then(|file| file.take(limit + 1).read_to_string(&mut text));
    match read {
        Err(error) => {
            return Err(failed(
                error.to_string(),
                "check the path and who may read it",
            ));
        }
        Ok(_) if text.len() > REQUEST_BYTES_MAX => {
            let reason = format!("it is larger than {REQUEST_BYTES_MAX} bytes");
            return Err(failed(reason, "divide it into several entries"));
        }
        Ok(_) => {}
    }
    parse(&text).map_err(|reason| {
        failed(
            reason,
            "write a JSON object whose values are text, or lines KEY=VALUE",
        )
    })
}

/// Reads a JSON object of text, or lines `KEY=VALUE` among which `#` begins a comment.
fn parse(text: &str) -> Result<Config, String> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    let mut config = Config::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = key_value(line).map_err(|why| format!("line {}: {why}", index + 1))?;
        config.insert(key.trim_end().to_owned(), value.trim_start().to_owned());
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_json_or_lines() {
        let expected = Config::from([
            ("a".to_owned(), "1".to_owned()),
            ("b".to_owned(), "x=y".to_owned()),
        ]);
        assert_eq!(parse(r#"{"a": "1", "b": "x=y"}"#), Ok(expected.clone()));
        assert_eq!(parse("# numbers\na = 1\n\nb=x=y\n"), Ok(expected));
        assert_eq!(parse(""), Ok(Config::new()));
        assert!(parse("{\"a\": 1}").is_err());
        let wrong = parse("a=1\nb").expect_err("no value");
        assert!(wrong.starts_with("line 2:"), "{wrong}");
    }
}

//! Reads who built a component, and with what, from its custom sections.
//!
//! Nothing checks custom sections, so what does not parse is left out, texts are cut to a bound, and
//! control characters, which could rewrite a terminal, are replaced.

use serde::Serialize;
use wasmparser::{CustomSectionReader, KnownCustom, Parser, Payload, ProducersSectionReader};

/// How many tools of one sort, or fields, are kept: a component linked from a dozen libraries names
/// fewer than twenty.
const ENTRIES_MAX: usize = 64;

/// How many characters of one text are kept: a description fits, a smuggled file does not.
const TEXT_CHARACTERS_MAX: usize = 1_024;

/// The custom sections that hold one text, as the tool conventions and OCI annotations name them.
const FIELDS: [&str; 7] = [
    "authors",
    "description",
    "homepage",
    "licenses",
    "revision",
    "source",
    "version",
];

/// Who built a component, and with what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// The name that the component gives itself.
    pub name: Option<String>,
    /// The source languages, of the component and everything linked into it.
    pub languages: Vec<Tool>,
    /// The compilers and linkers, likewise.
    pub tools: Vec<Tool>,
    /// The software development kits, likewise.
    pub sdks: Vec<Tool>,
    /// Other facts of the component: authors, description, homepage, licenses, revision, source,
    /// version.
    pub fields: Vec<Field>,
}

/// A language or tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tool {
    /// The name, such as `Rust`.
    pub name: String,
    /// The version; empty where none was recorded.
    pub version: String,
}

/// One named fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// The name, such as `licenses`.
    pub name: String,
    /// The value.
    pub value: String,
}

impl Metadata {
    /// Reads the metadata of the component in `bytes`; what cannot be read is left out.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut metadata = Self::default();
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload {
                Ok(Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) => depth += 1,
                Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
                Ok(Payload::CustomSection(section)) => metadata.read_section(&section, depth),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        metadata
    }

    fn read_section(&mut self, section: &CustomSectionReader<'_>, depth: usize) {
        match section.as_known() {
            KnownCustom::Producers(producers) => {
                // The fields before a mistake are as good as any.
                let _ = self.read_producers(producers);
            }
            KnownCustom::ComponentName(names) if depth == 0 => {
                for name in names.into_iter().flatten() {
                    if let wasmparser::ComponentName::Component { name, .. } = name {
                        self.name = Some(clean(name));
                    }
                }
            }
            KnownCustom::Unknown if depth == 0 && FIELDS.contains(&section.name()) => {
                if let (Ok(value), true) = (
                    std::str::from_utf8(section.data()),
                    self.fields.len() < ENTRIES_MAX,
                ) {
                    let name = section.name().to_owned();
                    self.fields.push(Field {
                        name,
                        value: clean(value),
                    });
                }
            }
            _ => {}
        }
    }

    fn read_producers(&mut self, producers: ProducersSectionReader<'_>) -> wasmparser::Result<()> {
        for field in producers {
            let field = field?;
            let list = match field.name {
                "language" => &mut self.languages,
                "processed-by" => &mut self.tools,
                _ => &mut self.sdks,
            };
            for value in field.values {
                let value = value?;
                let tool = Tool {
                    name: clean(value.name),
                    version: clean(value.version),
                };
                if list.len() < ENTRIES_MAX && !list.contains(&tool) {
                    list.push(tool);
                }
            }
        }
        Ok(())
    }
}

/// Returns `text` cut to the bound, without control characters.
fn clean(text: &str) -> String {
    text.trim()
        .chars()
        .take(TEXT_CHARACTERS_MAX)
        .map(|c| {
            if c.is_control() && c != '\n' {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

//! Stored claims, in both their forms.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// What is stored under `CLAIMS_{subject}`: of a component or of a provider, told apart by the
/// fields that are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Claims {
    /// Of a component: has an alias and tags.
    Component(ComponentClaims),
    /// Of a provider.
    Provider(ProviderClaims),
}

/// Claims of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ComponentClaims {
    /// Another name to call it by; unused since 1.0.
    pub call_alias: String,
    /// The account that signed.
    pub issuer: String,
    /// The name.
    pub name: String,
    /// The revision, a number as text.
    pub revision: String,
    /// The key that names it.
    pub subject: String,
    /// Words about it.
    pub tags: Vec<String>,
    /// The version.
    pub version: String,
}

/// Claims of a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProviderClaims {
    /// The account that signed.
    pub issuer: String,
    /// The name.
    pub name: String,
    /// The revision, a number as text.
    pub revision: String,
    /// The key that names it.
    pub subject: String,
    /// The version.
    pub version: String,
    /// A JSON document as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_schema: Option<String>,
}

impl Claims {
    /// Returns the key that they are about; the key of the state store must end in it.
    pub fn subject(&self) -> &str {
        match self {
            Self::Component(it) => &it.subject,
            Self::Provider(it) => &it.subject,
        }
    }
}

/// Every field that either form may have, under its long or its short name.
#[derive(Deserialize)]
struct AnyClaims {
    call_alias: Option<String>,
    #[serde(alias = "iss")]
    issuer: String,
    #[serde(default)]
    name: String,
    #[serde(alias = "rev", default)]
    revision: String,
    #[serde(alias = "sub")]
    subject: String,
    tags: Option<Tags>,
    #[serde(default)]
    version: String,
    config_schema: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Tags {
    List(Vec<String>),
    Joined(String),
}

impl From<Tags> for Vec<String> {
    fn from(tags: Tags) -> Self {
        match tags {
            Tags::List(list) => list,
            Tags::Joined(text) if text.is_empty() => Self::new(),
            Tags::Joined(text) => text.split(',').map(str::to_owned).collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let any = AnyClaims::deserialize(deserializer)?;
        if any.subject.is_empty() {
            return Err(D::Error::custom("claims need a subject"));
        }
        Ok(match (any.call_alias, any.tags) {
            (Some(call_alias), Some(tags)) => Self::Component(ComponentClaims {
                call_alias,
                issuer: any.issuer,
                name: any.name,
                revision: any.revision,
                subject: any.subject,
                tags: tags.into(),
                version: any.version,
            }),
            _ => Self::Provider(ProviderClaims {
                issuer: any.issuer,
                name: any.name,
                revision: any.revision,
                subject: any.subject,
                version: any.version,
                config_schema: any.config_schema,
            }),
        })
    }
}

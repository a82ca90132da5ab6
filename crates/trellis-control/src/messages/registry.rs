//! Credentials of image registries, told to every host.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Credentials by registry, such as `reg.local:5000`.
pub type Registries = BTreeMap<String, RegistryCredential>;

/// How to log in to one registry. Travels in clear, as 1.x has it; is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryCredential {
    /// The password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// A token in place of the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The kind of registry; only `oci` exists.
    #[serde(rename = "registryType", default = "oci")]
    pub registry_type: String,
}

fn oci() -> String {
    "oci".to_owned()
}

impl fmt::Debug for RegistryCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |it: &Option<String>| it.as_ref().map(|_| "…");
        f.debug_struct("RegistryCredential")
            .field("username", &self.username)
            .field("password", &hidden(&self.password))
            .field("token", &hidden(&self.token))
            .field("registry_type", &self.registry_type)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let credential = RegistryCredential {
            password: Some("hunter2".to_owned()),
            token: Some("hunter3".to_owned()),
            username: Some("bob".to_owned()),
            registry_type: oci(),
        };
        let printed = format!("{credential:?}");
        assert!(!printed.contains("hunter"), "{printed}");
        assert!(printed.contains("bob"));
    }
}

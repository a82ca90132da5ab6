//! Claims, as `claims.get` lists them: flat maps with legacy short keys beside the long ones.

use super::TextMap;
use crate::state::Claims;

/// The claims of one component or provider: text by key, `""` for what is absent.
pub type ClaimsMap = TextMap;

/// Returns `claims` in the form of `claims.get`.
pub fn claims_map(claims: &Claims) -> ClaimsMap {
    let common = |issuer: &str, name: &str, revision: &str, subject: &str, version: &str| {
        let pairs = [
            ("iss", issuer),
            ("issuer", issuer),
            ("name", name),
            ("rev", revision),
            ("revision", revision),
            ("sub", subject),
            ("subject", subject),
            ("version", version),
        ];
        ClaimsMap::from(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())))
    };
    match claims {
        Claims::Component(it) => {
            let mut map = common(&it.issuer, &it.name, &it.revision, &it.subject, &it.version);
            map.insert("call_alias".to_owned(), it.call_alias.clone());
            map.insert("tags".to_owned(), it.tags.join(","));
            map
        }
        Claims::Provider(it) => {
            let mut map = common(&it.issuer, &it.name, &it.revision, &it.subject, &it.version);
            let schema = it.config_schema.clone().unwrap_or_default();
            map.insert("config_schema".to_owned(), schema);
            map
        }
    }
}

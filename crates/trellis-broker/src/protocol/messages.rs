//! The two JSON bodies of the protocol: INFO from the broker, CONNECT from a client.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The version of the protocol of which a client may say that it speaks it (1: INFO at any time).
const PROTOCOL_MAX: i64 = 1;

/// What the broker says of itself when a client comes.
#[derive(Clone, Debug, Serialize)]
pub struct Info<'a> {
    /// The id of this run of the broker.
    pub server_id: &'a str,
    /// The name of the broker.
    pub server_name: &'a str,
    /// The version of nats-server whose core protocol this is; clients compare it.
    pub version: &'a str,
    /// The version of the protocol.
    pub proto: u8,
    /// The address that was bound.
    pub host: String,
    /// The port that was bound.
    pub port: u16,
    /// Whether messages may have headers: always.
    pub headers: bool,
    /// Whether a client must show credentials.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub auth_required: bool,
    /// How long a message may be, headers included, in bytes.
    pub max_payload: usize,
    /// Whether there is JetStream: never.
    pub jetstream: bool,
    /// The number of this client.
    pub client_id: u64,
    /// The address of this client.
    pub client_ip: String,
    /// What the client has to sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<&'a str>,
}

/// What a client says of itself and asks for. What it leaves out is as nats-server takes it.
#[derive(Clone, Deserialize)]
#[serde(default)]
pub struct Connect {
    /// Whether each operation is acknowledged with `+OK`.
    pub verbose: bool,
    /// Whether subjects of published messages are checked.
    pub pedantic: bool,
    /// Whether the client gets its own messages.
    pub echo: bool,
    /// Whether the client understands headers.
    pub headers: bool,
    /// Whether a request that nobody serves is answered at once.
    pub no_responders: bool,
    /// The version of the protocol it speaks.
    pub protocol: i64,
    /// The name of the client, for logs.
    pub name: String,
    /// The language of its library.
    pub lang: String,
    /// The version of its library.
    pub version: String,
    /// The user's JWT.
    pub jwt: String,
    /// The signature of the nonce, in base64 for URLs without padding.
    #[serde(rename = "sig")]
    pub signature: String,
}

impl Default for Connect {
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            protocol: 0,
            name: String::new(),
            lang: String::new(),
            version: String::new(),
            jwt: String::new(),
            signature: String::new(),
        }
    }
}

impl Connect {
    /// Reads the JSON text of a client. A field that is null counts as left out: so do those who
    /// write all fields, and so does nats-server.
    ///
    /// # Errors
    /// When it is no JSON object, or a field is of another type.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        let mut fields: Map<String, Value> = serde_json::from_slice(json)?;
        fields.retain(|_, value| !value.is_null());
        serde_json::from_value(Value::Object(fields))
    }

    /// Returns whether the broker speaks the client's version of the protocol.
    pub fn speaks_our_protocol(&self) -> bool {
        (0..=PROTOCOL_MAX).contains(&self.protocol)
    }
}

/// Leaves out the credentials.
impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("name", &self.name)
            .field("lang", &self.lang)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_leaves_out_is_as_nats_server_takes_it() {
        let connect = Connect::parse(br#"{"echo":null,"jwt":null}"#).expect("an object");
        assert!(connect.verbose && connect.pedantic && connect.echo);
        assert!(!connect.headers && !connect.no_responders);
    }

    #[test]
    fn credentials_are_not_printed() {
        let connect: Connect =
            serde_json::from_str(r#"{"jwt":"token","sig":"signed","name":"shop"}"#).expect("valid");
        let text = format!("{connect:?}");
        assert!(text.contains("shop") && !text.contains("token") && !text.contains("signed"));
    }
}

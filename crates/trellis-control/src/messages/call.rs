//! Ours: to call an exported function by hand, and to learn which there are.
//!
//! Values travel as WAVE text. The host that runs the component knows its types, so a caller needs
//! none.

use serde::{Deserialize, Serialize};

use super::null_as_empty;

/// Calls one exported function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCommand {
    /// The component.
    pub component_id: String,
    /// The interface, as `namespace:package/interface` with an optional `@version`; absent for a
    /// function that the component exports itself, or where only one has this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The function.
    pub function: String,
    /// The arguments, each as WAVE.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub arguments: Vec<String>,
    /// Time for the call, in milliseconds; the component's own deadline where absent or shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// What the function returned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallResult {
    /// The value as WAVE; absent for a function without result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// How long it ran on the host, in microseconds.
    #[serde(default)]
    pub duration_us: u64,
}

/// Asks which functions a component exports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeCommand {
    /// The component.
    pub component_id: String,
}

/// What a component exports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentExports {
    /// The component.
    pub component_id: String,
    /// Its interfaces.
    #[serde(default)]
    pub interfaces: Vec<ExportedInterface>,
}

/// One exported interface, or the functions of the component itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedInterface {
    /// The name with its version; absent for functions of the component itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its functions.
    #[serde(default)]
    pub functions: Vec<ExportedFunction>,
}

/// One exported function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedFunction {
    /// The name.
    pub name: String,
    /// The signature as WIT, such as `func(bucket: string) -> result<u64, error>`.
    pub signature: String,
}

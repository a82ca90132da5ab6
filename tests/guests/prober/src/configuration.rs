//! Asks for configuration in both shapes that the interface has had.

use crate::Answer;
use crate::bindings::wasi::config0_2_0_draft::runtime;
use crate::bindings::wasi::config0_2_0_rc_1::store;
use crate::query::Query;
use wstd::http::StatusCode;

/// Answers through `wasi:config/runtime`.
pub fn runtime(query: &Query) -> Answer {
    match query.text("key") {
        "" => pairs(runtime::get_all().map_err(|error| format!("{error:?}"))),
        key => value(runtime::get(key).map_err(|error| format!("{error:?}"))),
    }
}

/// Answers through `wasi:config/store`.
pub fn store(query: &Query) -> Answer {
    match query.text("key") {
        "" => pairs(store::get_all().map_err(|error| format!("{error:?}"))),
        key => value(store::get(key).map_err(|error| format!("{error:?}"))),
    }
}

fn value(result: Result<Option<String>, String>) -> Answer {
    match result {
        Ok(Some(value)) => (StatusCode::OK, value),
        Ok(None) => (StatusCode::NOT_FOUND, "no such key".to_owned()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

fn pairs(result: Result<Vec<(String, String)>, String>) -> Answer {
    match result {
        Ok(mut pairs) => {
            pairs.sort();
            let lines: Vec<String> = pairs
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            (StatusCode::OK, lines.join("\n"))
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

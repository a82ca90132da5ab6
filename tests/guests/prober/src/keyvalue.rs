//! Key-value operations, one per path.

use crate::Answer;
use crate::bindings::wasi::keyvalue::store::{self, Bucket};
use crate::bindings::wasi::keyvalue::{atomics, batch};
use crate::query::Query;
use wstd::http::StatusCode;

/// Runs `operation` with the parameters of `query`.
pub fn run(operation: &str, query: &Query) -> Answer {
    match attempt(operation, query) {
        Ok(Some(text)) => (StatusCode::OK, text),
        Ok(None) => (StatusCode::NOT_FOUND, "nothing there".to_owned()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:?}")),
    }
}

fn attempt(operation: &str, query: &Query) -> Result<Option<String>, store::Error> {
    let bucket = store::open(query.text("bucket"))?;
    let key = query.text("key");
    let done = |()| Some("done".to_owned());
    match operation {
        "get" => Ok(bucket.get(key)?.map(text)),
        "set" => bucket.set(key, query.text("value").as_bytes()).map(done),
        "delete" => bucket.delete(key).map(done),
        "exists" => bucket.exists(key).map(|exists| Some(exists.to_string())),
        "list" => list(&bucket).map(Some),
        "increment" => {
            atomics::increment(&bucket, key, query.number("delta")).map(|sum| Some(sum.to_string()))
        }
        "set-many" => batch::set_many(&bucket, &pairs(query)).map(done),
        "get-many" => get_many(&bucket, query).map(Some),
        "delete-many" => batch::delete_many(&bucket, &names(query)).map(done),
        _ => Ok(None),
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

fn list(bucket: &Bucket) -> Result<String, store::Error> {
    let mut keys = Vec::new();
    let mut cursor = None;
    loop {
        let page = bucket.list_keys(cursor)?;
        keys.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            keys.sort();
            return Ok(keys.join("\n"));
        }
    }
}

fn get_many(bucket: &Bucket, query: &Query) -> Result<String, store::Error> {
    let found = batch::get_many(bucket, &names(query))?;
    let lines: Vec<String> = found
        .into_iter()
        .map(|pair| {
            pair.map_or_else(
                || "-".to_owned(),
                |(key, value)| format!("{key}={}", text(value)),
            )
        })
        .collect();
    Ok(lines.join("\n"))
}

fn names(query: &Query) -> Vec<String> {
    query
        .others("bucket")
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn pairs(query: &Query) -> Vec<(String, Vec<u8>)> {
    query
        .others("bucket")
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .collect()
}

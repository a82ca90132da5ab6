//! What hosts tell, as the client of 1.x reads it.

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::lab::{Lab, PATIENCE};

/// Every event from a moment on, in the order of their publishing.
pub(crate) struct Events(mpsc::UnboundedReceiver<Value>);

impl Events {
    pub(crate) async fn follow(lab: &Lab) -> Self {
        // One subscription for all types, so that the order is kept.
        let all = vec!["*".to_owned()];
        let mut receiver = lab.client.events_receiver(all).await.unwrap();
        lab.connection.flush().await.unwrap();
        let (sender, events) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(event) = receiver.recv().await {
                let event = serde_json::to_value(event).unwrap();
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Self(events)
    }

    /// Returns the next event of type `name`; others before it are dropped.
    pub(crate) async fn next(&mut self, name: &str) -> Value {
        let kind = format!("com.wasmcloud.lattice.{name}");
        let mut others = Vec::new();
        loop {
            let event = timeout(PATIENCE, self.0.recv()).await;
            let event = event.unwrap_or_else(|_| panic!("no {name} after {others:?}"));
            let event = event.unwrap();
            check_attributes(&event);
            if event["type"] == kind.as_str() {
                return event;
            }
            others.push(event);
        }
    }

    /// Returns the next event of type `name` whose `field` is `value`.
    pub(crate) async fn next_about(&mut self, name: &str, field: &str, value: &str) -> Value {
        loop {
            let event = self.next(name).await;
            if event["data"][field] == value {
                return event;
            }
        }
    }

    /// Returns the types of all events until now, but heartbeats. Only for a lattice of one host.
    pub(crate) async fn so_far(&mut self, lab: &Lab) -> Vec<String> {
        let name = "the-end-of-what-is-looked-at";
        let end = std::collections::HashMap::new();
        lab.client.put_config(name, end).await.unwrap();
        let mut names = Vec::new();
        loop {
            let event = timeout(PATIENCE, self.0.recv()).await.unwrap().unwrap();
            check_attributes(&event);
            let kind = event["type"].as_str().unwrap();
            let kind = kind.rsplit_once('.').unwrap().1.to_owned();
            if kind == "config_set" && event["data"]["config_name"] == name {
                return names;
            }
            if kind != "host_heartbeat" {
                names.push(kind);
            }
        }
    }
}

/// Checks what every event has beside its type and data.
fn check_attributes(event: &Value) {
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["datacontenttype"], "application/json");
    let source = event["source"].as_str().unwrap();
    assert!(source.starts_with('N') && source.len() == 56, "{event}");
    for required in ["id", "time"] {
        assert!(
            event[required].as_str().is_some_and(|it| it.len() > 19),
            "{event}"
        );
    }
}

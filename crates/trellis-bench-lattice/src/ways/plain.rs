//! A plain request and a plain reply: what NATS itself costs.

use anyhow::Result;
use async_nats::Client;
use bytes::Bytes;
use futures_util::StreamExt as _;

use crate::caller::Caller;

const SUBJECT: &str = "bench.plain.echo";

/// Answers requests with what they hold.
pub(super) async fn serve(url: &str) -> Result<Client> {
    let client = async_nats::connect(url).await?;
    let mut requests = client.queue_subscribe(SUBJECT, "bench".to_owned()).await?;
    let answering = client.clone();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            if let Some(reply) = request.reply {
                // Fails when the connection is closed; then no request comes either.
                let _ = answering.publish(reply, request.payload).await;
            }
        }
    });
    client.flush().await?;
    Ok(client)
}

/// Makes requests.
#[derive(Clone)]
pub(super) struct Plain(Client);

/// Connects the asking end.
pub(super) async fn connect(url: &str) -> Result<Plain> {
    Ok(Plain(async_nats::connect(url).await?))
}

impl Caller for Plain {
    async fn call(&self, payload: Bytes) -> Result<Bytes> {
        Ok(self.0.request(SUBJECT, payload).await?.payload)
    }
}

//! The stream of log lines.

use futures_util::StreamExt;
use futures_util::stream::{SelectAll, select_all};
use trellis_lattice::Subscription;

use super::{Client, ClientError};
use crate::json::{self, JsonError, REPLY_BYTES_MAX};
use crate::messages::LogLine;
use crate::names::HostId;
use crate::subjects::LogSource;

/// Log lines as they come. Dropping it ends it.
#[derive(Debug)]
pub struct LogLines(SelectAll<Subscription>);

impl LogLines {
    /// Returns the next line; `None` once the connection is closed.
    ///
    /// # Errors
    /// When a message is no log line; the next one may be.
    ///
    /// # Cancel safety
    /// Cancelling loses no line.
    pub async fn next(&mut self) -> Option<Result<LogLine, JsonError>> {
        let message = self.0.next().await?;
        Some(json::decode(&message.payload, REPLY_BYTES_MAX))
    }
}

impl Client {
    /// Listens to the log lines of `source` on `host`, or on every host. A host publishes them only
    /// for a while after [`Client::tail`] asked it to.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn log_lines(
        &self,
        host: Option<&HostId>,
        source: &LogSource,
    ) -> Result<LogLines, ClientError> {
        let subject = match host {
            Some(host) => self.subjects.log_lines(host, source),
            None => self.subjects.log_lines_of_all_hosts(source),
        };
        let subscriptions = self.listen("listen to logs", vec![subject]).await?;
        Ok(LogLines(select_all(subscriptions)))
    }
}

//! A server that speaks as much of the NATS protocol as a bucket's reader needs, and answers from a
//! script: for what a real server does once in a thousand times.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A message that the script sends.
pub(crate) struct Answer {
    /// The subject whose subscriber gets it.
    pub(crate) to: String,
    /// The subject that it shows, where it is another.
    pub(crate) subject: Option<String>,
    pub(crate) reply: Option<String>,
    /// A status and its text in place of a message.
    pub(crate) status: Option<&'static str>,
    pub(crate) payload: String,
}

impl Answer {
    /// Makes a plain answer.
    pub(crate) fn new(to: &str, payload: impl Into<String>) -> Self {
        Self {
            to: to.to_owned(),
            subject: None,
            reply: None,
            status: None,
            payload: payload.into(),
        }
    }

    /// Makes a status, such as `404 No Messages`.
    pub(crate) fn status(to: &str, status: &'static str) -> Self {
        Self {
            status: Some(status),
            ..Self::new(to, "")
        }
    }
}

/// What a client published.
pub(crate) struct Published<'a> {
    pub(crate) subject: &'a str,
    pub(crate) reply: &'a str,
    pub(crate) payload: &'a [u8],
}

/// What the server does with what is published.
pub(crate) trait Script: Send + Sync + 'static {
    /// Returns the messages that are sent then, in order.
    fn answer(&self, published: &Published<'_>) -> Vec<Answer>;
}

/// A running server; it ends when dropped.
pub(crate) struct ScriptedServer {
    pub(crate) url: String,
    _serving: JoinSet<()>,
}

impl ScriptedServer {
    pub(crate) async fn start(script: Arc<dyn Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(serve(socket, script.clone()));
            }
        });
        Self {
            url,
            _serving: serving,
        }
    }
}

/// Serves one connection until it ends.
async fn serve(socket: TcpStream, script: Arc<dyn Script>) {
    let (reader, mut writer) = socket.into_split();
    let mut reader = BufReader::new(reader);
    let info = r#"INFO {"server_id":"S","version":"2.15.0","proto":1,"headers":true,"max_payload":1048576,"host":"127.0.0.1","port":4222}"#;
    writer
        .write_all(format!("{info}\r\n").as_bytes())
        .await
        .unwrap();
    // Subjects with the numbers of their subscriptions.
    let mut subscribed: Vec<(String, String)> = Vec::new();
    let mut line = String::new();
    while reader
        .read_line(&mut line)
        .await
        .is_ok_and(|bytes| bytes > 0)
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        let out = match words[..] {
            ["PING"] => "PONG\r\n".to_owned(),
            ["SUB", subject, .., sid] => {
                subscribed.push((subject.to_owned(), sid.to_owned()));
                String::new()
            }
            ["UNSUB", sid, ..] => {
                subscribed.retain(|(_, known)| known != sid);
                String::new()
            }
            [verb @ ("PUB" | "HPUB"), subject, .., size] => {
                let mut payload = vec![0; size.parse::<usize>().unwrap() + 2];
                reader.read_exact(&mut payload).await.unwrap();
                payload.truncate(payload.len() - 2);
                let has_reply = words.len() > if verb == "PUB" { 3 } else { 4 };
                let published = Published {
                    subject,
                    reply: if has_reply { words[2] } else { "" },
                    payload: &payload,
                };
                let answers = script.answer(&published);
                answers.iter().map(|it| frame(it, &subscribed)).collect()
            }
            _ => String::new(), // CONNECT, PONG
        };
        if writer.write_all(out.as_bytes()).await.is_err() {
            return;
        }
        line.clear();
    }
}

/// Writes an answer as its subscriber gets it; nothing where there is none.
fn frame(answer: &Answer, subscribed: &[(String, String)]) -> String {
    let Some((_, sid)) = subscribed
        .iter()
        .find(|(subject, _)| covers(subject, &answer.to))
    else {
        return String::new();
    };
    let subject = answer.subject.as_deref().unwrap_or(&answer.to);
    let reply = answer.reply.as_deref().unwrap_or_default();
    let payload = &answer.payload;
    match answer.status {
        Some(status) => {
            let header = format!("NATS/1.0 {status}\r\n\r\n");
            let (header_size, size) = (header.len(), header.len() + payload.len());
            format!("HMSG {subject} {sid} {reply} {header_size} {size}\r\n{header}{payload}\r\n")
        }
        None => format!(
            "MSG {subject} {sid} {reply} {}\r\n{payload}\r\n",
            payload.len()
        ),
    }
}

fn covers(pattern: &str, subject: &str) -> bool {
    match pattern.strip_suffix(['*', '>']) {
        Some(start) => subject.starts_with(start),
        None => pattern == subject,
    }
}

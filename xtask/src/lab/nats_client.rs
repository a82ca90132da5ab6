//! The least of the NATS protocol that asks a thousand questions at once: a process for each command would measure
//! processes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// How long a read may take before the server counts as hung.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest message that is read: what the server allows by default.
const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// The longest line of the protocol that is read; the server's greeting is the longest.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Where answers arrive, below which each question has a number.
const INBOX: &str = "_INBOX.lab";

/// A connection without rights or encryption.
pub(super) struct NatsClient {
    connection: BufReader<TcpStream>,
}

impl NatsClient {
    /// Connects.
    ///
    /// # Errors
    /// When there is no NATS server.
    pub(super) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, READ_TIMEOUT)
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        let mut client = Self {
            connection: BufReader::new(stream),
        };
        let greeting = client.line()?;
        ensure!(
            greeting.starts_with("INFO "),
            "{address} is no NATS server: {greeting}"
        );
        let options = r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true}"#;
        client.send(format!("CONNECT {options}\r\nSUB {INBOX}.* 1\r\nPING\r\n").as_bytes())?;
        while client.line()? != "PONG" {}
        Ok(client)
    }

    /// Asks all `questions`, a subject and a payload each, and returns their answers in the same order.
    ///
    /// # Errors
    /// A broken connection, a question that nobody hears, or an answer that is not JSON.
    pub(super) fn ask_all(&mut self, questions: &[(String, Value)]) -> Result<Vec<Value>> {
        let mut bytes = Vec::new();
        for (number, (subject, payload)) in questions.iter().enumerate() {
            let payload = payload.to_string();
            let head = format!("PUB {subject} {INBOX}.{number} {}\r\n", payload.len());
            bytes.extend_from_slice(head.as_bytes());
            bytes.extend_from_slice(payload.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        self.send(&bytes)?;
        let mut answers = vec![None; questions.len()];
        let mut missing = questions.len();
        while missing > 0 {
            let (number, payload) = self.message()?;
            let asked = questions.get(number);
            let (subject, _) = asked.with_context(|| format!("nobody asked {number}"))?;
            ensure!(!payload.is_empty(), "nobody hears {subject}");
            let answer = serde_json::from_slice(&payload)
                .with_context(|| format!("the answer of {subject} is not JSON"))?;
            if answers[number].replace(answer).is_none() {
                missing -= 1;
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let stream = self.connection.get_mut();
        stream.write_all(bytes).context("cannot send to NATS")
    }

    /// Reads the next message: the number of its question, and its payload without headers.
    fn message(&mut self) -> Result<(usize, Vec<u8>)> {
        loop {
            let line = self.line()?;
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["MSG", subject, _, length] => return self.payload(subject, "0", length),
                ["HMSG", subject, _, head, length] => return self.payload(subject, head, length),
                ["PING"] => self.send(b"PONG\r\n")?,
                ["-ERR", ..] => bail!("NATS says {line}"),
                _ => {}
            }
        }
    }

    fn payload(&mut self, subject: &str, head: &str, length: &str) -> Result<(usize, Vec<u8>)> {
        let number = subject.rsplit('.').next().and_then(|it| it.parse().ok());
        let number = number.with_context(|| format!("{subject} is no inbox of ours"))?;
        let (head, length): (usize, usize) = (head.parse()?, length.parse()?);
        ensure!(
            head <= length && length <= PAYLOAD_BYTES_MAX,
            "a message of {length} bytes"
        );
        let mut bytes = vec![0; length + 2];
        self.connection
            .read_exact(&mut bytes)
            .context("NATS sends no more")?;
        bytes.truncate(length);
        Ok((number, bytes.split_off(head)))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let mut limited = (&mut self.connection).take(LINE_BYTES_MAX);
        limited.read_line(&mut line).context("NATS sends no more")?;
        ensure!(line.ends_with('\n'), "the connection to NATS ended");
        Ok(line.trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use serde_json::json;

    use super::*;

    /// Asks two questions of a server that says `answers` once it has read them.
    fn ask(answers: &'static str) -> Result<Vec<Value>> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            stream.write_all(b"INFO {}\r\n").expect("it listens");
            let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
            while lines.next().expect("it asks").expect("text") != "PING" {}
            stream.write_all(b"PONG\r\n").expect("it listens");
            for _ in 0..4 {
                lines.next().expect("it asks").expect("text");
            }
            stream.write_all(answers.as_bytes()).expect("it listens");
        });
        let mut client = NatsClient::connect(address).expect("it greets");
        let question = |subject: &str| (subject.to_owned(), json!({"a": 1}));
        let answers = client.ask_all(&[question("x"), question("y")]);
        server.join().expect("the server ends");
        answers
    }

    #[test]
    fn answers_come_in_the_order_of_the_questions() {
        let answers = ask("PING\r\nMSG _INBOX.lab.1 1 2\r\n{}\r\n\
             HMSG _INBOX.lab.0 1 12 14\r\nNATS/1.0\r\n\r\n[]\r\n");
        assert_eq!(answers.expect("both"), [json!([]), json!({})]);
    }

    #[test]
    fn a_question_that_nobody_hears_is_an_error() {
        let error = ask("HMSG _INBOX.lab.0 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n");
        let error = error.expect_err("no responders");
        assert_eq!(error.to_string(), "nobody hears x");
        assert!(ask("-ERR 'Unknown'\r\n").is_err());
        assert!(ask("MSG _INBOX.lab.0 1 99999999\r\n").is_err());
    }
}

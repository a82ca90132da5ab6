//! The requests in one instance, as seen from outside: which of them still need it, and until when.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;
use std::time::Instant;

use trellis_core::ErrorClass;

use super::End;
use super::job::{Standing, Ticket};
use crate::call_error::CallError;
use crate::guarded::Deadline;

/// The tickets of one instance. An answered one stays until somebody looks: a request that never waits
/// ends without that.
pub(super) struct Tickets {
    list: Vec<Arc<Ticket>>,
    /// The latest deadline of those that were answered. Until then the guest may go on with their
    /// bodies, or with what it does after them.
    answered: Option<Deadline>,
    /// One that passed before the answer or its body had ended.
    passed: Option<Deadline>,
    /// How many clients went away without an answer.
    left: u32,
}

/// What is to be done about the tickets of an instance.
pub(super) struct Outlook {
    /// When to look again, or why the instance is needed no more.
    pub(super) next: Result<Instant, End>,
    /// A request passed its deadline.
    pub(super) is_late: bool,
    /// The deadline of a body that was cut off at it.
    pub(super) cut: Option<Deadline>,
}

impl Tickets {
    pub(super) fn new(first: Arc<Ticket>) -> Mutex<Self> {
        Mutex::new(Self {
            list: vec![first],
            answered: None,
            passed: None,
            left: 0,
        })
    }

    pub(super) fn admit(&mut self, ticket: Arc<Ticket>) {
        self.list.push(ticket);
    }

    /// Takes note that all of them have their answers.
    pub(super) fn clear(&mut self) {
        self.list.clear();
    }

    /// Takes those that somebody still waits for.
    pub(super) fn take_open(&mut self) -> Vec<Arc<Ticket>> {
        let mut open = std::mem::take(&mut self.list);
        open.retain(|ticket| ticket.is_open());
        open
    }

    /// Ends what has passed its deadline and forgets what is over. `context` is woken when a client
    /// leaves; an instance has room for `requests_max`.
    pub(super) fn look(
        &mut self,
        now: Instant,
        context: &Context<'_>,
        requests_max: u32,
    ) -> Outlook {
        let (mut next, mut cut) = (None, None);
        let mut list = std::mem::take(&mut self.list);
        list.retain(|ticket| {
            let deadline = ticket.deadline;
            let standing = ticket.standing(context);
            if matches!(standing, Standing::Answered | Standing::Streams) {
                self.note_answer(deadline);
            }
            if deadline.expires <= now && standing != Standing::Answered {
                self.passed = Some(deadline);
                if ticket.expire() {
                    cut = Some(deadline);
                }
                return false;
            }
            self.left += u32::from(standing == Standing::Left);
            let is_needed = matches!(standing, Standing::Waits | Standing::Streams);
            if is_needed && next.is_none_or(|next| deadline.expires < next) {
                next = Some(deadline.expires);
            }
            is_needed
        });
        self.list = list;
        Outlook {
            next: next.map_or_else(|| self.rest(now, requests_max), Ok),
            is_late: self.passed.is_some(),
            cut,
        }
    }

    fn note_answer(&mut self, deadline: Deadline) {
        let is_latest = |latest: Deadline| latest.expires < deadline.expires;
        if self.answered.is_none_or(is_latest) {
            self.answered = Some(deadline);
        }
    }

    /// Tells how long the guest may go on when nobody waits for an answer and nobody reads a body. What it
    /// does for those that it has answered is respected, but not where it goes on for one whose time is
    /// over, or for as many that have left as there is room for.
    fn rest(&self, now: Instant, requests_max: u32) -> Result<Instant, End> {
        if let Some(passed) = self.passed {
            return Err(End::Expired(passed));
        }
        match self.answered {
            Some(latest) if latest.expires > now && self.left < requests_max => Ok(latest.expires),
            Some(latest) if self.left == 0 => Err(End::Expired(latest)),
            _ => Err(End::Left),
        }
    }
}

impl Drop for Tickets {
    /// A driver answers all of its requests, unless it panics.
    fn drop(&mut self) {
        for ticket in &self.list {
            ticket.answer(Err(CallError::new(
                ErrorClass::Trap,
                "the instance ended unexpectedly",
            )));
        }
    }
}

pub(super) fn lock(tickets: &Mutex<Tickets>) -> MutexGuard<'_, Tickets> {
    tickets.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;
    use std::time::Duration;

    use ::http::Response;
    use wasmtime_wasi_http::WasiBody;

    use super::super::job::Asked;
    use super::*;
    use crate::http::bodies::Body;

    const LONG: Duration = Duration::from_secs(600);

    fn ticket(patience: Duration) -> (Arc<Ticket>, Asked) {
        Ticket::new(Deadline::start(patience))
    }

    /// The guest answers with `body`, and the client takes it.
    async fn answer(ticket: &Ticket, asked: Asked, body: Body) -> Response<Body> {
        ticket.answer(Ok(Response::new(body)));
        let Ok(response) = asked.await else {
            panic!("it was answered")
        };
        response
    }

    fn empty() -> Body {
        Body::Host(WasiBody::default())
    }

    fn look(tickets: &Mutex<Tickets>, now: Instant) -> Outlook {
        lock(tickets).look(now, &Context::from_waker(Waker::noop()), 2)
    }

    #[tokio::test]
    async fn a_request_that_is_answered_after_a_neighbours_deadline_keeps_the_instance() {
        let (late, _late) = ticket(Duration::ZERO);
        let (other, asked) = ticket(LONG);
        let expires = other.deadline.expires;
        let tickets = Tickets::new(late);
        lock(&tickets).admit(other.clone());
        let outlook = look(&tickets, Instant::now());
        assert!(outlook.is_late);
        assert!(matches!(outlook.next, Ok(next) if next == expires));

        let response = answer(&other, asked, Body::unfinished()).await;
        let outlook = look(&tickets, Instant::now());
        assert!(matches!(outlook.next, Ok(next) if next == expires));
        assert!(outlook.cut.is_none());
        let outlook = look(&tickets, expires);
        assert!(matches!(outlook.next, Err(End::Expired(_))) && outlook.cut.is_some());
        let body = response.into_body().into_wasi_body();
        assert!(http_body_util::BodyExt::collect(body).await.is_err());
    }

    #[tokio::test]
    async fn a_body_that_nobody_reads_any_more_keeps_no_instance_after_a_deadline() {
        let (late, _late) = ticket(Duration::ZERO);
        let (other, asked) = ticket(LONG);
        let tickets = Tickets::new(late);
        lock(&tickets).admit(other.clone());
        drop(answer(&other, asked, Body::unfinished()).await);
        let outlook = look(&tickets, Instant::now());
        assert!(matches!(outlook.next, Err(End::Expired(_))));
    }

    #[tokio::test]
    async fn an_instance_is_given_up_when_the_last_client_leaves_unless_one_was_answered() {
        let (left, asked) = ticket(LONG);
        let tickets = Tickets::new(left);
        drop(asked);
        let outlook = look(&tickets, Instant::now());
        assert!(matches!(outlook.next, Err(End::Left)) && !outlook.is_late);

        let (answered, asked) = ticket(LONG);
        let expires = answered.deadline.expires;
        let tickets = Tickets::new(answered.clone());
        answer(&answered, asked, empty()).await;
        for room in [true, false] {
            let (left, asked) = ticket(LONG);
            lock(&tickets).admit(left);
            drop(asked);
            match look(&tickets, Instant::now()).next {
                Ok(next) => assert!(room && next == expires),
                // As many as there is room for: nobody else would get in.
                Err(end) => assert!(!room && matches!(end, End::Left)),
            }
        }
    }
}

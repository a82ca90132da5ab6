//! Requests into components of WASI 0.3: many at a time in an instance.
//!
//! A driver owns one instance and runs its requests. It starts on the task of the first request, so
//! that a request which never waits costs no task and no queue; when it has to wait it moves to a task
//! of its own and takes further requests from the queue of the generation.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Instant;

use ::http::{HeaderValue, Request, Response};
use futures_util::stream::{FuturesUnordered, StreamExt};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::sync::{Notify, oneshot};
use trellis_core::ErrorClass;
use wasmtime::component::Accessor;
use wasmtime_wasi_http::p3::bindings::Service;
use wasmtime_wasi_http::{WasiBody, WasiHttpView, p3};

use super::response_body::ResponseBody;
use super::sequential::answered_with_error;
use crate::call_error::CallError;
use crate::component::{Generation, Permit};
use crate::cpu_meter::CpuMeter;
use crate::guarded::deadline_error;
use crate::instance_pool::{HttpGuest, Live};
use crate::state::State;

type Answer = Result<Response<WasiBody>, CallError>;

/// How sending the request's body ended, for the guest.
type BodyResult = Pin<Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>>;

/// A request on its way into an instance.
struct Job {
    request: Request<WasiBody>,
    request_id: Option<HeaderValue>,
    ticket: Arc<Ticket>,
    /// It gets an instance to itself.
    alone: bool,
}

/// What the outside holds of a request: where its answer goes, and until when.
struct Ticket {
    answer: Mutex<Option<oneshot::Sender<Answer>>>,
    expires: Instant,
    /// The head of a request that may be sent to another instance when a neighbour traps: it changes
    /// nothing and has no body.
    replay: Mutex<Option<Box<::http::request::Parts>>>,
}

impl Ticket {
    fn take_replay(&self) -> Option<Box<::http::request::Parts>> {
        self.replay.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<oneshot::Sender<Answer>>> {
        self.answer.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn answer(&self, answer: Answer) {
        if let Some(sender) = self.lock().take() {
            // A receiver that is gone has cancelled its request.
            let _ = sender.send(answer);
        }
    }

    /// Tells whether somebody still waits for the answer, and wakes `context` when that ends.
    fn poll_open(&self, context: &mut Context<'_>) -> bool {
        self.lock().as_mut().is_some_and(|sender| sender.poll_closed(context).is_pending())
    }
}

/// The queue of one generation and its drivers that take from it.
pub(crate) struct Concurrent {
    queues: Mutex<Queues>,
    arrived: Notify,
    /// Drivers that have room for another request.
    accepting: AtomicU32,
    /// Drivers that exist.
    drivers: AtomicU32,
    drivers_max: u32,
    requests_max: u32,
}

/// Requests that no driver has taken yet. Bounded by admission: each holds a place there.
#[derive(Default)]
struct Queues {
    /// For any driver with room.
    shared: VecDeque<Job>,
    /// Each for a driver of its own.
    alone: VecDeque<Job>,
}

impl Concurrent {
    pub(crate) fn new(instances_max: u32, concurrency_max: u32) -> Self {
        Self {
            queues: Mutex::default(),
            arrived: Notify::new(),
            accepting: AtomicU32::new(0),
            drivers: AtomicU32::new(0),
            drivers_max: instances_max.max(1),
            requests_max: concurrency_max.max(1),
        }
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn push(&self, job: Job) {
        if job.alone {
            self.queues().alone.push_back(job);
        } else {
            self.queues().shared.push_back(job);
            self.arrived.notify_one();
        }
    }

    /// Takes a request to join others.
    fn take_shared(&self) -> Option<Job> {
        self.queues().shared.pop_front()
    }

    /// Takes the first request of a new driver.
    fn take_any(&self) -> Option<Job> {
        let mut queues = self.queues();
        queues.alone.pop_front().or_else(|| queues.shared.pop_front())
    }

    /// Tells whether a request waits that no existing driver will take.
    fn needs_driver(&self) -> bool {
        let queues = self.queues();
        !queues.alone.is_empty() || (self.accepting.load(SeqCst) == 0 && !queues.shared.is_empty())
    }

    /// Counts one more driver, where there may be one; [`drive`] counts it out.
    fn try_start_driver(&self) -> bool {
        if self.drivers.fetch_add(1, SeqCst) < self.drivers_max {
            return true;
        }
        self.drivers.fetch_sub(1, SeqCst);
        false
    }
}

/// Serves one request.
pub(crate) async fn serve(
    permit: Permit,
    request: Request<WasiBody>,
) -> Result<Response<ResponseBody>, CallError> {
    let generation = permit.generation.clone();
    let patience = generation.pool.limits().deadline;
    let (sender, answer) = oneshot::channel();
    let ticket = Arc::new(Ticket {
        answer: Mutex::new(Some(sender)),
        expires: Instant::now() + patience,
        replay: Mutex::new(replayable(&request, &generation.concurrent)),
    });
    let job = Job { request_id: super::request_id(&request), request, ticket, alone: false };
    let finished = start(&generation, job).await;
    let response = match answer.await {
        Ok(answer) => answer?,
        Err(_) => return Err(CallError::new(ErrorClass::Trap, "the instance ended unexpectedly")),
    };
    Ok(response.map(|body| {
        if finished {
            ResponseBody::finished(body)
        } else {
            ResponseBody::streaming(body, None, Some(permit))
        }
    }))
}

/// Keeps the head of a request that can be sent again, where it may get neighbours at all.
fn replayable(
    request: &Request<WasiBody>,
    concurrent: &Concurrent,
) -> Option<Box<::http::request::Parts>> {
    let harmless = request.method().is_safe() && request.body().is_end_stream();
    if concurrent.requests_max == 1 || !harmless {
        return None;
    }
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = request.method().clone();
    parts.uri = request.uri().clone();
    parts.version = request.version();
    parts.headers = request.headers().clone();
    Some(Box::new(parts))
}

/// Hands the job to a driver. Returns whether that driver has already done all of its work.
async fn start(generation: &Arc<Generation>, job: Job) -> bool {
    let concurrent = &generation.concurrent;
    let idle = generation.pool.take_idle();
    if idle.is_none() && concurrent.accepting.load(SeqCst) > 0 {
        enqueue(generation, job);
        return false;
    }
    if !concurrent.try_start_driver() {
        if let Some(live) = idle {
            generation.pool.give_back(live);
        }
        enqueue(generation, job);
        return false;
    }
    let mut driver = Box::pin(drive(generation.clone(), idle, Some(job)));
    let first = std::future::poll_fn(|context| Poll::Ready(driver.as_mut().poll(context))).await;
    if first.is_pending() {
        tokio::spawn(driver);
    }
    first.is_ready()
}

/// Queues a job and makes sure that some driver will look at the queue.
fn enqueue(generation: &Arc<Generation>, job: Job) {
    generation.concurrent.push(job);
    ensure_driver(generation);
}

/// Starts a driver where a queued request needs one. Called after a request was queued and after a
/// driver stopped accepting or ended, so that whichever comes last sees the other.
fn ensure_driver(generation: &Arc<Generation>) {
    let concurrent = &generation.concurrent;
    if concurrent.needs_driver() && concurrent.try_start_driver() {
        let idle = generation.pool.take_idle();
        tokio::spawn(drive(generation.clone(), idle, None));
    }
}

/// Counts one driver for as long as it lives, and tells others whether it accepts requests.
struct DriverCount {
    generation: Arc<Generation>,
    accepting: AtomicBool,
    /// The guest has waited since it took its last request. An instance that computes takes no other:
    /// that would wait behind the first.
    waited: AtomicBool,
    /// A request in it passed its deadline: it takes no more and ends with the others.
    retiring: AtomicBool,
    /// Its request is to have no neighbours.
    alone: bool,
}

impl DriverCount {
    fn set_accepting(&self, accepting: bool) {
        if self.accepting.swap(accepting, SeqCst) == accepting {
            return;
        }
        if accepting {
            self.generation.concurrent.accepting.fetch_add(1, SeqCst);
        } else {
            self.generation.concurrent.accepting.fetch_sub(1, SeqCst);
            ensure_driver(&self.generation);
        }
    }
}

impl Drop for DriverCount {
    fn drop(&mut self) {
        self.set_accepting(false);
        self.generation.concurrent.drivers.fetch_sub(1, SeqCst);
        ensure_driver(&self.generation);
    }
}

/// The requests in one instance, as seen from outside.
struct Tickets {
    open: Vec<Arc<Ticket>>,
    /// By when the guest must have done everything, bodies included.
    last_expires: Instant,
}

/// Runs one instance until it has nothing to do, then gives it back.
async fn drive(generation: Arc<Generation>, live: Option<Live>, first: Option<Job>) {
    let first = first.or_else(|| generation.concurrent.take_any());
    let count = DriverCount {
        generation: generation.clone(),
        accepting: AtomicBool::new(false),
        waited: AtomicBool::new(false),
        retiring: AtomicBool::new(false),
        alone: first.as_ref().is_some_and(|job| job.alone),
    };
    let Some(first) = first else { return };
    let meter = CpuMeter::new();
    let tickets =
        Mutex::new(Tickets { open: vec![first.ticket.clone()], last_expires: first.ticket.expires });
    let run = Run { count: &count, tickets: &tickets, meter: meter.clone() };
    let work = pin!(run.requests(live, first));
    let watched = Watched { work, tickets: &tickets, meter: &meter, count: &count, timer: None };
    let end = watched.await;
    let open = std::mem::take(&mut lock(&tickets).open);
    match end {
        Ok(live) => generation.pool.give_back(live),
        Err(end) => end.tell(&generation, &open),
    }
}

fn lock(tickets: &Mutex<Tickets>) -> MutexGuard<'_, Tickets> {
    tickets.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Why a driver gave its instance up.
enum End {
    /// The guest failed.
    Failed(CallError),
    /// Every request in it has expired or was cancelled, but the guest goes on.
    Abandoned,
}

impl End {
    /// Tells every request that is still open how it ended. Only one of several can have made the
    /// guest fail: those that may be sent again each get an instance of their own.
    fn tell(self, generation: &Arc<Generation>, open: &[Arc<Ticket>]) {
        let error = match self {
            Self::Failed(error) => error,
            Self::Abandoned => {
                let patience = generation.pool.limits().deadline;
                return open.iter().for_each(|ticket| ticket.answer(Err(deadline_error(patience))));
            }
        };
        for ticket in open {
            let replay = if open.len() > 1 { ticket.take_replay() } else { None };
            match replay {
                Some(parts) => enqueue(generation, Job::replay(*parts, ticket)),
                None => ticket.answer(Err(error.share(open.len()))),
            }
        }
    }
}

impl Job {
    fn replay(parts: ::http::request::Parts, ticket: &Arc<Ticket>) -> Self {
        let empty = http_body_util::Empty::new();
        let body = WasiBody::new(empty.map_err(|never: std::convert::Infallible| match never {}));
        let request = Request::from_parts(parts, body);
        Self {
            request_id: super::request_id(&request),
            request,
            ticket: ticket.clone(),
            alone: true,
        }
    }
}

/// One run of an instance.
struct Run<'a> {
    count: &'a DriverCount,
    tickets: &'a Mutex<Tickets>,
    meter: Arc<CpuMeter>,
}

impl Run<'_> {
    async fn requests(self, live: Option<Live>, first: Job) -> Result<Live, End> {
        let pool = &self.count.generation.pool;
        let live = match live {
            Some(live) => live,
            None => pool.instantiate(&self.meter).await.map_err(End::Failed)?,
        };
        let Live { mut store, instance, http, mut calls_left, .. } = live;
        let Some(HttpGuest::P3(service)) = &http else { return Err(End::Abandoned) };
        store.set_epoch_deadline(1);
        let left = &mut calls_left;
        let result = store
            .run_concurrent(async |accessor| self.accept(accessor, service, first, left).await)
            .await;
        match result.and_then(|inner| inner) {
            Ok(()) => Ok(Live::reassemble(store, instance, http, calls_left)),
            Err(error) => Err(End::Failed(pool.explain(CallError::from_guest(error), &store))),
        }
    }

    /// Takes requests while there is room, until none is left and the guest has nothing to do.
    async fn accept(
        &self,
        accessor: &Accessor<State>,
        service: &Service,
        first: Job,
        calls_left: &mut u32,
    ) -> wasmtime::Result<()> {
        let concurrent = &self.count.generation.concurrent;
        let mut running = FuturesUnordered::new();
        *calls_left = calls_left.saturating_sub(1);
        running.push(self.request(accessor, service, first));
        let mut arrived = pin!(concurrent.arrived.notified());
        std::future::poll_fn(|context| {
            loop {
                while let Poll::Ready(Some(result)) = running.poll_next_unpin(context) {
                    if let Err(error) = result {
                        return Poll::Ready(Err(error));
                    }
                }
                let accepts = *calls_left > 0
                    && !self.count.alone
                    && self.count.waited.load(SeqCst)
                    && !self.count.retiring.load(SeqCst)
                    && running.len() < concurrent.requests_max as usize;
                self.count.set_accepting(accepts);
                if !accepts {
                    // Passes on a notification that came while there was room.
                    arrived.set(concurrent.arrived.notified());
                } else if let Some(job) = concurrent.take_shared() {
                    *calls_left -= 1;
                    self.count.waited.store(false, SeqCst);
                    self.admit(&job);
                    running.push(self.request(accessor, service, job));
                    continue;
                } else if arrived.as_mut().poll(context).is_ready() {
                    arrived.set(concurrent.arrived.notified());
                    continue;
                }
                if !running.is_empty() || accessor.poll_no_interesting_tasks(context).is_pending() {
                    return Poll::Pending;
                }
                self.count.set_accepting(false);
                return Poll::Ready(Ok(()));
            }
        })
        .await
    }

    fn admit(&self, job: &Job) {
        let mut tickets = lock(self.tickets);
        tickets.last_expires = tickets.last_expires.max(job.ticket.expires);
        tickets.open.push(job.ticket.clone());
    }

    async fn request(
        &self,
        accessor: &Accessor<State>,
        service: &Service,
        job: Job,
    ) -> wasmtime::Result<()> {
        self.meter.reset();
        let ticket = job.ticket.clone();
        let (request, sent) = accessor.with(|mut store| {
            let state: &mut State = store.get();
            state.begin(self.meter.clone(), job.request_id);
            let view = state.http();
            let (request, sent) = p3::Request::from_http(view.hooks, job.request);
            let sent: BodyResult = Box::pin(sent);
            view.table.push(request).map(|request| (request, sent))
        })?;
        let answer =
            service.wasi_http_handler().call_handle(accessor, request).await?;
        match answer {
            Ok(response) => {
                let response = accessor.with(|mut store| {
                    let state: &mut State = store.get();
                    let response = state.table().delete(response)?;
                    response.into_http_with_getter(&mut store, sent, State::http)
                })?;
                ticket.answer(Ok(response));
            }
            Err(code) => ticket.answer(Err(answered_with_error(&code))),
        }
        lock(self.tickets).open.retain(|open| !Arc::ptr_eq(open, &ticket));
        self.meter.reset();
        Ok(())
    }
}

/// The work of a driver under its meter, with the deadlines of its requests.
struct Watched<'a, F> {
    work: Pin<&'a mut F>,
    tickets: &'a Mutex<Tickets>,
    meter: &'a CpuMeter,
    count: &'a DriverCount,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl<F: Future<Output = Result<Live, End>>> Future for Watched<'_, F> {
    type Output = Result<Live, End>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.meter.enter();
        let mut poll = this.work.as_mut().poll(context);
        if poll.is_pending() && !this.count.waited.swap(true, SeqCst) {
            // The guest waits: from now on it may take other requests, beginning with this poll.
            poll = this.work.as_mut().poll(context);
        }
        this.meter.leave();
        if poll.is_ready() {
            return poll;
        }
        this.expire(context)
    }
}

impl<F> Watched<'_, F> {
    /// Answers requests whose deadline passed; gives the instance up when nobody waits for it.
    fn expire(&mut self, context: &mut Context<'_>) -> Poll<Result<Live, End>> {
        let patience = self.count.generation.pool.limits().deadline;
        loop {
            let now = Instant::now();
            let next = {
                let mut tickets = lock(self.tickets);
                let had_open = !tickets.open.is_empty();
                for ticket in &tickets.open {
                    if ticket.expires <= now {
                        self.count.retiring.store(true, SeqCst);
                        ticket.answer(Err(deadline_error(patience)));
                    }
                }
                tickets.open.retain(|ticket| ticket.poll_open(context));
                let abandoned = tickets.open.is_empty()
                    && (had_open || self.count.retiring.load(SeqCst) || tickets.last_expires <= now);
                if abandoned {
                    return Poll::Ready(Err(End::Abandoned));
                }
                let first = tickets.open.iter().map(|ticket| ticket.expires).min();
                first.unwrap_or(tickets.last_expires)
            };
            let timer =
                self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next.into())));
            if timer.deadline().into_std() != next {
                timer.as_mut().reset(next.into());
            }
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

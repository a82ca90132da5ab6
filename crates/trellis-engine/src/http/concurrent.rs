//! Requests into components of WASI 0.3: many at a time in an instance.
//!
//! A driver owns one instance and runs its requests. It starts on the task of the first request, so
//! that a request which never waits costs no task and no queue; when it has to wait it moves to a task
//! of its own and takes further requests from the queue of the generation.

mod job;
mod queue;
mod running;
mod tickets;
mod watched;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Poll;

use ::http::{Request, Response};
use wasmtime::component::Accessor;
use wasmtime_wasi_http::p3::bindings::Service;
use wasmtime_wasi_http::{WasiBody, WasiHttpView};

pub(crate) use self::job::Head;
use self::job::{Answer, Asked, Incoming, Job, Ticket, is_replayable};
pub(crate) use self::queue::Concurrent;
use self::running::Running;
use self::tickets::{Tickets, lock};
use self::watched::Watched;
use super::bodies::Body;
use super::response_body::{ResponseBody, Rest};
use super::sequential::answered_with_error;
use crate::call_error::CallError;
use crate::component::{Generation, Permit};
use crate::cpu_meter::CpuMeter;
use crate::event_loop;
use crate::guarded::Deadline;
use crate::instance_pool::{HttpGuest, Live};
use crate::state::State;
use crate::streams::Life;

/// Serves one request.
pub(crate) async fn serve(
    permit: Permit,
    deadline: Deadline,
    request: Request<WasiBody>,
) -> Result<Response<ResponseBody>, CallError> {
    let generation = permit.generation.clone();
    let (ticket, asked) = Ticket::new(deadline);
    let job = Job {
        request_id: super::request_id(request.headers()),
        request: Incoming::First(request),
        ticket,
        alone: false,
    };
    let finished = start(&generation, job).await;
    let response = match finished {
        true => asked.await?,
        // It may be in the queue, where nobody watches it.
        false => in_time(asked, deadline).await?,
    };
    Ok(response.map(|body| match body.into_whole() {
        Ok(data) => ResponseBody::whole(data),
        Err(Body::Host(body)) if finished => ResponseBody::finished(body),
        Err(body) => {
            let component = generation.id.clone();
            ResponseBody::streaming(
                body.into_wasi_body(),
                Rest {
                    component,
                    task: None,
                    permit: Some(permit),
                },
            )
        }
    }))
}

/// Waits for an answer until `deadline`.
async fn in_time(asked: Asked, deadline: Deadline) -> Answer {
    let answer = tokio::time::timeout_at(deadline.expires.into(), asked).await;
    answer.unwrap_or_else(|_| Err(deadline.error()))
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
    if event_loop::is_inside() {
        tokio::spawn(driver);
        return false;
    }
    let first = std::future::poll_fn(|context| Poll::Ready(driver.as_mut().poll(context))).await;
    if first.is_pending() {
        tokio::spawn(driver);
    }
    first.is_ready()
}

/// Queues a job and makes sure that some driver will look at the queue.
fn enqueue(generation: &Arc<Generation>, job: Job) {
    let places = generation.admission.running();
    generation.concurrent.push(job, places);
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
    let Some(first) = first else {
        if let Some(live) = live {
            generation.pool.give_back(live);
        }
        return;
    };
    let meter = match &live {
        Some(live) => live.store.data().meter.clone(),
        None => CpuMeter::new(&generation.figures),
    };
    meter.clear();
    let tickets = Tickets::new(first.ticket.clone());
    let life = OnceLock::new();
    let run = Run {
        count: &count,
        tickets: &tickets,
        life: &life,
        meter: meter.clone(),
    };
    let work = pin!(run.requests(live, first));
    let watched = Watched {
        work,
        tickets: &tickets,
        meter: &meter,
        count: &count,
        timer: None,
    };
    let end = watched.await;
    match end {
        Ok(live) => {
            lock(&tickets).clear();
            generation.pool.give_back(live);
        }
        Err(end) => {
            if let (End::Expired(deadline), Some(life)) = (&end, life.get()) {
                // Before the store goes, so that its streams break with the reason.
                life.end(&deadline.error());
            }
            let open = lock(&tickets).take_open();
            end.tell(&generation, &open);
        }
    }
}

/// Why a driver gave its instance up.
enum End {
    /// The guest failed.
    Failed(CallError),
    /// The guest goes on, but the time of its requests is over.
    Expired(Deadline),
    /// The guest goes on, but nobody waits for it.
    Left,
}

impl End {
    /// Tells every request that is still open how it ended. Only one of several can have made the
    /// guest fail: those that may be sent again each get an instance of their own.
    fn tell(self, generation: &Arc<Generation>, open: &[Arc<Ticket>]) {
        let error = match self {
            Self::Failed(error) => error,
            Self::Expired(_) | Self::Left => {
                return open
                    .iter()
                    .for_each(|ticket| ticket.answer(Err(ticket.deadline.error())));
            }
        };
        if open.is_empty() {
            // Its requests have their answers: at most their bodies can still tell.
            let component_id = generation.id.as_str();
            tracing::warn!(component_id, %error, "component failed after its answer");
        }
        for ticket in open {
            let replay = if open.len() > 1 {
                ticket.take_replay()
            } else {
                None
            };
            match replay {
                Some(head) => enqueue(generation, Job::replay(head, ticket)),
                None => ticket.answer(Err(error.share(open.len()))),
            }
        }
    }
}

/// One run of an instance.
struct Run<'a> {
    count: &'a DriverCount,
    tickets: &'a Mutex<Tickets>,
    /// The life of its store, once there is one.
    life: &'a OnceLock<Arc<Life>>,
    meter: Arc<CpuMeter>,
}

impl Run<'_> {
    async fn requests(self, live: Option<Live>, first: Job) -> Result<Live, End> {
        let pool = &self.count.generation.pool;
        let live = match live {
            Some(live) => live,
            None => pool.instantiate(&self.meter).await.map_err(End::Failed)?,
        };
        // The life comes last, so that it is dropped before the store.
        let Live {
            mut store,
            instance,
            http,
            mut calls_left,
            life,
            ..
        } = live;
        let Some(HttpGuest::P3(service)) = &http else {
            return Err(End::Left);
        };
        store.set_epoch_deadline(1);
        let left = &mut calls_left;
        let written = self.life.get_or_init(|| life.0.clone());
        let result = store
            .run_concurrent(async |accessor| {
                self.accept(accessor, service, written, first, left).await
            })
            .await;
        match result.and_then(|inner| inner) {
            Ok(()) => Ok(Live::reassemble(life, store, instance, http, calls_left)),
            Err(error) => {
                // Also for one that had not begun beside the one that failed: nobody can tell.
                let error = CallError::from_guest(error).having_run();
                let error = pool.explain(error, &store);
                life.0.end(&error);
                Err(End::Failed(error))
            }
        }
    }

    /// Takes requests while there is room, until none is left and the guest has nothing to do.
    async fn accept(
        &self,
        accessor: &Accessor<State>,
        service: &Service,
        life: &Life,
        first: Job,
        calls_left: &mut u32,
    ) -> wasmtime::Result<()> {
        let concurrent = &self.count.generation.concurrent;
        let mut running = pin!(Running::new(self.request(accessor, service, first)));
        *calls_left = calls_left.saturating_sub(1);
        let mut arrived = pin!(concurrent.arrived.notified());
        let mut listens = false;
        std::future::poll_fn(|context| {
            loop {
                if let Err(error) = running.as_mut().poll_all(context) {
                    return Poll::Ready(Err(error));
                }
                let accepts = *calls_left > 0
                    && !self.count.alone
                    && self.count.waited.load(SeqCst)
                    && !self.count.retiring.load(SeqCst)
                    && running.len() < concurrent.requests_max as usize;
                self.count.set_accepting(accepts);
                if !accepts {
                    if std::mem::take(&mut listens) {
                        // Passes on a notification that came while there was room.
                        arrived.set(concurrent.arrived.notified());
                    }
                } else if let Some(job) = concurrent.take_shared() {
                    *calls_left -= 1;
                    self.count.waited.store(false, SeqCst);
                    self.meter.reset();
                    lock(self.tickets).admit(job.ticket.clone());
                    running.as_mut().push(self.request(accessor, service, job));
                    continue;
                } else {
                    listens = true;
                    if arrived.as_mut().poll(context).is_ready() {
                        arrived.set(concurrent.arrived.notified());
                        continue;
                    }
                }
                // A body can outlast the guest: what another store or the host writes into it passes
                // through this one.
                if running.len() > 0
                    || accessor.poll_no_interesting_tasks(context).is_pending()
                    || life.poll_written(context).is_pending()
                {
                    return Poll::Pending;
                }
                self.count.set_accepting(false);
                return Poll::Ready(Ok(()));
            }
        })
        .await
    }

    async fn request(
        &self,
        accessor: &Accessor<State>,
        service: &Service,
        job: Job,
    ) -> wasmtime::Result<()> {
        let ticket = job.ticket.clone();
        let may_get_neighbours = self.count.generation.concurrent.requests_max > 1;
        let request = accessor.with(|mut store| {
            let state: &mut State = store.get();
            state.begin(self.meter.clone(), job.request_id);
            let (head, body) = job.request.into_parts(state.http().hooks);
            if may_get_neighbours && is_replayable(&head, &body) {
                ticket.keep_for_replay(&head);
            }
            state.push_request(head, body)
        })?;
        let answer = service
            .wasi_http_handler()
            .call_handle(accessor, request)
            .await?;
        match answer {
            Ok(response) => {
                let response = accessor.with(|mut store| store.get().take_response(response))?;
                ticket.answer(Ok(response));
            }
            Err(code) => ticket.answer(Err(answered_with_error(&code))),
        }
        if self.count.waited.load(SeqCst) {
            self.meter.reset();
        } else {
            // All of it was one poll: no clock is worth reading.
            self.meter.clear();
        }
        Ok(())
    }
}

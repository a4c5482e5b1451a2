//! Is the leader still there? Asked while requests wait for it, and of its whole block once it is gone.
//!
//! A frozen process keeps its connections open and its kernel keeps taking bytes, so nothing on a request's own connection tells a
//! slow dyno from a dead block. A *beat* does: it is answered by the block's data path itself, at once, on a connection of its own.
//! While requests of this thread wait at a replica, its [`Pulse`] sends one beat per interval; a beat still out at the next tick is
//! missed, unless that tick itself was late: then it was us who slept. After enough misses the replica is *silent*: its seat is made
//! vacant and everyone who waits there is told.
//!
//! A vacant seat starts a *search*: every replica of the block is asked by beats in quick succession until one says that it leads, so
//! that an election ends for us when it ends, not when gossip brings word of it. One data thread searches for all.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dynomesh_core::dispatch::abandon::BEATS_MISSED_MAX;
use dynomesh_core::id::Address;
use dynomesh_core::time::{Span, Time};
use dynomesh_runtime::clock::Clock;
use dynomesh_runtime::http::client::{Pool, PoolSettings};
use dynomesh_runtime::http::headers::{self, Leader};
use dynomesh_runtime::tls::ClientTls;
use futures::future::join_all;
use http::{HeaderValue, Request, Response};
use http_body_util::Empty;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{debug, info};

use crate::metrics::Metrics;
use crate::seat::Seat;

/// A pulse goes on this long after the last request, so that a busy replica's connection is kept.
const LINGER: Span = Span::from_secs(1);
/// Time a searched replica has to answer, and to be connected to.
const SEARCH_ANSWER_MAX: Span = Span::from_millis(100);
/// Pause between two questions to one replica in a search.
const SEARCH_PAUSE: Span = Span::from_millis(15);
/// The same once a search has gone on for [`SEARCH_PATIENCE`]: a block that is down for good is not to be pestered.
const SEARCH_PAUSE_LONG: Span = Span::from_millis(250);
/// See [`SEARCH_PAUSE_LONG`].
const SEARCH_PATIENCE: Span = Span::from_secs(5);
/// Longest round of a search; then the replicas are looked up again.
const SEARCH_ROUND: Span = Span::from_secs(1);

/// How silence is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BeatSettings {
    /// Time between two beats, and time a beat has to be answered. A tick later than half of it does not count.
    pub interval: Span,
    /// Beats missed in a row that make a replica silent.
    pub missed: u32,
}

impl Default for BeatSettings {
    fn default() -> Self {
        BeatSettings { interval: Span::from_millis(50), missed: BEATS_MISSED_MAX }
    }
}

/// What a replica said of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Leader,
    Other,
}

/// The pulses of one data thread.
pub(crate) struct Beats {
    settings: BeatSettings,
    clock: Clock,
    pool: Pool<Empty<Bytes>>,
    metrics: Metrics,
    pulses: RefCell<HashMap<Address, Rc<Pulse>>>,
}

/// The pulse of one replica.
struct Pulse {
    seat: Arc<Seat>,
    leader: Cell<Leader>,
    waiting: Cell<usize>,
    /// Beats missed in a row.
    missed: watch::Sender<u32>,
}

/// A request that waits at a replica; dropped when it waits no longer.
pub(crate) struct Waiting {
    pulse: Rc<Pulse>,
    missed: watch::Receiver<u32>,
    missed_max: u32,
}

// === impl Waiting ===

impl Waiting {
    /// Completes when the replica is silent, with the beats it missed in a row.
    pub(crate) async fn silent(&mut self) -> u32 {
        let missed_max = self.missed_max;
        // The sender lives as long as the pulse that this guard holds.
        self.missed.wait_for(|missed| *missed >= missed_max).await.map_or(0, |missed| *missed)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.pulse.waiting.set(self.pulse.waiting.get() - 1);
    }
}

// === impl Beats ===

impl Beats {
    /// No pulse yet. On a data thread.
    pub(crate) fn new(settings: BeatSettings, clock: Clock, metrics: Metrics, tls: Option<ClientTls>) -> Rc<Self> {
        let pool = PoolSettings { connect_timeout: Span::from_secs(1), idle_max: 2, idle: Span::from_secs(5), tls };
        let pool = Pool::new(pool, clock.clone());
        Rc::new(Beats { settings, clock, pool, metrics, pulses: RefCell::default() })
    }

    /// Begins to wait at `leader`, whose pulse runs from now on.
    pub(crate) fn wait_at(self: &Rc<Self>, seat: &Arc<Seat>, leader: Leader) -> Waiting {
        let mut pulses = self.pulses.borrow_mut();
        let pulse = pulses.entry(leader.http).or_insert_with(|| {
            let (missed, _) = watch::channel(0);
            let pulse = Rc::new(Pulse { seat: seat.clone(), leader: Cell::new(leader), waiting: Cell::new(0), missed });
            spawn_local(self.clone().run(pulse.clone()));
            pulse
        });
        pulse.waiting.set(pulse.waiting.get() + 1);
        pulse.leader.set(leader);
        Waiting { pulse: pulse.clone(), missed: pulse.missed.subscribe(), missed_max: self.settings.missed }
    }

    /// The leader failed: its seat is vacant, and the search for another begins.
    pub(crate) fn leader_failed(self: &Rc<Self>, seat: &Arc<Seat>, leader: &Leader, why: &str) {
        if seat.fail(leader) {
            info!(block = %seat.name(), term = %leader.term, replica = %leader.replica, address = %leader.http, why, "leader lost");
        }
        self.search(seat);
    }

    /// Looks for a leader of a vacant seat, unless somebody does.
    pub(crate) fn search(self: &Rc<Self>, seat: &Arc<Seat>) {
        if seat.leader().is_none() && seat.begin_search() {
            spawn_local(self.clone().run_search(Search(seat.clone())));
        }
    }

    /// Beats until nobody has waited for a while.
    async fn run(self: Rc<Self>, pulse: Rc<Pulse>) {
        let mut ticks = interval(self.settings.interval.to_std());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let (mut ticked, mut used) = (self.clock.now(), self.clock.now());
        while self.clock.now().since(used) < LINGER {
            let address = pulse.leader.get().http;
            let mut beat = pin!(self.ask(address));
            let mut answered = false;
            loop {
                tokio::select! {
                    biased;
                    answer = &mut beat, if !answered => {
                        answered = true;
                        self.heard(&pulse, answer);
                    }
                    _ = ticks.tick() => {
                        let now = self.clock.now();
                        let late = now.since(ticked) > self.settings.interval + self.settings.interval.over(2);
                        ticked = now;
                        if pulse.waiting.get() > 0 {
                            used = now;
                        }
                        if answered {
                            break;
                        }
                        self.missed(&pulse, late);
                        if now.since(used) >= LINGER {
                            break;
                        }
                    }
                }
            }
        }
        self.pulses.borrow_mut().remove(&pulse.leader.get().http);
    }

    fn heard(self: &Rc<Self>, pulse: &Pulse, answer: Result<(Role, Option<Leader>), AskError>) {
        pulse.missed.send_if_modified(|missed| std::mem::take(missed) > 0);
        let leader = pulse.leader.get();
        match answer {
            Ok((Role::Leader, _)) => {}
            Ok((Role::Other, told)) => {
                if !told.is_some_and(|told| pulse.seat.correct(told)) {
                    self.leader_failed(&pulse.seat, &leader, "it leads no more");
                }
            }
            // Those who wait there see their own connections end; that of the beat alone says only that no new one will do.
            Err(AskError::Connect) => self.leader_failed(&pulse.seat, &leader, "connection refused"),
            Err(AskError::Lost) => {}
        }
    }

    fn missed(self: &Rc<Self>, pulse: &Pulse, late: bool) {
        if late {
            return;
        }
        self.metrics.beats_missed.inc();
        pulse.missed.send_modify(|missed| *missed += 1);
        let missed = *pulse.missed.borrow();
        if missed == self.settings.missed {
            self.metrics.silences.inc();
        }
        if missed >= self.settings.missed {
            self.leader_failed(&pulse.seat, &pulse.leader.get(), "silent");
        }
    }

    /// Sends one beat and waits for its answer, for ever if need be.
    async fn ask(&self, address: Address) -> Result<(Role, Option<Leader>), AskError> {
        let mut connection = match self.pool.take(address) {
            Some(connection) => connection,
            None => self.pool.connect(address).await.map_err(|_| AskError::Connect)?,
        };
        loop {
            let reused = connection.is_reused();
            match connection.send(beat(address)).await {
                Ok(response) => return Ok(read(&response)),
                Err(_) if reused => connection = self.pool.connect(address).await.map_err(|_| AskError::Connect)?,
                Err(_) => return Err(AskError::Lost),
            }
        }
    }

    async fn run_search(self: Rc<Self>, search: Search) {
        let seat = &search.0;
        let began = self.clock.now();
        debug!(block = %seat.name(), "search for a leader");
        while seat.leader().is_none() {
            let seating = seat.seating();
            let known = seating.leader.map(|leader| leader.http);
            let mut addresses: Vec<Address> = seating.replicas.iter().map(|replica| replica.http).chain(known).collect();
            addresses.sort_unstable();
            addresses.dedup();
            if addresses.is_empty() {
                return;
            }
            let round = join_all(addresses.into_iter().map(|address| self.question(seat, address, began)));
            let _ = timeout(SEARCH_ROUND.to_std(), round).await;
        }
        if let Some(leader) = seat.leader() {
            let took_ms = self.clock.now().since(began).as_millis();
            info!(block = %seat.name(), term = %leader.term, replica = %leader.replica, address = %leader.http, took_ms, "leader found");
        }
    }

    /// Asks one replica again and again until the seat is filled, by its word or another's.
    async fn question(&self, seat: &Seat, address: Address, began: Time) {
        while seat.leader().is_none() {
            if let Ok(Ok((role, told))) = timeout(SEARCH_ANSWER_MAX.to_std(), self.ask(address)).await {
                let known = seat.seating().leader;
                match (role, told.or(known.filter(|known| known.http == address))) {
                    (Role::Leader, Some(leader)) if leader.http == address => seat.confirm(leader),
                    (_, Some(leader)) => seat.correct(leader),
                    (_, None) => false,
                };
            }
            if seat.leader().is_none() {
                let long = self.clock.now().since(began) > SEARCH_PATIENCE;
                sleep(jittered(if long { SEARCH_PAUSE_LONG } else { SEARCH_PAUSE })).await;
            }
        }
    }
}

/// A claimed search; dropped, another may begin.
struct Search(Arc<Seat>);

impl Drop for Search {
    fn drop(&mut self) {
        self.0.search_ended();
    }
}

/// Why a beat brought no answer.
enum AskError {
    /// No connection.
    Connect,
    /// A connection that ended without an answer.
    Lost,
}

fn beat(address: Address) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = http::Uri::from_static("/");
    request.headers_mut().insert(http::header::HOST, headers::value(address));
    request.headers_mut().insert(headers::BEAT, HeaderValue::from_static("1"));
    request
}

fn read<B>(response: &Response<B>) -> (Role, Option<Leader>) {
    let role = match headers::text(response.headers(), &headers::ROLE) {
        Some("leader") => Role::Leader,
        _ => Role::Other,
    };
    (role, headers::parsed(response.headers(), &headers::LEADER))
}

/// `span`, give or take a third, so that edges do not ask in step.
fn jittered(span: Span) -> Duration {
    let third = span.as_nanos() / 3;
    Span::from_nanos(rand::rng().random_range(span.as_nanos() - third..=span.as_nanos() + third)).to_std()
}

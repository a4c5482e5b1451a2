//! One attempt of one request at one block.
//!
//! The attempt sends the request to the block's leader on a pooled connection, follows at most two corrections, and reads the block's
//! verdict. It tells truthfully what can have happened: whether any of the request, a byte of its body or its end, was let go, and
//! what the block said became of it. What follows from that is the retry rule's business ([`dynomesh_core::dispatch::retry`]).
//!
//! An attempt that is dropped withdraws its body first, so that nothing of it can start afterwards, and closes its connection, by
//! which the block learns that nobody waits.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use dynomesh_core::dispatch::{Correction, Hearing, LeaderAt, Mark, Verdict, correct, may_abandon};
use dynomesh_core::id::{Address, Term};
use dynomesh_runtime::clock::Clock;
use dynomesh_runtime::http::client::{Connection, Pool, ResponseBody};
use dynomesh_runtime::http::headers::{self, Leader};
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::beat::Beats;
use crate::body::{AttemptBody, BoxError, Gate};
use crate::load::InFlight;
use crate::metrics::Metrics;
use crate::outgoing::{Outgoing, Terms};
use crate::routes::Place;
use crate::seat::Seat;

/// A refusal's body up to this long is read to its end, so that the connection can be used again.
const REFUSAL_LEN_MAX: u64 = 4096;
/// Time for that.
const REFUSAL_TIME_MAX: std::time::Duration = std::time::Duration::from_millis(100);
/// Longest reason that is taken over from a block, in bytes.
const REASON_LEN_MAX: usize = 32;

/// What attempts of one data thread use.
pub(crate) struct Means<B> {
    /// The clock.
    pub(crate) clock: Clock,
    /// Connections to replicas.
    pub(crate) pool: Pool<AttemptBody<B>>,
    /// Pulses of replicas.
    pub(crate) beats: Rc<Beats>,
    /// Counts.
    pub(crate) metrics: Metrics,
    /// Missed beats that make a replica silent.
    pub(crate) missed_max: u32,
}

/// How an attempt ended.
pub(crate) enum End<B> {
    /// A dyno's response.
    Answered(Box<Answer<B>>),
    /// None.
    Failed(Failure),
}

/// A dyno's response whose body is still to come.
pub(crate) struct Answer<B> {
    /// The response as the block sent it.
    pub(crate) response: Response<ResponseBody<AttemptBody<B>>>,
    /// Holds the request's body, which may still be on its way.
    pub(crate) gate: Withdrawing,
    /// Counts the request as in flight.
    pub(crate) in_flight: InFlight,
    /// The replica that answered.
    pub(crate) replica: Address,
}

/// An attempt without a response.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the block said, or what is certain without its word.
    pub(crate) verdict: Verdict,
    /// Whether any of the request was let go.
    pub(crate) begun: bool,
    /// Why, for log and client.
    pub(crate) reason: Cow<'static, str>,
    /// Attempts at dynos the block made.
    pub(crate) dyno_attempts: u32,
    /// Whether the block was full.
    pub(crate) spill: bool,
    /// Whether it sent the request away since its slots are in doubt, and would have it wait if it must.
    pub(crate) doubt: bool,
    /// Whether there was nobody who could have taken the request: no leader, no connection.
    pub(crate) unreached: bool,
    /// Whether a silent block was left, already paid from the budget.
    pub(crate) abandoned: bool,
    /// Whether the replica was lost before it said anything.
    pub(crate) lost: bool,
    /// The term in which it led.
    pub(crate) term: Term,
    /// The replica asked last.
    pub(crate) replica: Address,
    /// The dyno that had it, if the block says so.
    pub(crate) dyno: Option<String>,
}

/// Withdraws an attempt's body when it is dropped.
pub(crate) struct Withdrawing(pub(crate) Arc<Gate>);

impl Drop for Withdrawing {
    fn drop(&mut self) {
        self.0.withdraw();
    }
}

/// What asking one replica came to.
enum Asked<B> {
    Ended(End<B>),
    /// It does not lead; it may know who does.
    NotLeader(Failure, Option<Leader>),
}

impl Failure {
    fn new(verdict: Verdict, begun: bool, reason: impl Into<Cow<'static, str>>, leader: &Leader) -> Self {
        Failure {
            verdict,
            begun,
            reason: reason.into(),
            dyno_attempts: 0,
            spill: false,
            doubt: false,
            unreached: false,
            abandoned: false,
            lost: false,
            term: leader.term,
            replica: leader.http,
            dyno: None,
        }
    }

    fn unreached(reason: impl Into<Cow<'static, str>>, leader: &Leader) -> Self {
        Failure { unreached: true, ..Failure::new(Verdict::NotDispatched, false, reason, leader) }
    }

    /// The verdict with what is certain whatever the block said.
    pub(crate) fn certain(&self) -> Verdict {
        if self.begun { self.verdict } else { Verdict::NotDispatched }
    }
}

impl<B> Means<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Makes one attempt at the block whose leader is believed to be `leader`.
    pub(crate) async fn attempt(&self, mut leader: Leader, outgoing: &Outgoing<B>, terms: &Terms<'_>) -> End<B> {
        let seat = &terms.place.seat;
        let mut corrections = 0;
        loop {
            let (failure, told) = match self.ask(&leader, outgoing, terms).await {
                Asked::Ended(end) => return end,
                Asked::NotLeader(failure, told) => (failure, told),
            };
            // Somebody else may have told this edge meanwhile.
            let newest = told.max(seat.seating().leader);
            match correct(Some(at(&leader)), newest.as_ref().map(at), corrections) {
                Correction::Follow => {
                    leader = newest.expect("only a leader that was named is followed");
                    seat.correct(leader);
                    corrections += 1;
                    self.metrics.corrections.inc();
                }
                Correction::Ignore => {
                    self.beats.leader_failed(seat, &leader, "it leads no more");
                    return End::Failed(failure);
                }
            }
        }
    }

    /// Asks one replica.
    async fn ask(&self, leader: &Leader, outgoing: &Outgoing<B>, terms: &Terms<'_>) -> Asked<B> {
        let in_flight = terms.place.load.begin();
        let (request, gate) = outgoing.request(terms, leader.term, self.clock.now());
        let gate = Withdrawing(gate);
        let mut waiting = self.beats.wait_at(&terms.place.seat, *leader);
        let sent = {
            let mut sent = std::pin::pin!(self.send(leader, request));
            loop {
                tokio::select! {
                    biased;
                    sent = &mut sent => break sent,
                    missed = waiting.silent() => {
                        if self.leaves(missed, &gate.0, leader, outgoing, terms) {
                            let begun = gate.0.withdraw();
                            self.metrics.abandoned.inc();
                            let failure = Failure::new(Verdict::Unknown, begun, "silent", leader);
                            return Asked::Ended(End::Failed(Failure { abandoned: true, lost: true, ..failure }));
                        }
                        // Not now; the block may come back, another may, or the budget may grow.
                        tokio::select! {
                            biased;
                            sent = &mut sent => break sent,
                            () = self.pause() => {}
                        }
                    }
                }
            }
        };
        match sent {
            Ok(response) => self.judge(response, gate, in_flight, leader, terms),
            Err(SendFailure::Connect(error)) => {
                let reason = match error.kind() {
                    ErrorKind::TimedOut => "connect-timeout",
                    ErrorKind::ConnectionRefused => "connect-refused",
                    _ => "connect-failed",
                };
                // Anything else, such as a want of descriptors, may be our own trouble and says nothing about the leader.
                if matches!(
                    error.kind(),
                    ErrorKind::TimedOut | ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable
                ) {
                    self.pool.forget(leader.http);
                    self.beats.leader_failed(&terms.place.seat, leader, reason);
                }
                Asked::Ended(End::Failed(Failure::unreached(reason, leader)))
            }
            Err(SendFailure::Lost { unsent }) => {
                let begun = gate.0.withdraw() && !unsent;
                let failure = Failure::new(Verdict::Unknown, begun, "connection-lost", leader);
                Asked::Ended(End::Failed(Failure { lost: true, ..failure }))
            }
        }
    }

    /// Whether to leave a silent replica now. Pays for it.
    fn leaves(&self, missed: u32, gate: &Gate, leader: &Leader, outgoing: &Outgoing<B>, terms: &Terms<'_>) -> bool {
        let elsewhere = |place: &Place| place.seat.leader().is_some_and(|found| found.http != leader.http);
        let hearing = Hearing { missed, on_time: true, others_heard: terms.app.places.iter().any(elsewhere) };
        let succeeded = terms.place.seat.leader().is_some_and(|found| found.term > leader.term);
        if !terms.more || !outgoing.may_leave(gate.started(), succeeded) || !may_abandon(hearing, self.missed_max) {
            return false;
        }
        let paid = terms.app.withdraw(self.clock.now());
        if !paid {
            self.metrics.budget_refused.inc();
        }
        paid
    }

    async fn pause(&self) {
        let pause = dynomesh_core::dispatch::pause(&mut rand::rng(), 0);
        tokio::time::sleep(pause.to_std()).await;
    }

    /// Sends on an idle connection if there is one. One that died before anything was sent is no failure: a fresh one is made.
    async fn send(
        &self,
        leader: &Leader,
        mut request: Request<AttemptBody<B>>,
    ) -> Result<Response<ResponseBody<AttemptBody<B>>>, SendFailure> {
        while let Some(idle) = self.pool.take(leader.http) {
            match unsent(idle, request).await {
                Err(Some(back)) => request = *back,
                Err(None) => return Err(SendFailure::Lost { unsent: false }),
                Ok(response) => return Ok(response),
            }
        }
        let fresh = self.pool.connect(leader.http).await.map_err(|error| SendFailure::Connect(error.cause))?;
        self.metrics.connects.inc();
        unsent(fresh, request).await.map_err(|back| SendFailure::Lost { unsent: back.is_some() })
    }

    /// Reads the verdict. Without the block's mark nothing of the response is believed (P21).
    fn judge(
        &self,
        response: Response<ResponseBody<AttemptBody<B>>>,
        gate: Withdrawing,
        in_flight: InFlight,
        leader: &Leader,
        terms: &Terms<'_>,
    ) -> Asked<B> {
        let told = response.headers();
        let mark = Mark::read(headers::text(told, &headers::VERDICT));
        if told.contains_key(headers::VERDICT)
            && let Some(load) = headers::parsed(told, &headers::LOAD)
        {
            terms.place.load.told(load, self.clock.now());
        }
        let verdict = match mark {
            Mark::Answered => {
                let answer = Answer { response, gate, in_flight, replica: leader.http };
                return Asked::Ended(End::Answered(Box::new(answer)));
            }
            Mark::Failed(verdict) => verdict,
        };
        let reason =
            headers::text(told, &headers::REASON).filter(|reason| reason.len() <= REASON_LEN_MAX).unwrap_or("no-reason").to_owned();
        let doubt = verdict == Verdict::NotDispatched && reason == "in-doubt";
        let not_leading = verdict == Verdict::NotDispatched && matches!(reason.as_str(), "not-leader" | "electing" | "stopping");
        let failure = Failure {
            dyno_attempts: headers::parsed(told, &headers::DYNO_ATTEMPTS).unwrap_or(0),
            // A block that has to queue a request and sends it away is full, whatever it says.
            spill: doubt && terms.must_queue
                || verdict == Verdict::NotDispatched && matches!(reason.as_str(), "queue-full" | "queue-timeout" | "overloaded"),
            doubt: doubt && !terms.must_queue,
            unreached: not_leading,
            dyno: headers::text(told, &headers::DYNO).map(str::to_owned),
            ..Failure::new(verdict, gate.0.withdraw(), reason, leader)
        };
        let next = headers::parsed(told, &headers::LEADER);
        spawn_local(finish(response.into_body()));
        if not_leading { Asked::NotLeader(failure, next) } else { Asked::Ended(End::Failed(failure)) }
    }
}

/// Why a request has no response.
enum SendFailure {
    /// No connection: nothing was sent.
    Connect(std::io::Error),
    /// The connection ended; unless nothing was sent, what was is not known here.
    Lost {
        /// Whether no byte was written.
        unsent: bool,
    },
}

/// Sends, and returns the request if no byte of it was written.
async fn unsent<B>(
    connection: Connection<AttemptBody<B>>,
    request: Request<AttemptBody<B>>,
) -> Result<Response<ResponseBody<AttemptBody<B>>>, Option<Box<Request<AttemptBody<B>>>>>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    connection.send(request).await.map_err(|error| error.unsent)
}

/// Reads a refusal's few bytes, so that its connection can be used again.
async fn finish<B>(mut body: ResponseBody<AttemptBody<B>>)
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    if body.is_end_stream() || body.size_hint().upper().is_none_or(|length| length > REFUSAL_LEN_MAX) {
        return;
    }
    let _ = timeout(REFUSAL_TIME_MAX, async { while let Some(Ok(_)) = body.frame().await {} }).await;
}

fn at(leader: &Leader) -> LeaderAt {
    LeaderAt { term: leader.term, replica: leader.replica }
}

/// How an attempt is counted and logged.
impl<B> End<B> {
    /// Counts it.
    pub(crate) fn count(&self, metrics: &Metrics, seat: &Seat) {
        match self {
            End::Answered(_) => seat.count_answer(metrics),
            End::Failed(failure) => metrics.attempted(seat.name(), Some(failure.certain())),
        }
    }
}

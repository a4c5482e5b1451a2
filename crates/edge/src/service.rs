//! One client request from its head to the head of its answer.
//!
//! The app is found by host, the body gathered up to the replay limit, and then blocks are asked, one after the other, until one
//! answers or the retry rule says that no further attempt may be made. Waiting for a leader is not an attempt: while every block of
//! the app elects one, the request waits, for as long as the edge is patient and the deadline allows.
//!
//! This file keeps account and acts; what may be retried, where, and for how long to pause is decided in the core.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use dynomesh_core::dispatch::{
    Attempted, BlockChoice, Candidate, Class, Reason, Retry, RetryLimits, Tier, Verdict, choose, least_full, pause, retry,
};
use dynomesh_core::id::{BlockName, GroupId, Term};
use dynomesh_core::time::{Span, Time};
use dynomesh_runtime::http::headers::{self, Leader};
use dynomesh_runtime::http::serve::Peer;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};
use tracing::{debug, info};

use crate::access_log::AccessLog;
use crate::arriving::Arriving;
use crate::attempt::{Answer, End, Failure, Means};
use crate::body::{BodyError, BoxError, Upload};
use crate::forward::{Arrival, Manner, sign_way};
use crate::inbound::{self, Inbound};
use crate::outgoing::{Outgoing, Terms};
use crate::record::Record;
use crate::relay::{Relay, ReplyBody};
use crate::reply::{self, Fault};
use crate::routes::{App, Directory, Place};
use crate::seat::Seat;
use crate::switch::{Switch, carry};
use crate::unread::Unread;

/// As much counts as waiting between two looks for a leader. What is more, an edge has not waited for others but was stopped itself.
const WAIT_STEP_MAX: Span = Span::from_secs(1);
/// When a leader is found, all who waited for it come within this long and not in one instant.
const ARRIVAL_SPREAD: Span = Span::from_millis(5);

/// Unknown hosts are told of in the log at most once in this time; the access log has them all.
const TELL_EVERY: Span = Span::from_secs(1);
/// Known hosts that are listed then.
const KNOWN_TOLD_MAX: usize = 64;

/// How requests are treated.
#[derive(Debug, Clone)]
pub(crate) struct ServiceSettings {
    /// How a block is chosen among equals.
    pub(crate) choice: BlockChoice,
    /// Limits of retries.
    pub(crate) limits: RetryLimits,
    /// From the end of a request's head to the head of its answer.
    pub(crate) deadline: Span,
    /// Longest wait for any block of the app to have a leader. At most `deadline`.
    pub(crate) patience: Span,
    /// Bytes of a request's body that are gathered before a block is asked.
    pub(crate) replay_buffer: usize,
    /// Longest silence within a request's body that somebody waits for.
    pub(crate) body_idle: Span,
    /// Longest silence within a response's body, from its block and, with HTTP/2, from who reads it; and within a tunnel.
    pub(crate) idle_stream: Span,
    /// What is told about a request's way.
    pub(crate) manner: Manner,
}

/// Answers the requests of one data thread.
pub(crate) struct Service<B> {
    /// How.
    pub(crate) settings: ServiceSettings,
    /// The edge's name.
    pub(crate) edge: Arc<str>,
    /// The same, ready to be sent.
    pub(crate) edge_header: HeaderValue,
    /// Where requests can go.
    pub(crate) directory: Arc<Directory>,
    /// What attempts use.
    pub(crate) means: Means<B>,
    /// Where requests are logged.
    pub(crate) log: AccessLog,
    /// Finds answers that nobody reads.
    pub(crate) unread: Rc<Unread>,
    /// This thread's chance.
    pub(crate) rng: RefCell<StdRng>,
    /// When an unknown host was last told of.
    pub(crate) told_unknown: Cell<Time>,
}

/// What the attempts of one request have come to.
struct Progress {
    tried: Vec<BlockName>,
    /// The block that refused or failed last; another is better if there is one.
    avoid: Option<BlockName>,
    /// Those that failed the request, or sent it away though it had to wait there. They are the last at which it waits.
    failed: Vec<BlockName>,
    /// Attempts that reached a block's leader.
    reached: u32,
    dyno_attempts: u32,
    spills: u32,
    /// The blocks that sent the request away since their slots are in doubt. What must wait waits there only if every other is worse.
    doubting: Vec<BlockName>,
    /// How often they did.
    doubts: u32,
    pauses: u32,
    must_queue: bool,
    /// The block at which an attempt may still run, and the term of the leader that was lost with it.
    behind: Option<Lost>,
    /// Whether a dyno may have begun with a request that may not run twice at will.
    ran: bool,
    /// Since it was found that no block can be reached: when that was last looked at, and how much waiting came together by then.
    stranded: Option<(Time, Span)>,
    /// The last failure, as the client is told if it stays the last.
    fault: Fault,
}

/// An attempt that may still run, as far as is known here.
struct Lost {
    block: BlockName,
    group: Option<GroupId>,
    /// The term of the leader that was lost with it.
    term: Term,
}

/// What a request that must wait knows of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum WaitAt {
    Good,
    InDoubt,
    Failed,
    FailedLast,
}

/// What to do next.
enum Next {
    Attempt,
    Pause(Span),
    Give(Fault),
}

/// A new source of chance for one data thread.
pub(crate) fn chance() -> RefCell<StdRng> {
    RefCell::new(StdRng::from_rng(&mut rand::rng()))
}

impl<B> Service<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Answers one request of `client`.
    pub(crate) async fn answer(self: Rc<Self>, request: Request<B>, peer: Peer) -> Response<ReplyBody<B>> {
        let (head, body) = request.into_parts();
        let arrival = Arrival::of(&peer, head.version, &self.means.clock);
        let inbound = Inbound::read(&head, &mut self.rng.borrow_mut());
        let mut record = Record::new(&self.means.clock, &self.means.metrics, &self.log, &self.edge, &inbound.request_id);
        record.asked(head.method.as_str(), inbound.target(), inbound.host.as_deref().unwrap_or(""), &arrival);
        let switch = inbound.switch;
        let id = inbound.request_id.clone();
        let (answer, app) = match self.route(&inbound) {
            Err(fault) => (Err(fault), None),
            Ok(app) => {
                record.app(&app);
                (self.serve(head, inbound, body, &arrival, app.clone(), &mut record).await, Some(app))
            }
        };
        let answer = answer.and_then(|answer| match Switch::is_sound(switch, answer.response.status()) {
            true => Ok(answer),
            false => Err(Fault::DynoFailed),
        });
        let mut response = match answer {
            Ok(answer) if answer.response.status() == StatusCode::SWITCHING_PROTOCOLS => self.hand_over(*answer, switch, &peer, record),
            Ok(answer) => self.relay(*answer, arrival.version, record),
            Err(fault) => {
                debug!(request_id = ?id, fault = fault.code(), app = ?app.map(|app| app.name.to_string()), "answered with an error of our own");
                let attempts = record.attempts();
                let mut response = fault.response(arrival.version);
                record.blame(fault, response.headers_mut());
                record.fault(fault, response.body().len() as u64);
                response.headers_mut().insert(headers::ATTEMPTS, HeaderValue::from(attempts));
                response.map(|text| ReplyBody::Own(Some(text)))
            }
        };
        reply::sign(response.headers_mut(), &self.edge_header, &id);
        response
    }

    /// The app a request is for.
    fn route(&self, inbound: &Inbound) -> Result<Arc<App>, Fault> {
        if let Some(fault) = inbound.refused {
            return Err(fault);
        }
        let host = inbound.host.as_deref().ok_or(Fault::BadHost)?;
        let routes = self.directory.routes();
        routes.find(host).cloned().ok_or_else(|| {
            self.tell_unknown(host, &routes.known());
            Fault::UnknownHost
        })
    }

    /// Tells the operator, but not as often as anybody can ask.
    fn tell_unknown(&self, host: &str, known: &[&str]) {
        let now = self.means.clock.now();
        if now.since(self.told_unknown.get()) >= TELL_EVERY {
            self.told_unknown.set(now);
            info!(host = crate::access_log::cut(host), known = ?known.iter().take(KNOWN_TOLD_MAX).collect::<Vec<_>>(), "no app serves this host");
        }
    }

    async fn serve(
        &self,
        head: http::request::Parts,
        inbound: Inbound,
        body: B,
        arrival: &Arrival,
        app: Arc<App>,
        record: &mut Record,
    ) -> Result<Box<Answer<B>>, Fault> {
        let deadline = record.began() + self.settings.deadline;
        app.pay_in(record.began());
        if app.places.is_empty() {
            return Err(Fault::NoBlock);
        }
        let left = |now: Time| now.until(deadline).to_std();
        // The sides of a conversation listen for long: the deadline bounds it before its answer, `idle_stream` after that.
        let body = Arriving::new(body, (!inbound.talks).then_some(self.settings.body_idle), record.came());
        let body = body.of_stream(arrival.version == Version::HTTP_2);
        let gathered = self.upload(body, &inbound);
        let upload = match timeout(left(self.means.clock.now()), gathered).await {
            Ok(Ok(upload)) => upload,
            Ok(Err(error)) => return Err(error.fault()),
            Err(_) => return Err(Fault::BodyLate),
        };
        let key = app.idempotency_key && head.headers.contains_key(headers::IDEMPOTENCY_KEY);
        // An extended CONNECT stands for a GET.
        let method = if inbound.switch.is_some() { Method::GET } else { head.method };
        let class = Class::of(method.as_str(), key);
        let (target, host) = (inbound.uri.clone(), inbound.host.clone());
        let mut headers = inbound.forward(head.headers, arrival, self.settings.manner);
        if let Some(switch) = inbound.switch {
            switch.ask(&mut headers, &mut *self.rng.borrow_mut());
        }
        let outgoing = Outgoing { method, target, headers, class, upload };
        // The attempt in flight is dropped with the time-out, which withdraws its body and closes its connection.
        let attempts = self.attempts(&outgoing, host.as_deref().unwrap_or(""), app, deadline, record);
        match timeout(left(self.means.clock.now()), attempts).await {
            Ok(end) => end,
            Err(_) => Err(Fault::Deadline),
        }
    }

    /// The request's body, gathered unless the client waits for the dyno to ask for it.
    async fn upload(&self, mut body: Arriving<B>, inbound: &Inbound) -> Result<Upload<B>, BodyError> {
        if inbound.expects {
            match Upload::expecting(body) {
                Ok(upload) => return Ok(upload),
                Err(back) => body = back,
            }
        }
        Upload::gather(body, inbound.framed, inbound.talks, self.settings.replay_buffer).await
    }

    /// Asks one block after the other.
    async fn attempts(
        &self,
        outgoing: &Outgoing<B>,
        host: &str,
        mut app: Arc<App>,
        deadline: Time,
        record: &mut Record,
    ) -> Result<Box<Answer<B>>, Fault> {
        let clock = &self.means.clock;
        let mut progress = Progress::new();
        loop {
            // Taken before the look at the seats, so that a leader found in between wakes us.
            let changed = self.directory.seats.changed();
            let Some((place, leader)) = self.choose(&app, &progress) else {
                progress.wait_allowed(clock.now(), self.settings.patience)?;
                progress.stays(&app)?;
                for place in &app.places {
                    self.means.beats.search(&place.seat);
                }
                let pause = self.pause(0);
                tokio::select! {
                    () = changed => sleep(self.spread().to_std()).await,
                    () = sleep(pause.to_std()) => {}
                }
                // The map may have moved on while we waited.
                if let Some(found) = self.directory.routes().find(host).filter(|found| found.name == app.name) {
                    app = found.clone();
                }
                continue;
            };
            let (began, group) = (clock.now(), place.seat.seating().group);
            let terms = Terms {
                app: &app,
                place: &place,
                deadline,
                dyno_attempts: progress.dyno_attempts,
                must_queue: progress.must_queue || progress.behind.is_some(),
                after: progress.behind.as_ref().map(|lost| lost.term),
                more: progress.reached + 1 < self.settings.limits.attempts,
            };
            let end = self.means.attempt(leader, outgoing, &terms).await;
            let block = place.seat.name();
            end.count(&self.means.metrics, &place.seat);
            let failure = match end {
                End::Answered(answer) => {
                    record.attempt(block.as_str(), answer.replica, "answered", began);
                    record.answered(answer.response.status().as_u16(), answer.response.headers(), began);
                    return Ok(answer);
                }
                End::Failed(failure) => failure,
            };
            record.attempt(block.as_str(), failure.replica, &failure.reason, began);
            if let Some(dyno) = &failure.dyno {
                record.at_dyno(block, dyno);
            }
            // A dyno that has not all of its request is not the one that was silent.
            if failure.reason == "dyno-timeout" && outgoing.upload.waits() {
                return Err(Fault::BodyLate);
            }
            if let Some(fault) = outgoing.upload.broken() {
                return Err(fault);
            }
            match self.next(&mut progress, &failure, outgoing, &app, (block, group), deadline) {
                Next::Attempt => {}
                Next::Pause(pause) => sleep(pause.to_std()).await,
                Next::Give(fault) => return Err(fault),
            }
        }
    }

    /// A block that has a leader, and that leader.
    fn choose(&self, app: &App, progress: &Progress) -> Option<(Place, Leader)> {
        let bound = |place: &&Place| progress.behind.as_ref().is_none_or(|lost| lost.was_at(&place.seat));
        let places = app.places.iter().filter(bound);
        let usable: Vec<(&Place, Leader)> = places.filter_map(|place| place.seat.leader().map(|leader| (place, leader))).collect();
        let good = usable.iter().map(|(place, _)| progress.wait_at(place.seat.name())).min();
        let candidate = |place: &Place| {
            let name = place.seat.name();
            let healthy = match progress.must_queue {
                true => good == Some(progress.wait_at(name)),
                false => progress.avoid.as_ref() != Some(name) && !progress.doubting.contains(name),
            };
            let tier = Tier::of(healthy, progress.tried.contains(name));
            Candidate { capacity: place.load.slots(), load: place.load.estimate(), tier }
        };
        let candidates: Vec<Candidate> = usable.iter().map(|(place, _)| candidate(place)).collect();
        let mut rng = self.rng.borrow_mut();
        let chosen = match progress.must_queue {
            true => least_full(&mut *rng, &candidates),
            false => choose(&mut *rng, &candidates, self.settings.choice),
        };
        chosen.map(|at| (usable[at].0.clone(), usable[at].1))
    }

    /// Keeps account of a failure and says what follows.
    fn next(
        &self,
        progress: &mut Progress,
        failure: &Failure,
        outgoing: &Outgoing<B>,
        app: &App,
        (block, group): (&BlockName, Option<GroupId>),
        deadline: Time,
    ) -> Next {
        let now = self.means.clock.now();
        progress.note(failure, outgoing.class, block, now);
        if failure.unreached
            && let Err(fault) = progress.wait_allowed(now, self.settings.patience)
        {
            return Next::Give(fault);
        }
        let untried = app.places.iter().any(|place| place.seat.leader().is_some() && !progress.tried.contains(place.seat.name()));
        let decision = retry(
            &Attempted {
                class: outgoing.class,
                verdict: failure.verdict,
                lost: failure.lost && outgoing.ends_are_known(),
                earlier: progress.behind.is_some(),
                body_begun: failure.begun,
                replayable: outgoing.upload.replayable(),
                answering: false,
                attempts: progress.reached,
                dyno_attempts: progress.dyno_attempts,
                spills: progress.spills,
                doubts: progress.doubts,
                doubted: failure.doubt,
                left: now.until(deadline),
                untried,
            },
            &self.settings.limits,
        );
        // What cost no dyno anything is bounded by its own limits: spills by their number, elections by patience. A retry that may
        // run again what has run before is paid for.
        let costly = failure.certain() != Verdict::NotDispatched && !failure.abandoned;
        if !matches!(decision, Retry::Behind | Retry::Never(_)) {
            progress.behind = None;
        }
        match decision {
            Retry::Never(Reason::Deadline) => Next::Give(Fault::Deadline),
            Retry::Never(Reason::Full) => Next::Give(progress.told(Fault::Overloaded)),
            Retry::Never(_) => Next::Give(progress.fault),
            _ if costly && !app.withdraw(now) => {
                self.means.metrics.budget_refused.inc();
                Next::Give(progress.fault)
            }
            Retry::MustQueue => {
                progress.must_queue = true;
                // Who could not be reached a moment ago is not asked again in the same one.
                if failure.unreached { Next::Pause(self.pause(0)) } else { Next::Attempt }
            }
            Retry::Behind => {
                // Of an attempt that was let go behind another, that other was over.
                if failure.begun {
                    progress.behind = Some(Lost { block: block.clone(), group, term: failure.term });
                }
                Next::Pause(self.pause(0))
            }
            // Many leave a silent block in the same instant.
            Retry::Elsewhere if failure.abandoned => Next::Pause(self.pause(0)),
            Retry::Elsewhere => Next::Attempt,
            // Where no block has a leader any more, the wait for one is the pause.
            Retry::Again if app.places.iter().all(|place| place.seat.leader().is_none()) => Next::Attempt,
            Retry::Again => {
                progress.pauses += 1;
                Next::Pause(self.pause(progress.pauses - 1))
            }
        }
    }

    fn pause(&self, pauses: u32) -> Span {
        pause(&mut *self.rng.borrow_mut(), pauses)
    }

    fn spread(&self) -> Span {
        Span::from_nanos(self.rng.borrow_mut().random_range(0..ARRIVAL_SPREAD.as_nanos()))
    }

    /// A dyno's 101 as the client gets it; what follows goes both ways without being looked at.
    fn hand_over(&self, answer: Answer<B>, switch: Option<Switch>, peer: &Peer, record: Record) -> Response<ReplyBody<B>> {
        let (mut head, body) = answer.response.into_parts();
        let attempts = record.attempts();
        reply::clean(&mut head.headers);
        sign_way(&mut head.headers);
        head.extensions.clear();
        if let Some(switch) = switch {
            switch.answer(&mut head);
        }
        head.headers.insert(headers::ATTEMPTS, HeaderValue::from(attempts));
        spawn_local(carry(peer.take_over(), body, (answer.gate, answer.in_flight), record, self.settings.idle_stream));
        Response::from_parts(head, ReplyBody::Own(None))
    }

    /// A dyno's response as the client gets it.
    fn relay(&self, answer: Answer<B>, asked: Version, record: Record) -> Response<ReplyBody<B>> {
        let (mut head, body) = answer.response.into_parts();
        let close_delimited = inbound::close_delimited(&head);
        let attempts = record.attempts();
        reply::clean(&mut head.headers);
        sign_way(&mut head.headers);
        head.extensions.clear();
        // An answer in HTTP/1.0 without a length is delimited by the end of the connection, as the dyno's was (P27). HTTP/2 delimits
        // every answer.
        head.version = match asked {
            Version::HTTP_2 => Version::HTTP_2,
            asked if close_delimited || asked == Version::HTTP_10 => Version::HTTP_10,
            _ => Version::HTTP_11,
        };
        if close_delimited && asked != Version::HTTP_2 {
            head.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        head.headers.insert(headers::ATTEMPTS, HeaderValue::from(attempts));
        // With HTTP/1.1 a client that does not read is cut with its connection.
        let unread = (asked == Version::HTTP_2).then_some(&self.unread);
        let body = Relay::body(body, (answer.gate, answer.in_flight), record, self.settings.idle_stream, unread);
        Response::from_parts(head, body)
    }
}

impl Lost {
    /// Whether the block is still the same one; another of that name counts its terms anew.
    fn was_at(&self, seat: &Seat) -> bool {
        seat.name() == &self.block && seat.seating().group == self.group
    }
}

impl Progress {
    fn new() -> Self {
        Progress {
            tried: Vec::new(),
            avoid: None,
            failed: Vec::new(),
            reached: 0,
            dyno_attempts: 0,
            spills: 0,
            doubting: Vec::new(),
            doubts: 0,
            pauses: 0,
            must_queue: false,
            behind: None,
            ran: false,
            stranded: None,
            fault: Fault::NoLeader,
        }
    }

    fn note(&mut self, failure: &Failure, class: Class, block: &BlockName, now: Time) {
        enlist(&mut self.tried, block);
        self.reached += u32::from(!failure.unreached && !failure.doubt);
        self.doubts += u32::from(failure.doubt);
        if failure.doubt {
            enlist(&mut self.doubting, block);
        } else {
            self.avoid = Some(block.clone());
        }
        // One that was full when it was asked for room is no worse a place to wait than another.
        if !failure.doubt && (!failure.spill || self.must_queue) {
            enlist(&mut self.failed, block);
        }
        self.dyno_attempts = self.dyno_attempts.saturating_add(failure.dyno_attempts);
        self.spills += u32::from(failure.spill);
        // After an attempt that may have run, one that reached no dyno changes nothing.
        let reached = failure.certain() != Verdict::NotDispatched;
        if reached || !self.ran {
            self.fault = Fault::of(failure);
        }
        self.ran |= reached && class != Class::Safe;
        self.stranded = failure.unreached.then(|| self.stranded.unwrap_or((now, Span::ZERO)));
    }

    /// How good a block is for a request that must wait, best first.
    fn wait_at(&self, block: &BlockName) -> WaitAt {
        match self.failed.contains(block) {
            true if self.avoid.as_ref() == Some(block) => WaitAt::FailedLast,
            true => WaitAt::Failed,
            false if self.doubting.contains(block) => WaitAt::InDoubt,
            false => WaitAt::Good,
        }
    }

    /// Refuses to wait longer than we are patient.
    fn wait_allowed(&mut self, now: Time, patience: Span) -> Result<(), Fault> {
        let (looked, waited) = self.stranded.unwrap_or((now, Span::ZERO));
        let waited = waited + now.since(looked).min(WAIT_STEP_MAX);
        self.stranded = Some((now, waited));
        if waited >= patience { Err(self.told(Fault::NoLeader)) } else { Ok(()) }
    }

    /// A fault that says that nothing ran is told only where nothing did.
    fn told(&self, fault: Fault) -> Fault {
        if self.ran { self.fault } else { fault }
    }

    /// Refuses to wait for a block that is gone.
    fn stays(&self, app: &App) -> Result<(), Fault> {
        match &self.behind {
            Some(lost) if !app.places.iter().any(|place| lost.was_at(&place.seat)) => Err(self.fault),
            _ => Ok(()),
        }
    }
}

fn enlist(list: &mut Vec<BlockName>, block: &BlockName) {
    if !list.contains(block) {
        list.push(block.clone());
    }
}

//! What one request came to: filled while it runs, counted and logged when it is dropped.
//!
//! Dropping is the one end all requests share, those whose client left included, so nothing can be forgotten on the way.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use dynomesh_core::http1::Violation;
use dynomesh_core::id::{Address, BlockName};
use dynomesh_core::time::{Span, Time};
use dynomesh_runtime::clock::Clock;
use dynomesh_runtime::http::headers;
use dynomesh_runtime::http::tunnel::Carried;
use http::{HeaderMap, HeaderValue};

use crate::access_log::{AccessLog, AttemptLine, Line, Millis, cut};
use crate::forward::Arrival;
use crate::metrics::{ErrorLabels, Metrics};
use crate::reply::Fault;
use crate::routes::App;

/// Status that is logged when the client left before there was an answer.
const CLIENT_GONE: u16 = 499;
/// Attempts that are logged; their number is always told.
const ATTEMPTS_LOGGED_MAX: usize = 32;

/// The account of one request.
pub(crate) struct Record {
    clock: Clock,
    metrics: Metrics,
    log: AccessLog,
    began: Time,
    app: Option<Arc<App>>,
    attempts: usize,
    /// When the attempt that answered began, and what of it was spent waiting for a slot and connecting.
    served: Option<(Time, f64)>,
    /// The block and dyno that had it last without an answer.
    had: Option<(BlockName, String)>,
    /// Bytes of the request's body that came, told by who reads it.
    came: Rc<Cell<u64>>,
    line: Box<Line>,
}

impl Record {
    /// Begins with a request's head.
    pub(crate) fn new(clock: &Clock, metrics: &Metrics, log: &AccessLog, edge: &Arc<str>, request_id: &HeaderValue) -> Self {
        metrics.in_flight.inc();
        let mut line = Box::new(Line { edge: edge.clone(), ..Line::default() });
        if log.wanted() {
            line.request_id = request_id.to_str().unwrap_or_default().to_owned();
        }
        Record {
            clock: clock.clone(),
            metrics: metrics.clone(),
            log: log.clone(),
            began: clock.now(),
            app: None,
            attempts: 0,
            served: None,
            had: None,
            came: Rc::default(),
            line,
        }
    }

    /// When the request's head was there.
    pub(crate) fn began(&self) -> Time {
        self.began
    }

    /// Attempts so far.
    pub(crate) fn attempts(&self) -> usize {
        self.attempts
    }

    /// Notes what was asked, by whom.
    pub(crate) fn asked(&mut self, method: &str, target: &str, host: &str, arrival: &Arrival) {
        if self.log.wanted() {
            self.line.method = cut(method);
            self.line.path = cut(target);
            self.line.host = cut(host);
            self.line.client = Some(arrival.client.to_string());
            self.line.protocol = arrival.protocol();
            self.line.scheme = arrival.scheme();
        }
    }

    /// Notes the app.
    pub(crate) fn app(&mut self, app: &Arc<App>) {
        self.app = Some(app.clone());
    }

    /// Notes how an attempt that began at `began` ended.
    pub(crate) fn attempt(&mut self, block: &str, replica: Address, reason: &str, began: Time) {
        self.attempts += 1;
        if self.log.wanted() && self.attempts <= ATTEMPTS_LOGGED_MAX {
            let ms = Millis::from(self.clock.now().since(began));
            self.line.attempts.push(AttemptLine { block: block.to_owned(), replica: replica.to_string(), reason: reason.to_owned(), ms });
        }
    }

    /// Notes which dyno had a request that brought no answer.
    pub(crate) fn at_dyno(&mut self, block: &BlockName, dyno: &str) {
        self.line.dyno = Some(cut(dyno));
        self.had = Some((block.clone(), dyno.to_owned()));
    }

    /// Tells the client whose fault an error is, where it is a dyno's.
    pub(crate) fn blame(&self, fault: Fault, told: &mut HeaderMap) {
        if let (Fault::DynoFailed | Fault::DynoTimeout | Fault::Cut | Fault::Unknown, Some((block, dyno))) = (fault, &self.had) {
            told.insert(headers::BLOCK, headers::value(block));
            told.insert(headers::DYNO, headers::value(dyno));
        }
    }

    /// Notes that a dyno answers, by the headers of its block.
    pub(crate) fn answered(&mut self, status: u16, told: &HeaderMap, attempt_began: Time) {
        self.line.status = status;
        if !self.log.wanted() {
            return;
        }
        let ms = |name| headers::parsed(told, name).filter(|ms: &f64| ms.is_finite() && *ms >= 0.0).unwrap_or(0.0);
        let (queue, grant, connect) = (ms(&headers::QUEUE_MS), ms(&headers::GRANT_MS), ms(&headers::CONNECT_MS));
        self.line.queue_ms = Millis(queue);
        self.line.connect_ms = Millis(connect);
        self.line.dyno = headers::text(told, &headers::DYNO).map(cut);
        self.served = Some((attempt_began, queue + grant + connect));
    }

    /// Notes that the edge answers by itself.
    pub(crate) fn fault(&mut self, fault: Fault, bytes: u64) {
        let (code, status, _) = fault.told();
        self.line.status = status.as_u16();
        self.line.error = Some(code);
        self.line.bytes = bytes;
        self.line.complete = true;
        self.metrics.errors.get_or_create(&ErrorLabels { code }).inc();
    }

    /// Notes bytes of the response's body on their way.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.line.bytes += bytes as u64;
    }

    /// Where bytes of the request's body are counted.
    pub(crate) fn came(&self) -> Rc<Cell<u64>> {
        self.came.clone()
    }

    /// Notes what a tunnel has carried.
    pub(crate) fn carried(&mut self, carried: Carried) {
        self.came.set(carried.up);
        self.line.bytes += carried.down;
    }

    /// Notes that the response was handed on to its end.
    pub(crate) fn complete(&mut self) {
        self.line.complete = true;
    }
}

/// Counts and logs a request that was refused before it was one: what it asked for is not known.
pub(crate) fn refused(metrics: &Metrics, log: &AccessLog, edge: &Arc<str>, client: SocketAddr, violation: Violation) {
    metrics.errors.get_or_create(&ErrorLabels { code: violation.code() }).inc();
    metrics.answered(None, violation.status(), Span::ZERO);
    if log.wanted() {
        log.submit(Line {
            edge: edge.clone(),
            client: Some(client.to_string()),
            status: violation.status(),
            error: Some(violation.code()),
            complete: true,
            ..Line::default()
        });
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let now = self.clock.now();
        let took = now.since(self.began);
        if self.line.status == 0 {
            self.line.status = CLIENT_GONE;
        } else if !self.line.complete {
            self.metrics.broken.inc();
        }
        self.metrics.in_flight.dec();
        self.metrics.answered(self.app.as_ref().map(|app| app.counts(&self.metrics)), self.line.status, took);
        if !self.log.wanted() {
            return;
        }
        self.line.app = self.app.as_ref().map(|app| app.name.to_string());
        self.line.bytes_up = self.came.get();
        self.line.total_ms = took.into();
        if let Some((began, waited)) = self.served {
            self.line.service_ms = Millis((now.since(began).as_millis_f64() - waited).max(0.0));
        }
        self.log.submit(std::mem::take(&mut self.line));
    }
}

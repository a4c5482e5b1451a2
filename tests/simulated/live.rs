//! The real side: cables measured, requests replayed, the machine watched.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use dynomesh_core::time::{Span, Time};
use dynomesh_sim::compare::{Cables, Comparison, GATES};
use dynomesh_testkit::cables::Delays;
use dynomesh_testkit::client::Ask;
use dynomesh_testkit::cluster::Cluster;
use dynomesh_testkit::history::Exchange;
use dynomesh_testkit::latency::Latencies;
use dynomesh_testkit::processor::{Busy, Watch};

use crate::model::{Model, WARM_UP, requests, work};
use crate::recording::Recording;

/// Share of its processors that the machine may be busy with: past it, it is the machine that is measured.
const BUSY_MAX: f64 = 0.7;
/// How late the load itself may be at p99 before it is no longer the load that is simulated.
const LATE_MAX: Span = Span::from_millis(5);

/// One run of the real mesh.
pub(crate) struct Run {
    seed: u64,
    delays: Delays,
    cables: Cables,
    seen: Vec<Exchange>,
    busy: Option<Busy>,
    leaders_changed: bool,
}

/// Seeds by the environment.
pub(crate) fn seeds() -> Option<Vec<u64>> {
    let text = std::env::var("DYNOMESH_SEEDS").ok()?;
    Some(text.split(',').map(|seed| seed.trim().parse().expect("DYNOMESH_SEEDS holds whole numbers, separated by commas")).collect())
}

impl Run {
    /// Measures the cables of `cluster` and sends it the requests of `seed`.
    pub(crate) fn of(cluster: &Cluster, seed: u64) -> Self {
        let leaders = || -> BTreeSet<u32> { ["b1", "b2"].map(|block| cluster.leader(block).pid).into() };
        let delays = Delays::measure(cluster);
        let cables = Cables { trip: delays.trip.percentile(50.0), turn: delays.turn.percentile(50.0) };
        cluster.await_idle();
        let (before, watch) = (leaders(), Watch::start());
        let asks = requests(seed).into_iter().map(|(at, request)| (at.since(Time::ZERO), Ask::get("/compare").service(request.service)));
        let seen = cluster.client().replay(asks);
        let busy = watch.finish();
        Run { seed, delays, cables, seen, busy, leaders_changed: leaders() != before }
    }

    /// Why the run says nothing about the simulator; empty if it does.
    pub(crate) fn void(&self) -> Vec<String> {
        let failed = self.seen.iter().filter(|exchange| exchange.ok().is_none()).count();
        let late = self.late().percentile(99.0);
        let busy = match self.busy {
            None => Some("how busy the machine was is not known".into()),
            Some(busy) if busy.mean >= BUSY_MAX => Some(format!("the machine was {busy}: {:.0} % is the most", BUSY_MAX * 100.0)),
            Some(_) => None,
        };
        let failed = (failed > 0).then(|| format!("{failed} requests were not answered, and no fault is simulated"));
        let leaders = self.leaders_changed.then(|| "a leader changed, and no fault is simulated".into());
        let late = (late > LATE_MAX).then(|| format!("the load itself was late by {:.1} ms at p99", late.as_millis_f64()));
        [busy, failed, leaders, late].into_iter().flatten().collect()
    }

    /// Beside its simulation.
    pub(crate) fn compared(&self) -> Comparison {
        let simulated = Model::of(self.seed, self.cables).latencies();
        Comparison::of(&self.latencies(), &simulated, &GATES).expect("both sides have the requests of one list")
    }

    /// Writes the run to the file that `DYNOMESH_RECORD` names, if it names one.
    pub(crate) fn record_if_asked(&self) {
        let Some(file) = std::env::var_os("DYNOMESH_RECORD") else { return };
        let work = work(&requests(self.seed));
        let recording = Recording { seed: self.seed, work, cables: self.cables, latencies: self.latencies() };
        recording.write(&PathBuf::from(file)).expect("the recording can be written");
    }

    fn latencies(&self) -> Vec<Span> {
        self.seen.iter().skip(WARM_UP).map(Exchange::latency).collect()
    }

    /// How late requests were begun.
    fn late(&self) -> Latencies {
        let mut late = Latencies::new();
        self.seen.iter().for_each(|exchange| late.record(exchange.begun.since(exchange.due)));
        late
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cables { trip, turn } = self.cables;
        writeln!(f, "seed {}: {} requests, {} of them to warm up", self.seed, self.seen.len(), WARM_UP)?;
        writeln!(f, "{}", self.delays)?;
        writeln!(f, "cables: trip {:.2} ms, of which a turn is {:.2} ms", trip.as_millis_f64(), turn.as_millis_f64())?;
        writeln!(f, "load begun late by: {}", self.late())?;
        match self.busy {
            Some(busy) => write!(f, "machine: {busy}"),
            None => f.write_str("machine: not known"),
        }
    }
}

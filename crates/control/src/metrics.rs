//! What the control plane counts: calls, the directory, its group.
//!
//! Calls are counted where they are answered. What has a value rather than a history (dynos, term, entries) is read when somebody asks,
//! so it is never stale and costs nothing else.

use std::fmt;
use std::sync::{Arc, Weak};

use dynomesh_consensus::{LATENCY_BOUNDS, Replica};
use dynomesh_core::directory::Place;
use dynomesh_core::time::Time;
use dynomesh_runtime::clock::Clock;
use dynomesh_runtime::telemetry::Registry;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use tonic::Code;

use crate::api::code_word;
use crate::directory::{Directory, DirectoryMachine};
use crate::standing::{Standing, Watch};
use dynomesh_runtime::gossip::Gossip;

/// Upper bounds of the call latency, in seconds: a read is far below the first, a write waits for a commit, the last are elections.
const SECONDS: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Counts calls. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    calls: Family<Call, Counter>,
    seconds: Family<Method, Histogram>,
    limited: Family<Limit, Counter>,
    clock: Clock,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    method: &'static str,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Method {
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Limit {
    code: &'static str,
}

/// A call that is being answered.
pub(crate) struct Timer<'a> {
    metrics: &'a Metrics,
    begun: Time,
}

impl Metrics {
    /// Counters in this registry.
    pub(crate) fn new(registry: &Registry, clock: Clock) -> Self {
        let metrics = Metrics {
            calls: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            limited: Family::default(),
            clock,
        };
        registry.register("admin_calls", "Calls of the admin API by method and what came of them", metrics.calls.clone());
        registry.register("admin_call_seconds", "Time to answer a call of the admin API", metrics.seconds.clone());
        registry.register("admin_limited", "Calls that a limit of the admin API refused", metrics.limited.clone());
        metrics
    }

    /// Begins a call.
    pub(crate) fn begin(&self) -> Timer<'_> {
        Timer { metrics: self, begun: self.clock.now() }
    }

    /// A limit refused a call.
    pub(crate) fn limited(&self, code: Code) {
        self.limited.get_or_create(&Limit { code: code_word(code) }).inc();
    }
}

impl Timer<'_> {
    /// Ends the call; `refused` is the code if it was.
    pub(crate) fn end(self, method: &'static str, refused: Option<Code>) {
        let code = code_word(refused.unwrap_or(Code::Ok));
        self.metrics.calls.get_or_create(&Call { method, code }).inc();
        self.metrics.seconds.get_or_create(&Method { method }).observe(self.metrics.clock.now().since(self.begun).as_secs_f64());
    }
}

/// What is read when somebody asks.
pub(crate) struct Present {
    pub(crate) replica: Replica<DirectoryMachine>,
    pub(crate) directory: Directory,
    pub(crate) watch: Watch,
    pub(crate) gossip: Gossip,
}

/// Reads it as long as it is there: whoever holds the metrics must not keep the disk of a stopped replica in use.
pub(crate) struct Reader(Weak<Present>);

impl Present {
    /// What reads this.
    pub(crate) fn reader(self: &Arc<Self>) -> Reader {
        Reader(Arc::downgrade(self))
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

impl Collector for Reader {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.upgrade().map_or(Ok(()), |present| present.encode(encoder))
    }
}

impl Present {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (apps, blocks, dynos, waiting) = self.directory.read(|state| {
            let waiting = state.dynos().filter(|dyno| dyno.place == Place::Waiting).count();
            (state.apps().len(), state.blocks().len(), state.dynos().len(), waiting)
        });
        let raft = self.replica.metrics();
        let standing = self.watch.now();
        let gauges = [
            ("directory_apps", "Apps in the directory", apps as u64),
            ("directory_blocks", "Blocks bound by the directory", blocks as u64),
            ("directory_dynos", "Dynos in the directory, removed ones until they are released", dynos as u64),
            ("directory_dynos_waiting", "Dynos that wait for a first block", waiting as u64),
            ("gossip_nodes", "Processes heard by gossip, this one included", self.gossip.peers().len() as u64 + 1),
            ("raft_leader", "1 while this replica leads its group", u64::from(standing == Standing::Leads)),
            ("raft_term", "Term of this replica", raft.term.0),
            ("raft_log_last", "Index of the last log entry", raft.last_log.0),
            ("raft_committed", "Index of the last entry known to be committed", raft.committed.0),
            ("raft_applied", "Index of the last applied entry", raft.applied.0),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        for (name, help, value) in
            [("raft_batches", "Rounds proposed here and committed", raft.batches), ("raft_commands", "Commands in those rounds", raft.ops)]
        {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let help = "Time from proposal to apply, per round";
        let mut latency = encoder.encode_descriptor("raft_commit_seconds", help, None, MetricType::Histogram)?;
        let bounds = LATENCY_BOUNDS.iter().map(|micros| *micros as f64 / 1e6).chain([f64::MAX]);
        let buckets: Vec<(f64, u64)> = bounds.zip(raft.latency.buckets).collect();
        latency.encode_histogram::<NoLabelSet>(raft.latency.sum.as_secs_f64(), raft.latency.buckets.iter().sum(), &buckets, None)
    }
}

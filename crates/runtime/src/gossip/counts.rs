//! What the gossip of one node has sent, received and dropped.

use dynomesh_core::gossip::Refused;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::telemetry::Registry;

/// Why a datagram was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum DropReason {
    /// Too short to be one of ours, or of another version of the format.
    Foreign,
    /// Sealed with a key that is not known here.
    UnknownKey,
    /// Changed on its way, of another cluster, or made without the key.
    Forged,
    /// It opened, but what is inside makes no sense.
    Malformed,
    /// Seen before, or older than the window of what may still come (P20).
    Replayed,
    /// From an earlier run of its sender. Also seen when two processes have one name.
    Outrun,
    /// More senders than are remembered.
    Crowded,
    /// Dropped on purpose, by a test.
    Muted,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Dropped {
    reason: DropReason,
}

/// Counters of one node's gossip.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    sent: Counter,
    sent_bytes: Counter,
    unsent: Counter,
    received: Counter,
    received_bytes: Counter,
    dropped: Family<Dropped, Counter>,
    unreadable: Counter,
    unwanted: Counter,
    full: Counter,
    refused: Counter,
}

impl Counts {
    /// Datagrams sent.
    pub fn datagrams_sent(&self) -> u64 {
        self.sent.get()
    }

    /// Bytes of the datagrams sent, headers of IP and UDP not counted.
    pub fn bytes_sent(&self) -> u64 {
        self.sent_bytes.get()
    }

    /// Bytes of the datagrams received and opened.
    pub fn bytes_received(&self) -> u64 {
        self.received_bytes.get()
    }

    /// Datagrams received and opened.
    pub fn datagrams_received(&self) -> u64 {
        self.received.get()
    }

    /// Datagrams dropped for `reason`.
    pub fn datagrams_dropped(&self, reason: DropReason) -> u64 {
        self.dropped.get_or_create(&Dropped { reason }).get()
    }

    pub(super) fn register(&self, registry: &Registry) {
        registry.register("gossip_datagrams_sent", "Gossip datagrams sent", self.sent.clone());
        registry.register("gossip_datagrams_unsent", "Gossip datagrams the system refused to send", self.unsent.clone());
        registry.register("gossip_datagrams_received", "Gossip datagrams received and opened", self.received.clone());
        registry.register("gossip_bytes_sent", "Bytes of gossip datagrams sent", self.sent_bytes.clone());
        registry.register("gossip_bytes_received", "Bytes of gossip datagrams received and opened", self.received_bytes.clone());
        registry.register("gossip_datagrams_dropped", "Gossip datagrams dropped", self.dropped.clone());
        registry.register("gossip_facts_unreadable", "Facts of other nodes that could not be read", self.unreadable.clone());
        registry.register("gossip_facts_unwanted", "Facts of other nodes that this one does not want", self.unwanted.clone());
        registry.register("gossip_facts_full", "Facts and nodes for which there was no room", self.full.clone());
        registry.register("gossip_facts_refused", "Own facts too long to be published", self.refused.clone());
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.sent.inc();
        self.sent_bytes.inc_by(bytes as u64);
    }

    pub(super) fn unsent(&self) {
        self.unsent.inc();
    }

    pub(super) fn received(&self, bytes: usize) {
        self.received.inc();
        self.received_bytes.inc_by(bytes as u64);
    }

    pub(super) fn dropped(&self, reason: DropReason) {
        self.dropped.get_or_create(&Dropped { reason }).inc();
    }

    /// Brings what the core refused up to date.
    pub(super) fn refused_by_core(&self, now: Refused) {
        for (counter, now) in [(&self.unreadable, now.unreadable), (&self.unwanted, now.unwanted), (&self.full, now.full)] {
            counter.inc_by(now - counter.get());
        }
    }

    pub(super) fn refused(&self) {
        self.refused.inc();
    }
}

//! What is counted of TLS.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::telemetry::Registry;

/// The counts of a process, by the section of the configuration that they belong to. Clones count in the same place.
#[derive(Debug, Clone, Default)]
pub struct TlsMetrics {
    handshakes: Family<Section, Counter>,
    handshake_failures: Family<Section, Counter>,
    reloads: Family<Section, Counter>,
    reload_failures: Family<Section, Counter>,
    expiry: Family<Section, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Section {
    section: &'static str,
}

/// The counts of one section.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub(super) handshakes: Counter,
    pub(super) handshake_failures: Counter,
    pub(super) reloads: Counter,
    pub(super) reload_failures: Counter,
    expiry: Gauge,
}

impl TlsMetrics {
    /// Registers all counts.
    pub fn register(registry: &Registry) -> Self {
        let metrics = TlsMetrics::default();
        let m = metrics.clone();
        registry.register("tls_handshakes", "Connections that began to speak TLS, by section", m.handshakes);
        registry.register("tls_handshake_failures", "Connections that ended before they spoke TLS, by section", m.handshake_failures);
        registry.register("tls_reloads", "Changes of files that were taken over, by section", m.reloads);
        registry.register("tls_reload_failures", "Changes of files that were refused, by section", m.reload_failures);
        registry.register("tls_expiry_seconds", "Time until the first certificate of the section expires; negative once it has", m.expiry);
        metrics
    }

    pub(super) fn of(&self, section: &'static str) -> Counts {
        let section = Section { section };
        Counts {
            handshakes: self.handshakes.get_or_create(&section).clone(),
            handshake_failures: self.handshake_failures.get_or_create(&section).clone(),
            reloads: self.reloads.get_or_create(&section).clone(),
            reload_failures: self.reload_failures.get_or_create(&section).clone(),
            expiry: self.expiry.get_or_create(&section).clone(),
        }
    }
}

impl Counts {
    /// Both in seconds since 1970.
    pub(super) fn expires_in(&self, not_after: i64, now: i64) {
        self.expiry.set(not_after.saturating_sub(now));
    }
}

//! Who routes in a simulation.

use serde::Deserialize;

/// The mesh, or one of its rivals under [`crate::policy`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Edges and blocks by the production code.
    #[default]
    Dynomesh,
    /// Any dyno, by chance.
    Random,
    /// Dynos in turn, each router for itself.
    RoundRobin,
    /// The fewest of the router's own requests.
    LocalLeastConn,
    /// The less busy of two dynos by the router's own requests.
    TwoChoicesLocal,
    /// The less busy of two dynos by all requests in them.
    TwoChoicesTrue,
    /// Idle dynos join a router.
    JoinIdle,
    /// Probes of load and latency, after Prequal.
    Prequal,
    /// The least busy dyno by the last load report.
    Reports,
    /// The fewest requests by a shared counter store.
    Store,
    /// One line for all dynos.
    Ideal,
}

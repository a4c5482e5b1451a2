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
}

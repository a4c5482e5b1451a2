//! What may be done, and to whom.

use serde::Deserialize;

use crate::mesh::{Node, Role, nodes};
use crate::story::DYNOS;

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fault {
    KillEdge,
    KillLeader,
    KillReplica,
    KillBlock,
    KillControl,
    KillDyno,
    FreezeEdge,
    FreezeLeader,
    /// When it has just heard of a quorum for what an edge asked, and has not written to a dyno yet.
    FreezeLeaderAtCommit,
    FreezeReplica,
    FreezeControl,
    FreezeDyno,
    PowerReplica,
    PowerBlock,
    PowerControl,
    CutLeader,
    CutLeaderFromEdges,
    CutLeaderFromDynos,
    CutReplica,
    /// All replicas of a block from each other: who leads keeps the edges and dynos, and nobody can take over.
    CutApart,
    CutOneWay,
    CutControl,
    CutGossip,
    SlowFlush,
    FailFlush,
    FullDisk,
    SlowHost,
    Loss,
    ClockAhead,
    WallStep,
    Move,
}

use Fault as F;

/// What kind of process a fault may strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tier {
    Edge,
    Replica,
    Control,
    Dyno,
}

/// Whom a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strikes {
    /// One process of these.
    One(&'static [Tier]),
    /// A block: its replicas or whoever leads it.
    Block,
    /// The whole mesh.
    All,
}

// === impl Tier ===

impl Tier {
    pub(super) fn has(self, node: &Node) -> bool {
        let tier = match node.role {
            Role::Edge => Tier::Edge,
            Role::Replica { .. } => Tier::Replica,
            Role::Control => Tier::Control,
            Role::Dyno { .. } => Tier::Dyno,
        };
        self == tier
    }
}

// === impl Fault ===

impl Fault {
    pub(super) fn strikes(self) -> Strikes {
        match self {
            F::KillEdge | F::FreezeEdge => Strikes::One(&[Tier::Edge]),
            F::KillReplica | F::FreezeReplica | F::PowerReplica | F::CutReplica | F::FailFlush | F::FullDisk => {
                Strikes::One(&[Tier::Replica])
            }
            F::KillControl | F::FreezeControl | F::PowerControl | F::CutControl => Strikes::One(&[Tier::Control]),
            F::KillDyno | F::FreezeDyno | F::Move => Strikes::One(&[Tier::Dyno]),
            F::SlowFlush => Strikes::One(&[Tier::Replica, Tier::Control]),
            F::SlowHost => Strikes::One(&[Tier::Edge, Tier::Replica]),
            F::ClockAhead | F::WallStep => Strikes::One(&[Tier::Edge, Tier::Replica, Tier::Control]),
            F::KillLeader | F::FreezeLeader | F::FreezeLeaderAtCommit | F::CutLeader | F::CutLeaderFromEdges | F::CutLeaderFromDynos => {
                Strikes::Block
            }
            F::KillBlock | F::PowerBlock | F::CutApart => Strikes::Block,
            F::CutOneWay | F::CutGossip | F::Loss => Strikes::All,
        }
    }

    /// Whether `on` names somebody whom it may strike; if not, who there is.
    pub(super) fn check_on(self, on: &str) -> Result<(), String> {
        let there_is = match self.strikes() {
            Strikes::All => return Err(format!("it strikes the whole mesh, not {on:?} alone: leave `on` out")),
            Strikes::Block => vec!["b1".to_owned(), "b2".to_owned()],
            Strikes::One(tiers) => names(tiers),
        };
        if there_is.iter().any(|name| name == on) {
            return Ok(());
        }
        Err(format!("it cannot strike {on:?}: `on` is one of {}, or is left out", there_is.join(", ")))
    }
}

/// The names of all processes of these tiers, as every mesh has them.
fn names(tiers: &[Tier]) -> Vec<String> {
    let nodes = nodes(&DYNOS);
    let of = |tier: &Tier| nodes.iter().filter(|node| tier.has(node)).map(|node| node.name.clone()).collect::<Vec<_>>();
    tiers.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_there_and_of_the_right_kind_can_be_struck() {
        for (fault, on) in
            [(F::KillReplica, "b2-3"), (F::PowerBlock, "b1"), (F::KillLeader, "b2"), (F::Move, "d8"), (F::WallStep, "edge-1")]
        {
            assert_eq!(fault.check_on(on), Ok(()), "{fault:?}");
        }
        for (fault, on, there_is) in [
            (F::KillDyno, "d9", "d1, d2, d3, d4, d5, d6, d7, d8,"),
            (F::KillDyno, "b1-1", "d1, d2"),
            (F::KillLeader, "b1-1", "b1, b2,"),
            (F::KillLeader, "d3", "b1, b2,"),
            (F::KillBlock, "b3", "b1, b2,"),
            (F::SlowFlush, "edge-1", "b1-1, b1-2, b1-3, b2-1, b2-2, b2-3, control-1,"),
            (F::Loss, "edge-1", "leave `on` out"),
        ] {
            let problem = fault.check_on(on).unwrap_err();
            assert!(problem.contains(on) && problem.contains(there_is), "{problem}");
        }
    }
}

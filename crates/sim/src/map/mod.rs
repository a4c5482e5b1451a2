//! The gossip of a whole mesh under virtual time: the production state machine, thousands of times.
//!
//! What is asked: how long until a fresh edge can route, until a change of leader is known everywhere, until both blocks of a move know
//! of it, and what each kind of node sends and receives each second. Links lose and delay; processing takes no time.

pub mod facts;
pub mod measure;
pub mod network;

pub use measure::{Findings, measure};

/// How large the mesh is, and how bad its links are.
#[derive(Debug, Clone)]
pub struct Scale {
    /// Blocks.
    pub blocks: usize,
    /// Replicas of a block.
    pub replicas: usize,
    /// Dynos of a block.
    pub dynos: usize,
    /// Apps that a block has dynos of.
    pub apps: usize,
    /// Apps in all.
    pub apps_total: usize,
    /// Edges.
    pub edges: usize,
    /// Replicas of control.
    pub control: usize,
    /// Share of datagrams that are lost.
    pub loss: f64,
    /// Longest way of a datagram, in microseconds; the shortest is a tenth of it.
    pub delay_max: u64,
    /// Where chance begins.
    pub seed: u64,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A replica of control.
    Control,
    /// An edge.
    Edge,
    /// A replica of a block, by the block's number; the first one leads.
    Replica(usize),
}

impl Default for Scale {
    /// The mesh that is planned for.
    fn default() -> Self {
        Scale {
            blocks: 1000,
            replicas: 3,
            dynos: 100,
            apps: 4,
            apps_total: 100,
            edges: 100,
            control: 3,
            loss: 0.01,
            delay_max: 4_000,
            seed: 1,
        }
    }
}

impl Scale {
    /// All nodes.
    pub fn nodes(&self) -> usize {
        self.control + self.edges + self.blocks * self.replicas
    }

    /// What the `nth` node is: control first, then edges, then blocks.
    pub fn role(&self, nth: usize) -> Role {
        if nth < self.control {
            return Role::Control;
        }
        match nth.checked_sub(self.control + self.edges) {
            None => Role::Edge,
            Some(replica) => Role::Replica(replica / self.replicas),
        }
    }

    /// The first replica of a block.
    pub fn leader(&self, block: usize) -> usize {
        self.control + self.edges + block * self.replicas
    }
}

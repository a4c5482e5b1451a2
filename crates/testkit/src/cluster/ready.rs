//! The ready file of `dynomesh dev`: what runs where.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// What runs where. Fields that are not known here are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Ready {
    /// The edges.
    pub edges: Vec<Edge>,
    /// The replicas of the control plane.
    pub control: Vec<Control>,
    /// Where the admin API is.
    pub admin: SocketAddr,
    /// The replicas of each block.
    pub blocks: BTreeMap<String, Vec<Replica>>,
    /// The dynos that `dev` itself started.
    pub dynos: Vec<Dyno>,
    /// The authority of edges that speak HTTPS, with `--tls`.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

/// An edge.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Edge {
    /// Its name.
    pub name: String,
    /// Where clients connect.
    pub http: SocketAddr,
    /// Where they connect by TLS, with `--tls`.
    #[serde(default)]
    pub https: Option<SocketAddr>,
    /// Its process.
    pub pid: u32,
}

/// A replica of the control plane.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Control {
    /// Its name.
    pub name: String,
    /// Where its API is.
    pub grpc: SocketAddr,
    /// Its process.
    pub pid: u32,
}

/// A replica of a block.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Replica {
    /// Its name.
    pub name: String,
    /// Where edges send requests.
    pub http: SocketAddr,
    /// Where its peers are.
    pub grpc: SocketAddr,
    /// Its process.
    pub pid: u32,
    /// Whether it leads.
    #[serde(default)]
    pub leader: bool,
}

/// A dyno of `dev`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Dyno {
    /// Its id.
    pub id: String,
    /// Its app.
    pub app: String,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its process.
    pub pid: u32,
}

impl Ready {
    /// Every process but `dev` itself.
    pub fn pids(&self) -> Vec<u32> {
        let edges = self.edges.iter().map(|edge| edge.pid);
        let control = self.control.iter().map(|control| control.pid);
        let replicas = self.blocks.values().flatten().map(|replica| replica.pid);
        edges.chain(control).chain(replicas).chain(self.dynos.iter().map(|dyno| dyno.pid)).collect()
    }

    /// The leader of a block, if it has one.
    pub fn leader(&self, block: &str) -> Option<&Replica> {
        self.blocks.get(block)?.iter().find(|replica| replica.leader)
    }

    /// Whether every block has a leader.
    pub fn is_led(&self) -> bool {
        self.blocks.keys().all(|block| self.leader(block).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_as_it_is_documented() {
        let ready: Ready = serde_json::from_str(
            r#"{"edges":[{"name":"edge-1","http":"127.0.0.1:1","pid":5}],
            "control":[{"name":"control-1","grpc":"127.0.0.1:2","pid":6}],"admin":"127.0.0.1:2",
            "blocks":{"b1":[{"name":"b1-1","http":"127.0.0.1:3","grpc":"127.0.0.1:4","pid":7,"leader":true},
            {"name":"b1-2","http":"127.0.0.1:5","grpc":"127.0.0.1:6","pid":8,"leader":false}]},
            "dynos":[{"id":"d1","app":"demo","addr":"127.0.0.1:7","pid":9}]}"#,
        )
        .unwrap();
        assert_eq!(ready.pids(), [5, 6, 7, 8, 9]);
        assert_eq!(ready.leader("b1").unwrap().name, "b1-1");
        assert!(ready.leader("b2").is_none() && ready.is_led());
    }
}

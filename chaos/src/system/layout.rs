//! What a mesh consists of: which processes, on which hosts, at which addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};

use crate::net::{USERS, address};
use crate::scenario::Shape;

/// Ports, the same on every host.
pub(crate) const HTTP: u16 = 8080;
pub(crate) const GRPC: u16 = 7080;
pub(crate) const ADMIN: u16 = 9090;
pub(crate) const GOSSIP: u16 = 7946;
const DYNO: u16 = 3000;
/// Dynos that speak WebSocket listen from here on.
const SOCKETS: u16 = 5000;
/// Dynos share so many hosts.
const DYNO_HOSTS: u16 = 2;

/// Which part a process plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// Takes requests.
    Edge,
    /// Of the control plane.
    Control,
    /// Of this block.
    Replica(String),
    /// Answers requests.
    Dyno,
    /// Echoes WebSockets.
    Sockets,
}

/// A process and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) host: String,
    pub(crate) address: Ipv4Addr,
    /// The port it is known by.
    pub(crate) port: u16,
}

/// All processes of a mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) members: Vec<Member>,
}

// === impl Layout ===

impl Layout {
    /// The layout of a mesh of this shape.
    pub(crate) fn new(shape: &Shape) -> Result<Self> {
        let mut members = Vec::new();
        let mut add = |name: String, role: Role, host: String, port: u16| -> Result<()> {
            let address = address::of(&host).with_context(|| format!("no address for the host {host}: at most 99 of a kind"))?;
            members.push(Member { name, role, host, address, port });
            Ok(())
        };
        let control = if shape.system.is_mesh() { shape.control } else { 0 };
        for n in 1..=control {
            add(format!("control-{n}"), Role::Control, format!("control-{n}"), GRPC)?;
        }
        for b in 1..=shape.blocks {
            for n in 1..=shape.replicas {
                add(format!("b{b}-{n}"), Role::Replica(format!("b{b}")), format!("b{b}-{n}"), HTTP)?;
            }
        }
        for n in 1..=shape.edges {
            add(format!("edge-{n}"), Role::Edge, format!("edge-{n}"), HTTP)?;
        }
        for n in 1..=shape.dynos {
            add(format!("d{n}"), Role::Dyno, format!("dynos-{}", n % DYNO_HOSTS + 1), DYNO + n)?;
        }
        for n in 1..=shape.sockets {
            add(format!("w{n}"), Role::Sockets, format!("dynos-{}", n % DYNO_HOSTS + 1), SOCKETS + n)?;
        }
        Ok(Layout { members })
    }

    /// All hosts, that of the users included.
    pub(crate) fn hosts(&self) -> Result<BTreeMap<String, Ipv4Addr>> {
        let users = address::of(USERS).context("the users have an address")?;
        let members = self.members.iter().map(|member| (member.host.clone(), member.address));
        Ok(members.chain([(USERS.to_owned(), users)]).collect())
    }

    /// The hosts of these processes, each once.
    pub(crate) fn hosts_of(&self, names: &[String]) -> Result<Vec<String>> {
        let hosts: BTreeSet<String> = names.iter().map(|name| Ok(self.member(name)?.host.clone())).collect::<Result<_>>()?;
        Ok(hosts.into_iter().collect())
    }

    /// The process of this name.
    pub(crate) fn member(&self, name: &str) -> Result<&Member> {
        self.members.iter().find(|member| member.name == name).with_context(|| format!("there is no {name}"))
    }

    /// All processes that play a part.
    pub(crate) fn playing(&self, role: &Role) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |member| member.role == *role)
    }

    /// The replicas of a block.
    pub(crate) fn replicas(&self, block: &str) -> Vec<&Member> {
        self.playing(&Role::Replica(block.to_owned())).collect()
    }

    /// The names of the blocks.
    pub(crate) fn blocks(&self) -> Vec<String> {
        let mut blocks: Vec<String> = Vec::new();
        for member in &self.members {
            if let Role::Replica(block) = &member.role
                && blocks.last() != Some(block)
            {
                blocks.push(block.clone());
            }
        }
        blocks
    }

    /// Where clients connect to.
    pub(crate) fn edges(&self) -> Vec<SocketAddr> {
        self.playing(&Role::Edge).map(Member::socket).collect()
    }

    /// Where operators connect to, as the command line takes it.
    pub(crate) fn admin(&self) -> String {
        self.playing(&Role::Control).map(|member| member.socket().to_string()).collect::<Vec<_>>().join(",")
    }

    /// The gossip addresses of those that others find the mesh by.
    pub(crate) fn seeds(&self) -> impl Iterator<Item = SocketAddr> {
        self.members.iter().filter(|member| matches!(member.role, Role::Control | Role::Replica(_))).map(|member| member.at(GOSSIP))
    }
}

// === impl Member ===

impl Member {
    /// Where it is known.
    pub(crate) fn socket(&self) -> SocketAddr {
        self.at(self.port)
    }

    /// Its address with another port.
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        (self.address, port).into()
    }

    /// Whether it is a daemon of the mesh.
    pub(crate) fn is_daemon(&self) -> bool {
        matches!(self.role, Role::Edge | Role::Control | Role::Replica(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_process_has_a_name_and_an_address_of_its_own() {
        let shape = Shape { edges: 2, blocks: 3, replicas: 3, control: 3, dynos: 8, sockets: 2, ..Shape::default() };
        let layout = Layout::new(&shape).unwrap();
        let names: BTreeSet<_> = layout.members.iter().map(|member| &member.name).collect();
        let sockets: BTreeSet<_> = layout.members.iter().map(Member::socket).collect();
        assert_eq!((names.len(), sockets.len()), (24, 24));
        assert_eq!(layout.blocks(), ["b1", "b2", "b3"]);
        assert_eq!(layout.replicas("b2").len(), 3);
        assert_eq!(layout.hosts().unwrap().len(), 3 + 9 + 2 + 2 + 1);
        assert_eq!(layout.seeds().count(), 12);
    }
}

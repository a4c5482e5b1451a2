//! What a mesh of `dynomesh dev` consists of: which processes, on which ports.
//!
//! The layout is chosen once and kept in the data directory, because the replicas of a block know each other by address: the next run
//! with the same directory is the same mesh. Edges come and go freely, blocks and dynos may be added; what a Raft group consists of
//! stays. The layout also remembers how far the mesh was set up, so that a run that was killed half way is finished by the next, and
//! what a user has deleted since does not come back.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ports::{PortError, Ports};
use super::ready::write_atomically;
use crate::args;

/// Its file in the data directory.
const FILE: &str = "layout.json";
/// Version of the file's form.
const VERSION: u32 = 1;
/// Port of the first edge unless said otherwise.
const EDGE_PORT: u16 = 8080;
/// HTTPS is so far above HTTP: 8443 for 8080.
const HTTPS_OFFSET: u16 = 363;

/// The mesh, process by process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layout {
    version: u32,
    /// Key that seals gossip, in hexadecimal.
    pub(crate) key: String,
    /// First ports of the claimed ranges.
    ranges: Vec<u16>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) control: Group,
    pub(crate) blocks: Vec<Group>,
    pub(crate) dynos: Vec<Dyno>,
    /// The app `demo` was created; from then on it is the user's.
    pub(crate) app_created: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edge {
    pub(crate) name: String,
    pub(crate) http: SocketAddr,
    /// In runs with `--tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) https: Option<SocketAddr>,
    pub(crate) admin: SocketAddr,
    pub(crate) gossip: SocketAddr,
}

/// A Raft group: a block, or the control plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) replicas: Vec<Replica>,
    /// Its members know each other.
    pub(crate) founded: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) gossip: SocketAddr,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dyno {
    pub(crate) id: String,
    pub(crate) addr: SocketAddr,
    /// The directory has been told of it; from then on the directory knows better.
    pub(crate) added: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum LayoutError {
    #[error("{path}")]
    File {
        path: String,
        #[source]
        cause: io::Error,
    },
    #[error("{path} is damaged or was written by another version of dynomesh")]
    Form {
        path: String,
        #[source]
        cause: serde_json::Error,
    },
    #[error("{path} has version {found}; this dynomesh reads version {VERSION}")]
    Version { path: String, found: u32 },
    #[error("this data directory holds a mesh with {have} {what}, not {want}: leave out {option}, or take another --data-dir")]
    Fixed { option: &'static str, what: &'static str, have: usize, want: u16 },
    #[error("edge {edge} has no port: {port} + {offset} is over 65535; choose a lower --port")]
    EdgePort { edge: u16, port: u16, offset: u16 },
    #[error(transparent)]
    Ports(#[from] PortError),
}

// === impl Layout ===

impl Layout {
    /// The layout in `dir`, grown to what `wanted` asks for, or a new one.
    pub(crate) fn open(dir: &Path, wanted: &args::Dev) -> Result<(Self, Ports), LayoutError> {
        let (mut layout, mut ports) = match Self::load(dir)? {
            Some(layout) => {
                layout.check(wanted)?;
                let ports = Ports::reclaim(&layout.ranges)?;
                (layout, ports)
            }
            None => (Self::empty(), Ports::default()),
        };
        layout.grow(wanted, &mut ports)?;
        layout.ranges = ports.bases();
        layout.save(dir)?;
        Ok((layout, ports))
    }

    /// Writes the layout, so that what has been reached is not done again.
    pub(crate) fn save(&self, dir: &Path) -> Result<(), LayoutError> {
        let path = dir.join(FILE);
        let text = serde_json::to_vec_pretty(self).expect("a layout holds only text and numbers");
        write_atomically(&path, &text).map_err(|cause| LayoutError::File { path: path.display().to_string(), cause })
    }

    /// The gossip addresses by which a new process finds the others.
    pub(crate) fn seeds(&self) -> impl Iterator<Item = SocketAddr> {
        self.groups().flat_map(|group| group.replicas.iter().map(|replica| replica.gossip))
    }

    /// The control plane and the blocks.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Group> {
        std::iter::once(&self.control).chain(&self.blocks)
    }

    /// The group of this name, to note what it has become.
    pub(crate) fn group_mut(&mut self, name: &str) -> Option<&mut Group> {
        std::iter::once(&mut self.control).chain(&mut self.blocks).find(|group| group.name == name)
    }

    /// Where operators reach the control plane.
    pub(crate) fn admin_api(&self) -> SocketAddr {
        self.control.replicas[0].grpc
    }

    fn empty() -> Self {
        let key: [u8; 32] = rand::random();
        Layout {
            version: VERSION,
            key: key.iter().map(|byte| format!("{byte:02x}")).collect(),
            ranges: Vec::new(),
            edges: Vec::new(),
            control: Group { name: "control".into(), replicas: Vec::new(), founded: false },
            blocks: Vec::new(),
            dynos: Vec::new(),
            app_created: false,
        }
    }

    fn load(dir: &Path) -> Result<Option<Self>, LayoutError> {
        let path = dir.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(LayoutError::File { path: path.display().to_string(), cause }),
        };
        let path = path.display().to_string();
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(|cause| LayoutError::Form { path: path.clone(), cause })?;
        let found = value["version"].as_u64().and_then(|version| version.try_into().ok()).unwrap_or(0);
        if found != VERSION {
            return Err(LayoutError::Version { path, found });
        }
        serde_json::from_value(value).map(Some).map_err(|cause| LayoutError::Form { path, cause })
    }

    /// Refuses wishes that would change what a Raft group consists of, or lose a block or a dyno.
    fn check(&self, wanted: &args::Dev) -> Result<(), LayoutError> {
        let replicas = self.blocks.first().map_or(0, |block| block.replicas.len());
        for (option, what, have, want, grows) in [
            ("--replicas", "replicas in each block", replicas, wanted.replicas, false),
            ("--control", "control replicas", self.control.replicas.len(), wanted.control, false),
            ("--blocks", "blocks", self.blocks.len(), wanted.blocks, true),
            ("--dynos", "dynos", self.dynos.len(), wanted.dynos, true),
        ] {
            match want {
                Some(want) if have > usize::from(want) || (!grows && have != usize::from(want)) => {
                    return Err(LayoutError::Fixed { option, what, have, want });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn grow(&mut self, wanted: &args::Dev, ports: &mut Ports) -> Result<(), LayoutError> {
        let count = |wanted: Option<u16>, have: usize, default: u16| match (wanted, have) {
            (Some(wanted), _) => wanted,
            (None, 0) => default,
            (None, have) => u16::try_from(have).unwrap_or(u16::MAX),
        };
        let is_new = self.blocks.is_empty();
        let replicas = count(wanted.replicas, self.blocks.first().map_or(0, |block| block.replicas.len()), 3);
        if is_new {
            for n in 1..=wanted.control.unwrap_or(1) {
                self.control.replicas.push(Replica::new(format!("control-{n}"), ports)?);
            }
            self.control.replicas[0].grpc = admin_port(wanted).unwrap_or(self.control.replicas[0].grpc);
        }
        for b in self.blocks.len() + 1..=count(wanted.blocks, self.blocks.len(), 2).into() {
            let replicas = (1..=replicas).map(|n| Replica::new(format!("b{b}-{n}"), ports)).collect::<Result<_, _>>()?;
            self.blocks.push(Group { name: format!("b{b}"), replicas, founded: false });
        }
        let dynos = if is_new { wanted.dynos.unwrap_or(8) } else { count(wanted.dynos, self.dynos.len(), 0) };
        for d in self.dynos.len() + 1..=dynos.into() {
            self.dynos.push(Dyno { id: format!("d{d}"), addr: loopback(ports.take()?), added: false });
        }
        self.set_edges(count(wanted.edges, self.edges.len(), 2), wanted.port, ports)?;
        self.set_https(wanted.tls, wanted.port, ports)
    }

    /// Edges hold nothing, so their number and ports follow each run's options.
    fn set_edges(&mut self, edges: u16, port: Option<u16>, ports: &mut Ports) -> Result<(), LayoutError> {
        let first = port.or_else(|| self.edges.first().map(|edge| edge.http.port()));
        self.edges.truncate(edges.into());
        for e in 1..=edges {
            let index = usize::from(e) - 1;
            if index == self.edges.len() {
                let (admin, gossip) = (loopback(ports.take()?), loopback(ports.take()?));
                self.edges.push(Edge { name: format!("edge-{e}"), http: loopback(0), https: None, admin, gossip });
            }
            let kept = self.edges[index].http.port();
            let port = match (port, first.unwrap_or(EDGE_PORT)) {
                (Some(0), _) | (None, 0) if kept == 0 => ports.take()?,
                (Some(0) | None, _) if kept != 0 => kept,
                (_, first) => first.checked_add(e - 1).ok_or(LayoutError::EdgePort { edge: e, port: first, offset: e - 1 })?,
            };
            self.edges[index].http = loopback(port);
        }
        Ok(())
    }

    /// Beside HTTP, or at any free port if that is where HTTP is; kept as long as no other port is asked for.
    fn set_https(&mut self, wanted: bool, port: Option<u16>, ports: &mut Ports) -> Result<(), LayoutError> {
        for (edge, e) in self.edges.iter_mut().zip(1..) {
            let http = edge.http.port();
            edge.https = match (port, edge.https) {
                _ if !wanted => None,
                (None | Some(0), Some(kept)) => Some(kept),
                (Some(0), None) => Some(loopback(ports.take()?)),
                _ => {
                    let over = LayoutError::EdgePort { edge: e, port: http, offset: HTTPS_OFFSET };
                    Some(loopback(http.checked_add(HTTPS_OFFSET).ok_or(over)?))
                }
            };
        }
        Ok(())
    }
}

impl Replica {
    fn new(name: String, ports: &mut Ports) -> Result<Self, PortError> {
        let mut take = || ports.take().map(loopback);
        Ok(Replica { name, http: take()?, grpc: take()?, admin: take()?, gossip: take()? })
    }
}

/// The address that the command line tries by itself, for the one mesh that takes every default.
fn admin_port(wanted: &args::Dev) -> Option<SocketAddr> {
    let admin: SocketAddr = dynomesh_ctl::ADMIN_DEFAULT.parse().expect("the default is an address");
    (wanted.port.is_none() && super::ports::listen(admin.port()).is_ok()).then_some(admin)
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command, Dev};

    fn dev(options: &str) -> Dev {
        match Cli::try_parse_from(format!("dynomesh dev {options}").split_whitespace()).unwrap().command {
            Command::Dev(dev) => *dev,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_next_run_is_the_same_mesh() {
        let dir = tempfile::tempdir().unwrap();
        let (first, ports) = Layout::open(dir.path(), &dev("--port 0 --blocks 3 --dynos 2")).unwrap();
        drop(ports);
        let (second, _ports) = Layout::open(dir.path(), &dev("--port 0")).unwrap();
        assert_eq!(first, second);
        assert_eq!((first.edges.len(), first.blocks.len(), first.blocks[2].replicas.len(), first.dynos.len()), (2, 3, 3, 2));
    }

    #[test]
    fn blocks_and_dynos_are_added_and_never_lost() {
        let dir = tempfile::tempdir().unwrap();
        let (first, ports) = Layout::open(dir.path(), &dev("--port 0 --dynos 2 --edges 3")).unwrap();
        drop(ports);
        let (grown, ports) = Layout::open(dir.path(), &dev("--port 0 --blocks 3 --dynos 4 --edges 1")).unwrap();
        drop(ports);
        assert_eq!((grown.edges.len(), grown.blocks.len(), grown.dynos.len()), (1, 3, 4));
        assert_eq!((&grown.blocks[..2], &grown.dynos[..2], &grown.control), (&first.blocks[..], &first.dynos[..], &first.control));
        for (refused, option) in
            [("--dynos 3", "--dynos"), ("--blocks 2", "--blocks"), ("--replicas 1", "--replicas"), ("--control 3", "--control")]
        {
            let error = Layout::open(dir.path(), &dev(refused)).unwrap_err();
            assert!(matches!(&error, LayoutError::Fixed { option: named, .. } if *named == option), "{refused}: {error}");
        }
    }

    #[test]
    fn edges_listen_from_the_given_port_on() {
        let dir = tempfile::tempdir().unwrap();
        let ports_of = |layout: &Layout| layout.edges.iter().map(|edge| edge.http.port()).collect::<Vec<_>>();
        let (layout, ports) = Layout::open(dir.path(), &dev("--port 9100 --edges 3")).unwrap();
        drop(ports);
        assert_eq!(ports_of(&layout), [9100, 9101, 9102]);
        let (layout, ports) = Layout::open(dir.path(), &dev("--port 9200")).unwrap();
        drop(ports);
        assert_eq!(ports_of(&layout), [9200, 9201, 9202]);
        let (layout, _ports) = Layout::open(dir.path(), &dev("--edges 4")).unwrap();
        assert_eq!(ports_of(&layout), [9200, 9201, 9202, 9203]);
        let error = Layout::open(tempfile::tempdir().unwrap().path(), &dev("--port 65535")).unwrap_err();
        assert!(matches!(error, LayoutError::EdgePort { edge: 2, .. }), "{error}");
    }

    #[test]
    fn https_is_there_if_asked_for_beside_http() {
        let dir = tempfile::tempdir().unwrap();
        let ports_of = |layout: &Layout| layout.edges.iter().map(|edge| edge.https.map(|https| https.port())).collect::<Vec<_>>();
        let (layout, ports) = Layout::open(dir.path(), &dev("--port 9100 --tls")).unwrap();
        drop(ports);
        assert_eq!(ports_of(&layout), [Some(9463), Some(9464)]);
        let (layout, ports) = Layout::open(dir.path(), &dev("--port 9100")).unwrap();
        drop(ports);
        assert_eq!(ports_of(&layout), [None, None]);

        let dir = tempfile::tempdir().unwrap();
        let (first, ports) = Layout::open(dir.path(), &dev("--port 0 --tls")).unwrap();
        drop(ports);
        let (second, _ports) = Layout::open(dir.path(), &dev("--port 0 --tls")).unwrap();
        assert_eq!(first, second);
        assert!(first.edges.iter().all(|edge| edge.https.is_some_and(|https| https != edge.http)));
    }

    #[test]
    fn no_two_processes_share_an_address() {
        let (layout, _ports) =
            Layout::open(tempfile::tempdir().unwrap().path(), &dev("--port 0 --tls --control 3 --blocks 4 --dynos 30")).unwrap();
        let mut all: Vec<SocketAddr> = layout.dynos.iter().map(|dyno| dyno.addr).collect();
        all.extend(layout.edges.iter().flat_map(|edge| [edge.http, edge.https.unwrap(), edge.admin, edge.gossip]));
        all.extend(layout.groups().flat_map(|group| &group.replicas).flat_map(|r| [r.http, r.grpc, r.admin, r.gossip]));
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn a_damaged_layout_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for (text, problem) in [("{", "damaged"), ("{}", "version 0"), (r#"{"version":1}"#, "damaged")] {
            fs::write(dir.path().join(FILE), text).unwrap();
            let error = Layout::open(dir.path(), &dev("")).unwrap_err().to_string();
            assert!(error.contains("layout.json") && error.contains(problem), "{error}");
        }
    }
}

//! The configuration file of each process, written out so that it can be read, changed and used again without `dev`.

use std::net::SocketAddr;
use std::path::Path;

use super::layout::{Edge, Group, Layout, Replica};
use crate::args::Slots;

/// What all files of one mesh share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) threads: u16,
    pub(crate) slots: Slots,
}

impl Shared<'_> {
    /// The file of an edge.
    pub(crate) fn edge(self, edge: &Edge) -> String {
        let Edge { name, http, admin, gossip } = edge;
        let own = format!("name = \"{name}\"\nlisten = \"{http}\"\nadmin = \"{admin}\"\nthreads = {}\n", self.threads);
        own + &self.gossip(*gossip)
    }

    /// The file of a block's replica, which keeps its state in `dir`.
    pub(crate) fn replica(self, block: &Group, replica: &Replica, dir: &Path) -> String {
        let Replica { name, http, grpc, admin, gossip } = replica;
        let slots = match self.slots {
            Slots::Committed => "committed",
            Slots::Leased => "leased",
        };
        let own = format!(
            "block = \"{}\"\nreplica = \"{name}\"\ndata_dir = {}\nhttp = \"{http}\"\ngrpc = \"{grpc}\"\nadmin = \"{admin}\"\n\
             threads = {}\nslots = \"{slots}\"\n",
            block.name,
            quoted(dir),
            self.threads
        );
        own + &self.gossip(*gossip)
    }

    /// The file of a replica of the control plane, which keeps its state in `dir`.
    pub(crate) fn control(self, replica: &Replica, dir: &Path) -> String {
        let Replica { name, grpc, admin, gossip, .. } = replica;
        let own = format!("name = \"{name}\"\ndata_dir = {}\ngrpc = \"{grpc}\"\nadmin = \"{admin}\"\n", quoted(dir));
        own + &self.gossip(*gossip)
    }

    fn gossip(self, listen: SocketAddr) -> String {
        let seeds: Vec<String> = self.layout.seeds().filter(|seed| *seed != listen).map(|seed| format!("\"{seed}\"")).collect();
        format!("\n[gossip]\nlisten = \"{listen}\"\nseeds = [{}]\ncluster = \"dev\"\nkey = \"{}\"\n", seeds.join(", "), self.layout.key)
    }
}

/// A path as TOML text.
fn quoted(path: &Path) -> String {
    toml::Value::String(path.display().to_string()).to_string()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};
    use crate::daemon;

    /// The daemons themselves read what is written here.
    #[test]
    fn every_daemon_accepts_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let Command::Dev(dev) = Cli::try_parse_from(["dynomesh", "dev", "--port", "0"]).unwrap().command else { panic!() };
        let (layout, _ports) = Layout::open(dir.path(), &dev).unwrap();
        for slots in [Slots::Committed, Slots::Leased] {
            let shared = Shared { layout: &layout, threads: 2, slots };
            let data = dir.path().join("a \"strange\" place");
            let block = &layout.blocks[0];
            for text in [
                shared.edge(&layout.edges[0]),
                shared.replica(block, &block.replicas[0], &data),
                shared.control(&layout.control.replicas[0], &data),
            ] {
                let file = dir.path().join("file.toml");
                std::fs::write(&file, &text).unwrap();
                daemon::check(&file, None).unwrap_or_else(|error| panic!("{error} in\n{text}"));
            }
        }
    }
}

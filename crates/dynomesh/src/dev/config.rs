//! The configuration file of each process, written out so that it can be read, changed and used again without `dev`.

use std::net::SocketAddr;
use std::path::Path;

use dynomesh_runtime::tls::TiersSection;

use super::certificates::Certificates;
use super::layout::{Edge, Group, Layout, Replica};
use crate::args::Slots;

/// What all files of one mesh share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) threads: u16,
    pub(crate) slots: Slots,
    pub(crate) certificates: Option<&'a Certificates>,
}

impl Shared<'_> {
    /// The file of an edge.
    pub(crate) fn edge(self, edge: &Edge) -> String {
        let Edge { name, http, https, admin, gossip } = edge;
        let own = format!("name = \"{name}\"\nlisten = \"{http}\"\nadmin = \"{admin}\"\nthreads = {}\n", self.threads);
        own + &self.gossip(*gossip) + &self.tls(*https) + &self.tiers()
    }

    fn tls(self, https: Option<SocketAddr>) -> String {
        let Some((certificates, https)) = self.certificates.zip(https) else { return String::new() };
        let [cert, key] = certificates.edge().map(|path| quoted(&path));
        format!("\n[tls]\nlisten = \"{https}\"\ncertificates = [{{ cert = {cert}, key = {key} }}]\n")
    }

    fn tiers(self) -> String {
        let Some(TiersSection { ca, cert, key, .. }) = self.certificates.map(Certificates::tiers) else { return String::new() };
        format!("\n[tiers]\nca = {}\ncert = {}\nkey = {}\n", quoted(&ca), quoted(&cert), quoted(&key))
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
        own + &self.gossip(*gossip) + &self.tiers()
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
        let Command::Dev(dev) = Cli::try_parse_from(["dynomesh", "dev", "--port", "0", "--tls"]).unwrap().command else { panic!() };
        let (layout, _ports) = Layout::open(dir.path(), &dev).unwrap();
        let certificates = Certificates::open(dir.path()).unwrap();
        for (slots, certificates) in [(Slots::Committed, None), (Slots::Leased, Some(&certificates))] {
            let shared = Shared { layout: &layout, threads: 2, slots, certificates };
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

//! What each daemon is told by its file.

use super::{GOSSIP_PORT, GRPC_PORT, HTTP_PORT, KEY, Mesh, Node, Role};

impl Mesh {
    pub(super) fn edge(&self, node: &Node) -> String {
        let own = format!(
            "name = \"{}\"\nlisten = \"{}\"\nadmin = \"{}\"\naccess_log = \"off\"\n[limits]\ndeadline = \"{}\"\n",
            node.name,
            node.at(HTTP_PORT),
            node.at(7071),
            crate::story::DEADLINE
        );
        own + &self.gossip(node)
    }

    pub(super) fn replica(&self, node: &Node, block: &str) -> String {
        let own = format!(
            "block = \"{block}\"\nreplica = \"{}\"\ndata_dir = \"{}\"\nhttp = \"{}\"\ngrpc = \"{}\"\nadmin = \"{}\"\nslots = \"{}\"\n",
            node.name,
            self.disk(node).display(),
            node.at(HTTP_PORT),
            node.at(GRPC_PORT),
            node.at(7071),
            self.settings.slots
        );
        own + &self.gossip(node)
    }

    pub(super) fn control(&self, node: &Node) -> String {
        let own = format!(
            "name = \"{}\"\ndata_dir = \"{}\"\ngrpc = \"{}\"\nadmin = \"{}\"\n[api]\nopen = true\n",
            node.name,
            self.disk(node).display(),
            node.at(GRPC_PORT),
            node.at(7071)
        );
        own + &self.gossip(node)
    }

    fn gossip(&self, node: &Node) -> String {
        let seed = |other: &&Node| other.name != node.name && (other.role == Role::Control || other.name.ends_with("-1"));
        let seeds: Vec<String> = self.nodes.iter().filter(seed).map(|node| format!("\"{}\"", node.at(GOSSIP_PORT))).collect();
        format!(
            "[gossip]\nlisten = \"{}\"\nseeds = [{}]\ncluster = \"simulated\"\nkey = \"{KEY}\"\n",
            node.at(GOSSIP_PORT),
            seeds.join(", ")
        )
    }
}

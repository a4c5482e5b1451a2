//! The configuration file of each daemon.

use std::path::Path;

use super::layout::{ADMIN, GOSSIP, GRPC, HTTP, Layout, Member, Role};
use crate::scenario::Shape;

/// Seals gossip. No secret: the network is the run's own.
const KEY: &str = "c4a05c4a05c4a05c4a05c4a05c4a05c4a05c4a05c4a05c4a05c4a05c4a05c4a0";

/// The file of a daemon that keeps its state in `dir`; `None` for a process that takes none.
pub(super) fn text(layout: &Layout, shape: &Shape, member: &Member, dir: &Path) -> Option<String> {
    let (name, threads) = (&member.name, shape.threads);
    let [http, grpc, admin] = [HTTP, GRPC, ADMIN].map(|port| member.at(port));
    let data = toml::Value::String(dir.display().to_string());
    let own = match &member.role {
        Role::Edge => format!("name = \"{name}\"\nlisten = \"{http}\"\nadmin = \"{admin}\"\nthreads = {threads}\naccess_log = \"off\"\n"),
        Role::Control => format!("name = \"{name}\"\ndata_dir = {data}\ngrpc = \"{grpc}\"\nadmin = \"{admin}\"\n\n[api]\nopen = true\n"),
        Role::Replica(block) => format!(
            "block = \"{block}\"\nreplica = \"{name}\"\ndata_dir = {data}\nhttp = \"{http}\"\ngrpc = \"{grpc}\"\nadmin = \"{admin}\"\n\
             threads = {threads}\nslots = \"{}\"\n{}",
            shape.slots,
            shape.snapshot_every.map_or_else(String::new, |every| format!("\n[raft]\nsnapshot_every = {every}\n")),
        ),
        Role::Dyno | Role::Sockets => return None,
    };
    let gossip = member.at(GOSSIP);
    let seeds: Vec<String> = layout.seeds().filter(|seed| *seed != gossip).map(|seed| format!("\"{seed}\"")).collect();
    Some(format!("{own}\n[gossip]\nlisten = \"{gossip}\"\nseeds = [{}]\ncluster = \"chaos\"\nkey = \"{KEY}\"\n", seeds.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The daemons themselves judge what is written here, by `dynomesh check-config`.
    #[test]
    fn every_daemon_accepts_its_file() {
        let shape = Shape { control: 3, snapshot_every: Some(200), ..Shape::default() };
        let layout = Layout::new(&shape).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut checked = 0;
        for member in &layout.members {
            let Some(text) = text(&layout, &shape, member, &dir.path().join("a \"strange\" place")) else { continue };
            let file = dir.path().join("file.toml");
            std::fs::write(&file, &text).unwrap();
            let args = ["dynomesh".into(), "check-config".into(), file.into_os_string()];
            assert_eq!(dynomesh::run(args), std::process::ExitCode::SUCCESS, "{text}");
            checked += 1;
        }
        assert_eq!(checked, 2 + 6 + 3);
    }
}

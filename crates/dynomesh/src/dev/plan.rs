//! Which processes a mesh consists of, and the command line of each.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use dynomesh_runtime::shutdown::PARENT_ENV;

use super::certificates::Certificates;
use super::child::{Place, Plan};
use super::config::Shared;
use super::layout::Layout;
use super::{DevError, Home, command};
use crate::args;

/// Plans every process and writes the configuration files. `program` is this binary.
pub(crate) fn all(
    args: &args::Dev,
    home: &Home,
    layout: &Layout,
    certificates: Option<&Certificates>,
    program: &Path,
) -> Result<Vec<Plan>, DevError> {
    let planner = Planner { home, program };
    let shared = Shared { layout, threads: args.threads, slots: args.slots, certificates };
    let mut plans = Vec::new();
    for (index, edge) in layout.edges.iter().enumerate() {
        plans.push(planner.daemon("edge", &edge.name, Place::Edge(index), &shared.edge(edge))?);
    }
    for (index, replica) in layout.control.replicas.iter().enumerate() {
        let text = shared.control(replica, &home.path.join(&replica.name));
        plans.push(planner.daemon("control", &replica.name, Place::Control(index), &text)?);
    }
    for (block, group) in layout.blocks.iter().enumerate() {
        for (index, replica) in group.replicas.iter().enumerate() {
            let text = shared.replica(group, replica, &home.path.join(&replica.name));
            plans.push(planner.daemon("block", &replica.name, Place::Replica { block, replica: index }, &text)?);
        }
    }
    for (index, dyno) in layout.dynos.iter().enumerate() {
        let sample = || {
            let args = ["agent", "--demo", "--id", &dyno.id, "--listen", &dyno.addr.to_string(), "--seed", &(index + 1).to_string()];
            (program.to_path_buf(), args.map(OsString::from).to_vec())
        };
        let start = command::for_port(&args.command, dyno.addr.port()).unwrap_or_else(sample);
        plans.push(planner.dyno(&dyno.id, index, dyno.addr.port(), start));
    }
    Ok(plans)
}

struct Planner<'a> {
    home: &'a Home,
    program: &'a Path,
}

impl Planner<'_> {
    fn daemon(&self, kind: &str, name: &str, place: Place, config: &str) -> Result<Plan, DevError> {
        let file = self.home.path.join("config").join(format!("{name}.toml"));
        fs::write(&file, config).map_err(|cause| DevError::File { path: file.display().to_string(), cause })?;
        Ok(Plan {
            name: name.into(),
            place,
            program: self.program.into(),
            args: vec![kind.into(), "--config".into(), file.into()],
            env: vec![(PARENT_ENV, std::process::id().to_string())],
            log: self.home.log(name),
        })
    }

    fn dyno(&self, id: &str, index: usize, port: u16, (program, args): (PathBuf, Vec<OsString>)) -> Plan {
        let env = vec![(PARENT_ENV, std::process::id().to_string()), ("PORT", port.to_string())];
        Plan { name: id.into(), place: Place::Dyno(index), program, args, env, log: self.home.log(id) }
    }
}

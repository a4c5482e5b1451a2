//! What `dev` says once the mesh is ready: what runs where, and what to try.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::Home;
use super::boot::APP;
use super::layout::Layout;
use super::ready::Ready;

/// Dynos listed one by one; of more, the rest is counted.
const DYNOS_MAX: usize = 16;

/// The whole text.
pub(crate) fn text(layout: &Layout, ready: &Ready, home: &Home, program: &Path, took: Duration) -> String {
    let mut text = String::new();
    write_text(&mut text, layout, ready, home, program, took).expect("writing to a string does not fail");
    text
}

fn write_text(out: &mut String, layout: &Layout, ready: &Ready, home: &Home, program: &Path, took: Duration) -> std::fmt::Result {
    writeln!(out, "The mesh is ready after {:.1} s.\n", took.as_secs_f64())?;
    for (edge, process) in layout.edges.iter().zip(&ready.edges) {
        let https = edge.https.map(|https| ("https", https));
        let addresses: Vec<_> = [("http", edge.http)].into_iter().chain(https).chain([("admin", edge.admin)]).collect();
        line(out, "edge", &edge.name, process.pid, &addresses, "")?;
    }
    for (replica, process) in layout.control.replicas.iter().zip(&ready.control) {
        line(out, "control", &replica.name, process.pid, &[("grpc", replica.grpc), ("admin", replica.admin)], "")?;
    }
    for group in &layout.blocks {
        for (replica, process) in group.replicas.iter().zip(&ready.blocks[&group.name]) {
            let addresses = [("http", replica.http), ("grpc", replica.grpc), ("admin", replica.admin)];
            line(out, "block", &replica.name, process.pid, &addresses, if process.leader { "leader" } else { "" })?;
        }
    }
    for dyno in ready.dynos.iter().take(DYNOS_MAX) {
        line(out, "dyno", &dyno.id, dyno.pid, &[("http", dyno.addr)], "")?;
    }
    if ready.dynos.len() > DYNOS_MAX {
        writeln!(out, "  and {} dynos more", ready.dynos.len() - DYNOS_MAX)?;
    }
    let program = short(program);
    writeln!(out, "\n  logs      {}", home.log("*").display())?;
    writeln!(out, "  commands  export DYNOMESH_ADMIN={}; {program} status", ready.admin)?;
    if let Some(edge) = ready.edges.first() {
        match ready.dynos.is_empty() {
            false => writeln!(out, "  try       curl -i http://{}/", edge.http)?,
            true => writeln!(out, "  next      {program} app create {APP} --host '*'; {program} dyno add {APP} IP:PORT")?,
        }
    }
    if let Some((ca, https)) = ready.ca.as_ref().zip(ready.edges.first().and_then(|edge| edge.https)) {
        writeln!(out, "  https     curl -i --cacert '{}' https://localhost:{}/", ca.display(), https.port())?;
    }
    writeln!(out, "  stop      Ctrl-C")
}

fn line(out: &mut String, kind: &str, name: &str, pid: u32, addresses: &[(&str, SocketAddr)], note: &str) -> std::fmt::Result {
    let mut text = format!("  {kind:<8} {name:<10} pid {pid:<8}");
    for (what, address) in addresses {
        write!(text, " {what} {:<16}", address.to_string())?;
    }
    writeln!(out, "{}", format!("{text} {note}").trim_end())
}

/// The program as one would type it here.
fn short(program: &Path) -> String {
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| program.strip_prefix(here).ok().map(Path::to_path_buf));
    below.map_or_else(|| program.display().to_string(), |path| path.display().to_string())
}

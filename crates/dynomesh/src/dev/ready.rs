//! The ready file: what runs where, as one JSON object, for scripts and tests.
//!
//! It appears when the mesh is ready, is replaced as a whole (a reader never sees half of it) whenever a process gets another pid or a
//! block another leader, and goes when the mesh stops.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Everything that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Ready {
    pub(crate) edges: Vec<Edge>,
    pub(crate) control: Vec<Control>,
    pub(crate) admin: SocketAddr,
    pub(crate) blocks: BTreeMap<String, Vec<Replica>>,
    pub(crate) dynos: Vec<Dyno>,
    /// The authority of edges that speak HTTPS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Edge {
    pub(crate) name: String,
    pub(crate) http: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) https: Option<SocketAddr>,
    pub(crate) pid: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Control {
    pub(crate) name: String,
    pub(crate) grpc: SocketAddr,
    pub(crate) pid: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) pid: u32,
    pub(crate) leader: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Dyno {
    pub(crate) id: String,
    pub(crate) app: String,
    pub(crate) addr: SocketAddr,
    pub(crate) pid: u32,
}

/// Puts `content` at `path` in one step: a reader finds the old file or the new one.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let next = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = fs::File::create(&next).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_data()
    });
    written.and_then(|()| fs::rename(&next, path)).inspect_err(|_| {
        let _ = fs::remove_file(&next);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_documented_form() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let replica = Replica { name: "b1-1".into(), http: at(3), grpc: at(4), pid: 7, leader: true };
        let ready = Ready {
            edges: vec![Edge { name: "edge-1".into(), http: at(1), https: None, pid: 5 }],
            control: vec![Control { name: "control-1".into(), grpc: at(2), pid: 6 }],
            admin: at(2),
            blocks: BTreeMap::from([("b1".into(), vec![replica])]),
            dynos: vec![Dyno { id: "d1".into(), app: "demo".into(), addr: at(5), pid: 8 }],
            ca: None,
        };
        let expected = concat!(
            r#"{"edges":[{"name":"edge-1","http":"127.0.0.1:1","pid":5}],"#,
            r#""control":[{"name":"control-1","grpc":"127.0.0.1:2","pid":6}],"admin":"127.0.0.1:2","#,
            r#""blocks":{"b1":[{"name":"b1-1","http":"127.0.0.1:3","grpc":"127.0.0.1:4","pid":7,"leader":true}]},"#,
            r#""dynos":[{"id":"d1","app":"demo","addr":"127.0.0.1:5","pid":8}]}"#
        );
        assert_eq!(serde_json::to_string(&ready).unwrap(), expected);

        let edges = vec![Edge { https: Some(at(9)), ..ready.edges[0].clone() }];
        let with_tls = serde_json::to_string(&Ready { edges, ca: Some("/ca.pem".into()), ..ready }).unwrap();
        assert!(with_tls.contains(r#""http":"127.0.0.1:1","https":"127.0.0.1:9","pid":5"#), "{with_tls}");
        assert!(with_tls.ends_with(r#","ca":"/ca.pem"}"#), "{with_tls}");
    }

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ready.json");
        for content in ["long content", "short"] {
            write_atomically(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(write_atomically(&dir.path().join("missing/ready.json"), b"").is_err());
    }
}

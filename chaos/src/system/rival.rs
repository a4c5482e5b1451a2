//! What the mesh is run beside: HAProxy edges in front of HAProxy blocks, set up as well as their manual allows.
//!
//! An edge takes the less loaded of two random blocks and tries again elsewhere what may be repeated; a block gives each dyno one request
//! and queues the rest. A block is one process, so whatever befalls the leader of a block of the mesh befalls the whole block here.

use std::fmt::Write;

use serde::Deserialize;

use super::layout::{Layout, Member, Role};

/// Which system is run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The mesh.
    #[default]
    #[value(skip)]
    Mesh,
    /// HAProxy edges and blocks; each block has dynos of its own, which nobody serves while it is down.
    Haproxy,
    /// The same, but every block sends to every dyno, and counts its own requests only.
    HaproxyShared,
}

/// What both have in common. Whoever repeats a request that may have run before runs it twice, so that is for idempotent ones only.
const DEFAULTS: &str = "global\n    nbthread 1\n    maxconn 4000\n\
defaults\n    mode http\n    timeout connect 1s\n    timeout client 60s\n    timeout server 60s\n    timeout queue 10s\n    option redispatch 1\n";
const UNSAFE: &str = "    http-request disable-l7-retry unless { method GET HEAD OPTIONS PUT DELETE }\n";
/// Where an edge asks a block whether it lives.
const HEALTH: &str = "/haproxy-health";

// === impl Kind ===

impl Kind {
    /// Whether it is the mesh itself.
    pub(crate) fn is_mesh(self) -> bool {
        self == Kind::Mesh
    }

    /// Its configuration for an edge or a block; `None` for anything else, and in the mesh.
    pub(super) fn text(self, layout: &Layout, member: &Member) -> Option<String> {
        match &member.role {
            Role::Edge if !self.is_mesh() => Some(edge(layout, member)),
            Role::Replica(block) if !self.is_mesh() => Some(self.block(layout, member, block)),
            _ => None,
        }
    }

    fn block(self, layout: &Layout, member: &Member, block: &str) -> String {
        let blocks = layout.blocks();
        let mine = blocks.iter().position(|name| name == block).unwrap_or(0);
        let mut text = format!(
            "{DEFAULTS}    option http-server-close\n    retries 3\n    retry-on conn-failure empty-response\n\
             frontend edges\n    bind {}\n    monitor-uri {HEALTH}\n{UNSAFE}    default_backend dynos\n\
             backend dynos\n    balance leastconn\n    default-server maxconn 1 check inter 1s fall 3 rise 1\n",
            member.socket()
        );
        for (n, dyno) in layout.playing(&Role::Dyno).enumerate() {
            if self == Kind::HaproxyShared || n % blocks.len() == mine {
                // Writing to a string does not fail.
                let _ = writeln!(text, "    server {} {}", dyno.name, dyno.socket());
            }
        }
        text
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Mesh => "mesh",
            Kind::Haproxy => "haproxy",
            Kind::HaproxyShared => "haproxy-shared",
        })
    }
}

fn edge(layout: &Layout, member: &Member) -> String {
    let mut text = format!(
        "{DEFAULTS}    retries 5\n    retry-on conn-failure empty-response response-timeout 503\n    option httpchk GET {HEALTH}\n\
         frontend clients\n    bind {}\n{UNSAFE}    default_backend blocks\n\
         backend blocks\n    balance random(2)\n    default-server check inter 500ms fastinter 100ms fall 2 rise 1 on-marked-down shutdown-sessions\n",
        member.socket()
    );
    for block in layout.members.iter().filter(|member| matches!(member.role, Role::Replica(_))) {
        let _ = writeln!(text, "    server {} {}", block.name, block.socket());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Shape;

    #[test]
    fn every_dyno_is_served_by_one_block_or_by_all() {
        let shape = Shape { blocks: 3, replicas: 1, dynos: 8, ..Shape::default() };
        let layout = Layout::new(&shape).unwrap();
        for (kind, times) in [(Kind::Haproxy, 1), (Kind::HaproxyShared, 3)] {
            let all: String = layout.members.iter().filter_map(|member| kind.text(&layout, member)).collect();
            for dyno in layout.playing(&Role::Dyno) {
                assert_eq!(all.matches(&format!("server {} ", dyno.name)).count(), times, "{}", dyno.name);
            }
        }
        assert!(layout.members.iter().all(|member| Kind::Mesh.text(&layout, member).is_none()));
    }
}

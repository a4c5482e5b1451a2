//! Who leads a block: asked of its replicas one by one, for the control plane knows it late and may be the one that is broken.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{HTTP_PORT, Mesh, Role};

/// Longest wait for an answer; a replica that takes longer leads nothing.
const ANSWER_MAX: Duration = Duration::from_millis(100);
/// What edges ask a replica to know whether it leads.
const BEAT: &[u8] = b"GET / HTTP/1.1\r\nhost: simulation\r\nx-dynomesh-beat: 1\r\nconnection: close\r\n\r\n";

impl Mesh {
    /// The replica that leads a block, by the word of the replicas; the first one where none says so.
    pub(crate) fn leading(&self, block: &str) -> Option<usize> {
        let role = Role::Replica { block: block.into() };
        let of_block: Vec<usize> = (0..self.nodes.len()).filter(|node| self.nodes[*node].role == role).collect();
        let claim_of = |node: &usize| self.runtime.block_on(claim(self.nodes[*node].at(HTTP_PORT)));
        let claims = of_block.iter().filter_map(|node| Some((claim_of(node)?, *node)));
        claims.max().map(|(_, node)| node).or(of_block.first().copied())
    }
}

/// The term in which the replica at this address says that it leads.
async fn claim(at: SocketAddr) -> Option<u64> {
    let answer = async {
        let mut stream = TcpStream::connect(at).await.ok()?;
        stream.write_all(BEAT).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        term(&answer)
    };
    tokio::time::timeout(ANSWER_MAX, answer).await.ok()?
}

fn term(answer: &str) -> Option<u64> {
    let value = |name: &str| {
        let field = answer.lines().filter_map(|line| line.split_once(": ")).find(|(field, _)| field.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value)
    };
    value("x-dynomesh-role").filter(|role| *role == "leader")?;
    value("x-dynomesh-leader")?.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_says_that_it_leads_has_a_term() {
        let answer =
            |role: &str| format!("HTTP/1.1 204 No Content\r\nX-Dynomesh-Role: {role}\r\nx-dynomesh-leader: 7/1/10.0.21.1:1\r\n\r\n");
        assert_eq!((term(&answer("leader")), term(&answer("follower")), term("")), (Some(7), None, None));
    }
}

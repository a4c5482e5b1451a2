//! What faults must know of the mesh: who leads a block, and what a daemon's metrics count.

use std::thread;

use anyhow::{Context, Result, bail};
use dynomesh_core::time::Span;
use dynomesh_testkit::client::Wire;

use super::Mesh;
use super::layout::{ADMIN, HTTP, Member, Role};
use crate::waiting::until;

/// Longest wait for an answer: a replica that takes longer leads nothing.
const ANSWER_MAX: Span = Span::from_millis(300);
/// Longest wait for a leader where there should be one.
const LEADER_MAX: Span = Span::from_secs(20);

/// A replica that says that it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) name: String,
    pub(crate) term: u64,
}

// === impl Mesh: what is asked ===

impl Mesh {
    /// Who leads a block now, by the highest term.
    pub(crate) fn leader(&self, block: &str) -> Option<Leader> {
        if !self.kind.is_mesh() {
            return None;
        }
        leader_among(&self.group(block))
    }

    /// The replicas of a block, for whoever asks them from a thread of its own.
    pub(crate) fn group(&self, block: &str) -> Vec<Member> {
        self.layout.replicas(block).into_iter().cloned().collect()
    }

    /// Who leads a block, once somebody does.
    pub(crate) fn await_leader(&self, block: &str) -> Result<Leader> {
        let alone = || self.layout.replicas(block).first().map(|member| Leader { name: member.name.clone(), term: 0 });
        until(&format!("a leader of {block}"), LEADER_MAX, || if self.kind.is_mesh() { self.leader(block) } else { alone() })
    }

    /// Waits until no dyno runs a request, by their own counts.
    pub(crate) fn await_idle(&self, limit: Span) -> Result<()> {
        until("every dyno to be idle", limit, || {
            let is_idle = |member: &Member| get(member, member.port, "/demo/stats").is_ok_and(|stats| stats.contains("\"running\": 0"));
            self.layout.playing(&Role::Dyno).all(is_idle).then_some(())
        })
    }

    /// The sum of all values of a metric, by its name with the prefix of the mesh left out.
    pub(crate) fn metric(&self, name: &str, metric: &str) -> Result<f64> {
        let member = self.layout.member(name)?;
        let page = get(member, ADMIN, "/metrics")?;
        Ok(sum(&page, &format!("dynomesh_{metric}")))
    }
}

/// Who of these replicas leads, by the highest term. All are asked at once, since one that is frozen answers nobody.
pub(crate) fn leader_among(replicas: &[Member]) -> Option<Leader> {
    thread::scope(|scope| {
        let ask = |member: &Member| Some(Leader { name: member.name.clone(), term: claim(member)? });
        let asked: Vec<_> = replicas.iter().map(|member| scope.spawn(move || ask(member))).collect();
        let claims = asked.into_iter().filter_map(|asked| asked.join().expect("whoever asks does not panic"));
        claims.max_by_key(|leader| leader.term)
    })
}

/// The term in which a replica says that it leads.
fn claim(member: &Member) -> Option<u64> {
    let mut wire = Wire::connect(member.at(HTTP), ANSWER_MAX).ok()?;
    wire.write("GET / HTTP/1.1\r\nhost: chaos\r\nx-dynomesh-beat: 1\r\nconnection: close\r\n\r\n").ok()?;
    term(&wire.read_head().ok()?)
}

fn term(head: &str) -> Option<u64> {
    let value = |name: &str| {
        head.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name))).map(|(_, value)| value)
    };
    (value("x-dynomesh-role")? == "leader").then_some(())?;
    value("x-dynomesh-leader")?.split('/').next()?.parse().ok()
}

/// A page of a daemon.
pub(super) fn get(member: &Member, port: u16, path: &str) -> Result<String> {
    let mut wire = Wire::connect(member.at(port), ANSWER_MAX).with_context(|| format!("connect to {}", member.name))?;
    wire.write(format!("GET {path} HTTP/1.1\r\nhost: chaos\r\nconnection: close\r\n\r\n"))?;
    let answer = wire.read_to_end()?;
    if !answer.starts_with("HTTP/1.1 200") {
        bail!("{path} of {} answered {:?}", member.name, answer.lines().next().unwrap_or_default());
    }
    Ok(answer)
}

fn sum(page: &str, metric: &str) -> f64 {
    let value = |line: &str| {
        let rest = line.strip_prefix(metric)?;
        rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok()).flatten()
    };
    page.lines().filter_map(value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_is_known_by_its_word() {
        let head = |role: &str| format!("HTTP/1.1 204 No Content\r\nx-dynomesh-role: {role}\r\nX-Dynomesh-Leader: 7/1/127.0.0.1:1\r\n\r\n");
        assert_eq!((term(&head("leader")), term(&head("follower"))), (Some(7), None));
    }

    #[test]
    fn a_metric_is_summed_over_its_labels_and_no_other_is() {
        let page = "# TYPE a counter\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3.5\na_total_more 9\na 1\n";
        assert!((sum(page, "a_total") - 5.5).abs() < 1e-9 && (sum(page, "a") - 1.0).abs() < 1e-9);
    }
}

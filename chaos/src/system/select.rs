//! Words of a scenario for processes: `edge-1`, `leader of b1`, `followers of any`. What a word leaves open is drawn when its fault
//! begins, once for all words of that fault, so that the leader and the followers of `any` are of one block.

mod known;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result};
use rand::RngExt;
use rand::seq::IndexedRandom;
use serde::Deserialize;

use super::Mesh;
use super::layout::{Member, Role};
use crate::net::USERS;
use crate::program::process;

/// A word for some processes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Selector {
    /// The process of this name.
    Named(String),
    /// One edge, or all.
    Edge,
    Edges,
    /// Replicas of a block.
    Leader(Block),
    Follower(Block),
    Followers(Block),
    Block(Block),
    /// All replicas of all blocks.
    Blocks,
    /// The control plane.
    Control,
    /// One dyno, or all.
    Dyno,
    Dynos,
    /// The first process of each kind and block: with three replicas, a minority everywhere.
    Half,
    /// All daemons that the other word does not mean.
    Others,
    /// Where requests come from.
    Users,
}

/// A block, or whichever is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Block {
    Named(String),
    Any,
}

/// What was drawn for the words of one fault.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    block: Option<String>,
    leader: Option<String>,
}

const WORDS: &str = "`edge`, `edges`, `leader of BLOCK`, `follower of BLOCK`, `followers of BLOCK`, `block BLOCK`, `blocks`, `control`, `dyno`, \
                     `dynos`, `half`, `others`, `users`, or the name of a process such as `edge-1`, `b1-2`, `control-1`, `d3`; BLOCK is `any` or a name";

// === impl Selector ===

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let block = |name: &str| if name == "any" { Block::Any } else { Block::Named(name.to_owned()) };
        let known = |name: &str| {
            name.chars().next().is_some_and(|first| first.is_ascii_lowercase()) && name.ends_with(|last: char| last.is_ascii_digit())
        };
        Ok(match text {
            "edge" => Selector::Edge,
            "edges" => Selector::Edges,
            "blocks" => Selector::Blocks,
            "control" => Selector::Control,
            "dyno" => Selector::Dyno,
            "dynos" => Selector::Dynos,
            "half" => Selector::Half,
            "others" => Selector::Others,
            "users" => Selector::Users,
            _ => match text.split_once(" of ").or_else(|| text.split_once(' ')) {
                Some(("leader", name)) => Selector::Leader(block(name)),
                Some(("follower", name)) => Selector::Follower(block(name)),
                Some(("followers", name)) => Selector::Followers(block(name)),
                Some(("block", name)) => Selector::Block(block(name)),
                None if known(text) => Selector::Named(text.to_owned()),
                _ => return Err(format!("`{text}` means no process; it must be {WORDS}")),
            },
        })
    }
}

impl Selector {
    /// Whether it may mean another process wherever it stands in a fault.
    pub(crate) fn is_drawn(&self) -> bool {
        matches!(self, Selector::Edge | Selector::Dyno | Selector::Follower(_))
    }

    /// Whether edges and blocks that are no mesh have what it means: a block of theirs is one process, which is its leader.
    pub(crate) fn is_in_rivals(&self) -> bool {
        match self {
            Selector::Edge | Selector::Edges | Selector::Leader(_) | Selector::Block(_) | Selector::Dyno | Selector::Dynos => true,
            Selector::Named(name) => name.starts_with("edge-") || name.starts_with('d'),
            _ => false,
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let block = |block: &Block| match block {
            Block::Named(name) => name.clone(),
            Block::Any => "any".to_owned(),
        };
        f.write_str(&match self {
            Selector::Named(name) => name.clone(),
            Selector::Edge => "edge".to_owned(),
            Selector::Edges => "edges".to_owned(),
            Selector::Leader(of) => format!("leader of {}", block(of)),
            Selector::Follower(of) => format!("follower of {}", block(of)),
            Selector::Followers(of) => format!("followers of {}", block(of)),
            Selector::Block(name) => format!("block {}", block(name)),
            Selector::Blocks => "blocks".to_owned(),
            Selector::Control => "control".to_owned(),
            Selector::Dyno => "dyno".to_owned(),
            Selector::Dynos => "dynos".to_owned(),
            Selector::Half => "half".to_owned(),
            Selector::Others => "others".to_owned(),
            Selector::Users => "users".to_owned(),
        })
    }
}

impl TryFrom<String> for Selector {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

// === impl Mesh: what words mean ===

impl Mesh {
    /// The processes that a word means now.
    pub(crate) fn select(&mut self, selector: &Selector, choice: &mut Choice) -> Result<Vec<String>> {
        let one = |mut names: Vec<String>, rng: &mut rand::rngs::StdRng| -> Vec<String> {
            if names.is_empty() { names } else { vec![names.swap_remove(rng.random_range(0..names.len()))] }
        };
        let selected = match selector {
            Selector::Named(name) => vec![self.layout.member(name)?.name.clone()],
            Selector::Edge => one(self.names(|role| *role == Role::Edge), &mut self.rng),
            Selector::Edges => self.names(|role| *role == Role::Edge),
            Selector::Leader(block) => vec![self.leader_of(block, choice)?],
            Selector::Followers(block) => self.followers_of(block, choice)?,
            Selector::Follower(block) => one(self.followers_of(block, choice)?, &mut self.rng),
            Selector::Block(block) => {
                let block = self.block(block, choice)?;
                self.names(|role| *role == Role::Replica(block.clone()))
            }
            Selector::Blocks => self.names(|role| matches!(role, Role::Replica(_))),
            Selector::Control => self.names(|role| *role == Role::Control),
            Selector::Dyno => one(self.names(|role| *role == Role::Dyno), &mut self.rng),
            Selector::Dynos => self.names(|role| *role == Role::Dyno),
            Selector::Half => self.names_of(|member| member.is_daemon() && member.name.ends_with("-1")),
            Selector::Others | Selector::Users => Vec::new(),
        };
        Ok(selected)
    }

    /// Those of them that run: what another fault has killed cannot be killed again.
    pub(crate) fn select_running(&mut self, selector: &Selector, choice: &mut Choice) -> Result<Vec<String>> {
        let mut names = self.select(selector, choice)?;
        names.retain(|name| self.process(name).is_ok_and(|process| process.pid().is_some_and(|pid| !process::is_frozen(pid))));
        Ok(names)
    }

    /// The hosts of both sides of a partition.
    pub(crate) fn sides(&mut self, sides: &[Selector; 2], choice: &mut Choice) -> Result<[BTreeSet<String>; 2]> {
        let [first, second] = sides;
        let mut hosts = |selector: &Selector| -> Result<BTreeSet<String>> {
            if *selector == Selector::Users {
                return Ok([USERS.to_owned()].into());
            }
            let names = self.select(selector, choice)?;
            names.iter().map(|name| Ok(self.layout.member(name)?.host.clone())).collect()
        };
        let [mut a, mut b] = [hosts(first)?, hosts(second)?];
        let daemons: BTreeSet<String> =
            self.layout.members.iter().filter(|member| member.is_daemon()).map(|member| member.host.clone()).collect();
        if *first == Selector::Others {
            a = daemons.difference(&b).cloned().collect();
        } else if *second == Selector::Others {
            b = daemons.difference(&a).cloned().collect();
        }
        Ok([&a - &b, &b - &a])
    }

    fn names(&self, wanted: impl Fn(&Role) -> bool) -> Vec<String> {
        self.names_of(|member| wanted(&member.role))
    }

    fn names_of(&self, wanted: impl Fn(&Member) -> bool) -> Vec<String> {
        self.layout.members.iter().filter(|member| wanted(member)).map(|member| member.name.clone()).collect()
    }

    /// The block that a word means.
    pub(crate) fn block(&mut self, block: &Block, choice: &mut Choice) -> Result<String> {
        if let Block::Named(name) = block {
            return Ok(name.clone());
        }
        if choice.block.is_none() {
            // One that has lost its leader to another fault has nothing left to lose.
            let led: Vec<String> = self.layout.blocks().into_iter().filter(|block| self.leader(block).is_some()).collect();
            choice.block = led.choose(&mut self.rng).cloned().or_else(|| self.layout.blocks().choose(&mut self.rng).cloned());
        }
        choice.block.clone().context("there are no blocks")
    }

    fn leader_of(&mut self, block: &Block, choice: &mut Choice) -> Result<String> {
        let block = self.block(block, choice)?;
        if choice.leader.is_none() {
            choice.leader = Some(self.await_leader(&block)?.name);
        }
        choice.leader.clone().context("a leader was just found")
    }

    fn followers_of(&mut self, block: &Block, choice: &mut Choice) -> Result<Vec<String>> {
        let leader = self.leader_of(block, choice)?;
        let block = self.block(block, choice)?;
        Ok(self.names(|role| *role == Role::Replica(block.clone())).into_iter().filter(|name| *name != leader).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_others_are_refused_with_what_would_be_right() {
        assert_eq!("leader of any".parse(), Ok(Selector::Leader(Block::Any)));
        assert_eq!("followers of b2".parse(), Ok(Selector::Followers(Block::Named("b2".into()))));
        assert_eq!("block b1".parse(), Ok(Selector::Block(Block::Named("b1".into()))));
        assert_eq!("b1-2".parse(), Ok(Selector::Named("b1-2".into())));
        for word in ["edges", "leader of any", "followers of b2", "block b1", "half", "b1-2"] {
            assert_eq!(word.parse::<Selector>().unwrap().to_string(), word);
        }
        for wrong in ["boss of b1", "leaders", ""] {
            let error = wrong.parse::<Selector>().unwrap_err();
            assert!(error.contains(&format!("`{wrong}`")) && error.contains("`leader of BLOCK`"), "{error}");
        }
    }
}

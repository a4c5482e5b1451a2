//! Words that mean nobody in a mesh of a given shape.

use super::{Block, Selector};
use crate::system::layout::{Layout, Role};

// === impl Selector: its check ===

impl Selector {
    /// Refuses a word for what a fault strikes if it means nobody in a mesh of this layout.
    pub(crate) fn check(&self, layout: &Layout) -> Result<(), String> {
        if matches!(self, Selector::Others | Selector::Users) {
            return Err(format!("`{self}` means nobody here; it is for a side of a partition"));
        }
        self.check_side(layout)
    }

    /// The same for a side of a partition.
    pub(crate) fn check_side(&self, layout: &Layout) -> Result<(), String> {
        match self {
            Selector::Named(name) if layout.member(name).is_err() => {
                Err(format!("there is no process `{name}`; this mesh has {}", processes(layout)))
            }
            Selector::Control if layout.playing(&Role::Control).next().is_none() => Err("this mesh has no `control`".into()),
            _ => self.check_block(layout),
        }
    }

    fn check_block(&self, layout: &Layout) -> Result<(), String> {
        let (Selector::Leader(block) | Selector::Follower(block) | Selector::Followers(block) | Selector::Block(block)) = self else {
            return Ok(());
        };
        let blocks = layout.blocks();
        if let Block::Named(name) = block
            && !blocks.contains(name)
        {
            return Err(format!("there is no block `{name}`; it must be `any` or one of {}", blocks.join(", ")));
        }
        let is_alone = blocks.iter().all(|block| layout.replicas(block).len() < 2);
        if is_alone && matches!(self, Selector::Follower(_) | Selector::Followers(_)) {
            return Err(format!("`{self}` means nobody where mesh.replicas is 1"));
        }
        Ok(())
    }
}

/// The processes of a mesh, dynos in short.
fn processes(layout: &Layout) -> String {
    let is_dyno = |role: &Role| matches!(role, Role::Dyno | Role::Sockets);
    let mut names: Vec<String> = layout.members.iter().filter(|member| !is_dyno(&member.role)).map(|member| member.name.clone()).collect();
    for role in [Role::Dyno, Role::Sockets] {
        let mut dynos = layout.playing(&role).map(|member| member.name.as_str());
        if let Some(first) = dynos.next() {
            names.push(dynos.last().map_or_else(|| first.to_owned(), |last| format!("{first} to {last}")));
        }
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Shape;

    #[test]
    fn a_word_that_means_nobody_is_refused_with_those_that_there_are() {
        let layout = Layout::new(&Shape { blocks: 2, replicas: 1, edges: 1, dynos: 3, ..Shape::default() }).unwrap();
        let check = |word: &str| word.parse::<Selector>().unwrap().check(&layout);
        for word in ["b1-1", "edge-1", "d3", "leader of any", "leader of b2", "block b1", "control", "half", "dynos"] {
            assert_eq!(check(word), Ok(()), "{word}");
        }
        assert_eq!(check("b9-9"), Err("there is no process `b9-9`; this mesh has control-1, b1-1, b2-1, edge-1, d1 to d3".into()));
        for (word, right) in [("edge-2", "edge-1"), ("block b3", "b1, b2"), ("follower of any", "mesh.replicas"), ("users", "partition")] {
            let wrong = check(word).unwrap_err();
            assert!(wrong.contains(word.trim_start_matches("block ")) && wrong.contains(right), "{wrong}");
        }
        assert_eq!("users".parse::<Selector>().unwrap().check_side(&layout), Ok(()));
    }
}

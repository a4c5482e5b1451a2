//! Whether a block may be taken for lost (P16).
//!
//! An eviction stands in for the promises of the evicted block, and nothing here can know whether the block still dispatches somewhere out
//! of sight: a block that is cut off looks just like a dead one. So this function can only say no: while anybody sees the block, and, where
//! nobody answers for the eviction with his name, while what is seen could as well mean that the control plane itself is cut off.

use super::command::{Proof, Refusal};
use crate::id::{BlockName, NodeName};
use crate::time::Span;

/// What the control plane sees when somebody wants a block evicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The block.
    pub block: BlockName,
    /// Replicas of the block that are heard at present.
    pub heard: Vec<NodeName>,
    /// How long ago a word of its leader was heard, if it ever was.
    pub spoke: Option<Span>,
    /// Blocks that are bound and not evicted, this one included.
    pub blocks: usize,
    /// How many of those are heard at present.
    pub blocks_heard: usize,
    /// Edges that are heard at present.
    pub edges_heard: usize,
    /// How long this control plane has been led as it is now, or has run, whichever is less.
    pub settled: Span,
    /// Another block whose eviction has not ended: its dynos are not all adopted by others.
    pub other: Option<BlockName>,
    /// See [`MeshSettings::evict_after`](super::MeshSettings::evict_after).
    pub evict_after: Span,
}

/// A block whose leader spoke this recently is seen, even if none of its replicas is heard directly.
pub const SPOKE_RECENTLY: Span = Span::from_secs(5);

/// Refuses an eviction that what is seen speaks against. Whether the block can really dispatch no more is for `proof` to say.
pub fn may_evict(sighting: &Sighting, proof: Proof) -> Result<(), Refusal> {
    let block = &sighting.block;
    if !sighting.heard.is_empty() {
        let heard: Vec<&str> = sighting.heard.iter().map(NodeName::as_str).collect();
        let are = if heard.len() == 1 { "is" } else { "are" };
        let sentence =
            format!("block {block} is not lost: {} {are} heard at this moment; stop it first, or drain the block", heard.join(", "));
        return Err(Refusal::precondition(sentence));
    }
    let recently = if proof == Proof::Operator { SPOKE_RECENTLY } else { sighting.evict_after.max(SPOKE_RECENTLY) };
    if let Some(ago) = sighting.spoke.filter(|ago| *ago < recently) {
        let sentence = format!(
            "block {block} is not known to be lost: its leader spoke {:.1} s ago; it must have been silent for {recently}",
            ago.as_secs_f64()
        );
        return Err(Refusal::precondition(sentence));
    }
    if sighting.settled < SPOKE_RECENTLY {
        let sentence = format!(
            "block {block} is not known to be lost: this control plane has started or elected a leader {:.1} s ago and has yet to hear who \
             lives; try again after {SPOKE_RECENTLY}",
            sighting.settled.as_secs_f64()
        );
        return Err(Refusal::precondition(sentence));
    }
    if proof == Proof::Operator { Ok(()) } else { unattended(sighting) }
}

/// What speaks against an eviction for which no operator answers.
fn unattended(sighting: &Sighting) -> Result<(), Refusal> {
    let Sighting { block, blocks, blocks_heard, edges_heard, settled, other, evict_after, .. } = sighting;
    let no = |why: String| Err(Refusal::precondition(format!("block {block} is not evicted without an operator: {why}")));
    if blocks_heard * 2 < *blocks {
        return no(format!("only {blocks_heard} of {blocks} blocks are heard, so this control plane may be the one that is cut off"));
    }
    if *edges_heard == 0 {
        return no("no edge is heard, so this control plane may be the one that is cut off".into());
    }
    if settled < evict_after {
        return no(format!(
            "this control plane has started or elected a leader {:.0} s ago, and waits for {evict_after}",
            settled.as_secs_f64()
        ));
    }
    match other {
        Some(other) => no(format!("the eviction of block {other} has not ended: its dynos are not all adopted yet, or it was not removed")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    const MINUTES: Span = Span::from_secs(600);

    fn lost() -> Sighting {
        Sighting {
            block: BlockName::new("b1").unwrap(),
            heard: Vec::new(),
            spoke: Some(MINUTES),
            blocks: 3,
            blocks_heard: 2,
            edges_heard: 1,
            settled: MINUTES,
            other: None,
            evict_after: Span::from_secs(120),
        }
    }

    const PROOFS: [Proof; 3] = [Proof::Operator, Proof::Platform, Proof::Agents];

    #[track_caller]
    fn refused(sighting: &Sighting, proof: Proof, names: &str) {
        let refusal = may_evict(sighting, proof).expect_err("it was not refused");
        assert_eq!(refusal.kind, Kind::Precondition);
        assert!(refusal.sentence.contains(names), "{:?} does not name {names:?}", refusal.sentence);
    }

    #[test]
    fn a_block_that_nobody_sees_may_be_evicted() {
        for proof in PROOFS {
            may_evict(&lost(), proof).unwrap();
            may_evict(&Sighting { spoke: None, ..lost() }, proof).unwrap();
        }
    }

    #[test]
    fn nothing_evicts_a_block_that_somebody_sees() {
        for proof in PROOFS {
            refused(&Sighting { heard: vec![NodeName::new("b1-2").unwrap()], ..lost() }, proof, "b1-2");
            refused(&Sighting { spoke: Some(Span::from_secs(1)), ..lost() }, proof, "1.0 s ago");
            refused(&Sighting { settled: Span::from_secs(4), spoke: None, ..lost() }, proof, "yet to hear");
        }
    }

    #[test]
    fn without_an_operator_the_doubt_is_about_the_control_plane() {
        let doubtful = [
            (Sighting { blocks_heard: 1, ..lost() }, "1 of 3"),
            (Sighting { edges_heard: 0, ..lost() }, "no edge"),
            (Sighting { settled: Span::from_secs(119), ..lost() }, "waits for 2m"),
            (Sighting { other: Some(BlockName::new("b2").unwrap()), ..lost() }, "block b2"),
            (Sighting { spoke: Some(Span::from_secs(60)), ..lost() }, "silent for 2m"),
        ];
        for (sighting, names) in doubtful {
            may_evict(&sighting, Proof::Operator).unwrap();
            refused(&sighting, Proof::Platform, names);
            refused(&sighting, Proof::Agents, names);
        }
        may_evict(&Sighting { blocks: 2, blocks_heard: 1, ..lost() }, Proof::Platform).unwrap();
    }
}

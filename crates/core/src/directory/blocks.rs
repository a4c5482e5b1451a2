//! Blocks: bound to a group, drained, evicted, removed.
//!
//! A block appears by showing itself in the map and disappears by an operator's word alone, never by silence (P18). Evicting one stands in
//! for its releases (P16): the directory cannot know whether the block is fenced, so whoever asks must.

use super::command::{Refusal, Reply};
use super::record::{BlockRecord, DynoRecord, Place, RemovedBlock};
use super::state::DirectoryState;
use super::{BLOCKS_MAX, TOMBSTONES_MAX};
use crate::block::DYNOS_MAX as BLOCK_DYNOS_MAX;
use crate::id::{BlockName, DynoId, GroupId, Index, Version};

impl DirectoryState {
    /// Whether a group that shows itself under a name is to be bound to it.
    pub fn may_bind(&self, name: &BlockName, group: GroupId) -> bool {
        self.blocks.get(name).is_none_or(|block| block.group.is_none()) && !self.was_removed(group) && !self.is_spent(name)
    }

    /// Whether a group that uses a block's name may be that block, as far as is known: a word that names no group is taken for the block's.
    pub fn may_be(&self, name: &BlockName, group: Option<GroupId>) -> bool {
        let bound = self.blocks.get(name).and_then(|block| block.group);
        group.is_none_or(|group| bound.is_none_or(|bound| bound == group))
    }

    /// Refuses a name under which no new group could be bound: whoever founds one asks first, or it would stand there under a name that is
    /// another's.
    pub fn may_found(&self, name: &BlockName) -> Result<(), Refusal> {
        if let Some(bound) = self.blocks.get(name).and_then(|block| block.group) {
            let sentence = format!("block {name} is bound to group {bound}: a new group must have another name, and so must its replicas");
            return Err(Refusal::exists(sentence));
        }
        self.has_room_for(name)
    }

    /// Whether a group was a block once and was removed.
    pub fn was_removed(&self, group: GroupId) -> bool {
        self.removed.values().any(|block| block.group == Some(group))
    }

    /// Whether a block of this name was evicted, be it removed since.
    pub(super) fn was_evicted(&self, name: &BlockName) -> bool {
        let removed = || self.removed.values().any(|block| block.evicted && block.name == *name);
        self.blocks.get(name).is_some_and(|block| block.evicted) || removed()
    }

    /// Whether a removed block had this name: what the map knows of that one outlives it and would be taken for words of the new one.
    fn is_spent(&self, name: &BlockName) -> bool {
        self.removed.values().any(|block| block.name == *name)
    }

    pub(super) fn bind_block(&mut self, at: Index, name: BlockName, group: GroupId) -> Result<Reply, Refusal> {
        if let Some(BlockRecord { group: Some(bound), version, .. }) = self.blocks.get(&name) {
            if *bound == group {
                return Ok(Reply::Done { changed: false, stamp: version.0 });
            }
            return Err(Refusal::exists(format!("block {name} is bound to group {bound}, not {group}")));
        }
        if let Some(other) = self.blocks.values().find(|block| block.group == Some(group)) {
            return Err(Refusal::exists(format!("group {group} is bound to block {}, not {name}", other.name)));
        }
        if self.was_removed(group) {
            let sentence = format!("group {group} was block {name} and was removed; bootstrap it anew, on empty disks");
            return Err(Refusal::precondition(sentence));
        }
        self.has_room_for(&name)?;
        let stamp = self.stamp(at);
        let block = self.blocks.entry(name.clone()).or_insert_with(|| BlockRecord::new(name, None, Version(stamp)));
        (block.group, block.version) = (Some(group), Version(stamp));
        self.place_waiting(at);
        Ok(Reply::Done { changed: true, stamp })
    }

    fn has_room_for(&self, name: &BlockName) -> Result<(), Refusal> {
        if self.is_spent(name) {
            let sentence = format!("a block {name} was removed, and a name is never used again; set the replicas up under another name");
            return Err(Refusal::precondition(sentence));
        }
        if self.blocks.len() >= BLOCKS_MAX && !self.blocks.contains_key(name) {
            return Err(Refusal::precondition(format!("the mesh has {BLOCKS_MAX} blocks already, which is the limit")));
        }
        Ok(())
    }

    pub(super) fn drain_block(&mut self, at: Index, name: &BlockName, drain: bool) -> Result<Reply, Refusal> {
        let known = self.known_block(name)?;
        if known.evicted {
            return Err(Refusal::precondition(format!("block {name} was evicted; remove it, and bootstrap a new one on empty disks")));
        }
        if known.drain == drain {
            return Ok(Reply::Block { changed: false, block: Box::new(known.clone()) });
        }
        let version = Version(self.stamp(at));
        let block = self.blocks.get_mut(name).expect("it was just seen");
        (block.drain, block.version) = (drain, version);
        let block = Box::new(block.clone());
        if !drain {
            self.place_waiting(at);
        }
        Ok(Reply::Block { changed: true, block })
    }

    pub(super) fn remove_block(&mut self, at: Index, name: &BlockName) -> Result<Reply, Refusal> {
        let Some(known) = self.blocks.get(name) else {
            let removed = self.removed.iter().rev().find(|(_, block)| block.name == *name);
            let stamp = removed.map(|(version, _)| version.0).ok_or_else(|| unknown(name))?;
            return Ok(Reply::Done { changed: false, stamp });
        };
        if known.dynos > 0 {
            let sentence = format!("block {name} still has {} dynos; drain it first: dynomesh block drain {name} --wait", known.dynos);
            return Err(Refusal::precondition(sentence));
        }
        let waits = |dyno: &&DynoRecord| dyno.after.iter().any(|earlier| earlier.block == *name);
        if let Some(dyno) = self.dynos.values().find(waits) {
            let sentence =
                format!("block {name} has not released dyno {} yet; wait for it, or evict the block if it is lost", dyno.spec.id);
            return Err(Refusal::precondition(sentence));
        }
        let stamp = self.stamp(at);
        let block = self.blocks.remove(name).expect("it was just seen");
        self.removed.insert(Version(stamp), RemovedBlock { name: block.name, group: block.group, evicted: block.evicted });
        if self.removed.len() > TOMBSTONES_MAX {
            self.removed.pop_first();
        }
        Ok(Reply::Done { changed: true, stamp })
    }

    pub(super) fn evict_block(&mut self, at: Index, name: &BlockName) -> Result<Reply, Refusal> {
        let known = self.known_block(name)?;
        if known.evicted {
            return Ok(Reply::Block { changed: false, block: Box::new(known.clone()) });
        }
        let open = self.blocks.values().filter(|block| block.takes_dynos() && block.name != *name);
        let room: usize = open.map(|block| BLOCK_DYNOS_MAX.saturating_sub(block.dynos as usize)).sum();
        if (known.dynos as usize) > room {
            let sentence = format!("block {name} has {} dynos and the other blocks have room for {room}; add a block first", known.dynos);
            return Err(Refusal::precondition(sentence));
        }
        let version = Version(self.stamp(at));
        let block = self.blocks.get_mut(name).expect("it was just seen");
        (block.evicted, block.version) = (true, version);
        self.leave_out(at, name);
        Ok(Reply::Block { changed: true, block: Box::new(self.blocks[name].clone()) })
    }

    /// Assigns the dynos of an evicted block to others, and lets nobody wait for it any more.
    fn leave_out(&mut self, at: Index, name: &BlockName) {
        let waits = |dyno: &DynoRecord| dyno.block() == Some(name) || dyno.after.iter().any(|earlier| earlier.block == *name);
        let concerned: Vec<DynoId> = self.dynos.values().filter(|dyno| waits(dyno)).map(|dyno| dyno.spec.id.clone()).collect();
        for id in concerned {
            let dyno = self.dynos.get_mut(&id).expect("nothing was removed meanwhile");
            dyno.after.retain(|earlier| earlier.block != *name);
            if dyno.block() == Some(name) {
                let dyno = dyno.clone();
                let next = self.choose(&dyno.spec.app, Some(name)).expect("room was counted before");
                // A block that was one of its predecessors may get it back: then it is none any more.
                let after = dyno.after.iter().filter(|earlier| earlier.block != next).cloned().collect();
                self.reassign(at, DynoRecord { place: Place::At(next), after, ..dyno });
            }
            self.end_if_clear(&id);
        }
    }

    pub(super) fn known_block(&self, name: &BlockName) -> Result<&BlockRecord, Refusal> {
        self.blocks.get(name).ok_or_else(|| unknown(name))
    }
}

fn unknown(name: &BlockName) -> Refusal {
    Refusal::not_found(format!("block {name} is not known"))
}

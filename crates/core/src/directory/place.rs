//! Dynos and where they belong.
//!
//! Every word about a dyno is a new epoch. A word that takes it away from a block keeps that block among its predecessors until the
//! block's promise to keep off has been seen, however often the dyno is assigned anew meanwhile.

use super::command::{Refusal, Reply};
use super::record::{BlockRecord, DynoRecord, Place};
use super::state::DirectoryState;
use super::{DYNOS_MAX, TOMBSTONES_MAX};
use crate::app::{DynoSpec, check_max_conns};
use crate::block::DYNOS_MAX as BLOCK_DYNOS_MAX;
use crate::id::{Address, AppName, BlockName, DynoId, Epoch, Index};
use crate::map::fact::{PREDECESSORS_MAX, Predecessor};
use crate::planted;
use crate::time::Span;

// === impl commands about dynos ===

impl DirectoryState {
    pub(super) fn add_dyno(
        &mut self,
        at: Index,
        id: Option<DynoId>,
        app: AppName,
        address: Address,
        max_conns: Option<u32>,
        block: Option<BlockName>,
    ) -> Result<Reply, Refusal> {
        let default = self.apps.get(&app).ok_or_else(|| Refusal::not_found(format!("app {app} is not known")))?.spec.policy.max_conns;
        let max_conns = max_conns.unwrap_or(default);
        check_max_conns(max_conns).map_err(|invalid| Refusal::because(&invalid))?;
        let at_address = self.addresses.get(&address);
        // Without an id, the dyno that already is at this address is meant.
        if let Some(known) = id.as_ref().or(at_address).and_then(|id| self.dynos.get(id)) {
            return known_dyno(known, &DynoSpec { id: known.spec.id.clone(), app, address, max_conns }, block.as_ref());
        }
        if let Some(owner) = at_address {
            return Err(match self.dynos[owner].place {
                Place::Removed => being_released(&self.dynos[owner]),
                _ => Refusal::exists(format!("address {address} belongs to dyno {owner}")),
            });
        }
        if self.dynos.len() >= DYNOS_MAX {
            return Err(Refusal::precondition(format!("the mesh has {DYNOS_MAX} dynos already, which is the limit")));
        }
        let place = match block {
            Some(block) => Place::At(self.with_room(block)?),
            None if !self.blocks.values().any(BlockRecord::takes_dynos) => Place::Waiting,
            None => {
                Place::At(self.choose(&app, None).ok_or_else(|| Refusal::precondition("every block has as many dynos as it may have"))?)
            }
        };
        let id = match id {
            Some(id) => id,
            None => self.mint(at, &app)?,
        };
        self.gone.retain(|_, spec| spec.id != id);
        let (epoch, cut) = (Epoch(self.stamp(at)), self.settings.drain);
        let dyno = DynoRecord { spec: DynoSpec { id, app, address, max_conns }, epoch, place, drain: false, after: Vec::new(), cut };
        self.addresses.insert(address, dyno.spec.id.clone());
        self.file(dyno.clone());
        Ok(Reply::Dyno { changed: true, dyno: Box::new(dyno) })
    }

    pub(super) fn drain_dyno(&mut self, at: Index, id: &DynoId, cut: Option<Span>) -> Result<Reply, Refusal> {
        let known = self.present(id)?;
        if known.drain && cut.is_none_or(|cut| cut == known.cut) {
            return Ok(Reply::Dyno { changed: false, dyno: Box::new(known.clone()) });
        }
        let dyno = DynoRecord { drain: true, cut: cut.unwrap_or(self.settings.drain), ..known.clone() };
        Ok(self.reassign(at, dyno))
    }

    pub(super) fn undrain_dyno(&mut self, at: Index, id: &DynoId) -> Result<Reply, Refusal> {
        let known = self.present(id)?;
        if !known.drain {
            return Ok(Reply::Dyno { changed: false, dyno: Box::new(known.clone()) });
        }
        let dyno = DynoRecord { drain: false, cut: self.settings.drain, ..known.clone() };
        Ok(self.reassign(at, dyno))
    }

    pub(super) fn move_dyno(&mut self, at: Index, id: &DynoId, to: BlockName) -> Result<Reply, Refusal> {
        let known = self.present(id)?;
        if known.block() == Some(&to) {
            return Ok(Reply::Dyno { changed: false, dyno: Box::new(known.clone()) });
        }
        let after = followed_by(known, Some(&to))?;
        let dyno = DynoRecord { after, ..known.clone() };
        let place = Place::At(self.with_room(to)?);
        Ok(self.reassign(at, DynoRecord { place, ..dyno }))
    }

    pub(super) fn remove_dyno(&mut self, at: Index, id: &DynoId, force: bool) -> Result<Reply, Refusal> {
        let Some(known) = self.dynos.get(id) else {
            let gone = self.gone.iter().find(|(_, spec)| spec.id == *id);
            let stamp = gone.map(|(epoch, _)| epoch.0).ok_or_else(|| unknown(id))?;
            return Ok(Reply::Done { changed: false, stamp });
        };
        if known.place == Place::Removed {
            return Ok(Reply::Done { changed: false, stamp: known.epoch.0 });
        }
        let app = &known.spec.app;
        if !force && self.apps.get(app).is_some_and(|app| app.dynos == 1) {
            let sentence =
                format!("dyno {id} is the last one of app {app}, which would answer nothing any more; say force if that is meant");
            return Err(Refusal::precondition(sentence));
        }
        let after = followed_by(known, None)?;
        let dyno = DynoRecord { place: Place::Removed, drain: true, after, ..known.clone() };
        self.reassign(at, dyno);
        let stamp = self.dynos[id].epoch.0;
        self.end_if_clear(id);
        Ok(Reply::Done { changed: true, stamp })
    }

    pub(super) fn released(&mut self, at: Index, id: &DynoId, block: &BlockName, epoch: Epoch) -> Result<Reply, Refusal> {
        let Some(dyno) = self.dynos.get(id) else {
            return Ok(Reply::Done { changed: false, stamp: 0 });
        };
        if epoch.0 > self.last_stamp() {
            // Blocks promise up to epochs they were told of. No word of this directory could ever satisfy this one.
            return Err(Refusal::precondition(format!("{block} released {id} up to epoch {epoch}, which this directory never gave out")));
        }
        if dyno.block() == Some(block) && dyno.epoch <= epoch {
            if self.is_inherited(dyno) {
                // It may have obeyed a later word of an earlier directory, which this one never heard, and another block may own the dyno.
                let sentence =
                    format!("{block} released {id} up to epoch {epoch}, and the last word known of it is of an earlier directory");
                return Err(Refusal::precondition(sentence));
            }
            // The block cannot keep this word (it lies under a promise, or under the floor of forgotten ones): say it anew.
            let dyno = dyno.clone();
            self.reassign(at, dyno);
            return Ok(Reply::Done { changed: true, stamp: self.epoch_of(id) });
        }
        let waits = |earlier: &&Predecessor| earlier.block != *block || !self.is_cleared(dyno, earlier, epoch);
        let after: Vec<Predecessor> = dyno.after.iter().filter(waits).cloned().collect();
        let (changed, stamp) = (after.len() < dyno.after.len(), dyno.epoch.0);
        self.dynos.get_mut(id).expect("it was just seen").after = after;
        self.end_if_clear(id);
        Ok(Reply::Done { changed, stamp })
    }

    /// Gives every waiting dyno to a block, now that there is one.
    pub(super) fn place_waiting(&mut self, at: Index) {
        let waiting: Vec<DynoRecord> = self.dynos.values().filter(|dyno| dyno.place == Place::Waiting).cloned().collect();
        for dyno in waiting {
            let Some(block) = self.choose(&dyno.spec.app, None) else {
                return;
            };
            self.reassign(at, DynoRecord { place: Place::At(block), ..dyno });
        }
    }
}

// === impl filing ===

impl DirectoryState {
    /// Replaces a dyno's record by this one, under a new epoch.
    pub(super) fn reassign(&mut self, at: Index, mut dyno: DynoRecord) -> Reply {
        if self.is_inherited(&dyno) {
            // Every predecessor has obeyed words of the earlier directory up to the last one that is known, or will promise anew.
            let last = dyno.epoch;
            dyno.after.retain(|earlier| !self.was_evicted(&earlier.block));
            dyno.after.iter_mut().for_each(|earlier| earlier.epoch = last);
        }
        let epoch = if planted::EPOCH_NOT_RAISED { dyno.epoch } else { Epoch(self.stamp(at)) };
        let dyno = DynoRecord { epoch, ..dyno };
        self.unfile(&dyno.spec.id);
        self.file(dyno.clone());
        Reply::Dyno { changed: true, dyno: Box::new(dyno) }
    }

    /// Files a dyno and counts it where it belongs.
    pub(super) fn file(&mut self, dyno: DynoRecord) {
        if dyno.place != Place::Removed {
            self.apps.get_mut(&dyno.spec.app).expect("an app outlives its dynos").dynos += 1;
        }
        if let Place::At(block) = &dyno.place {
            let block = self.blocks.get_mut(block).expect("a bound block stays bound");
            block.dynos += 1;
            if !dyno.drain {
                *block.slots.entry(dyno.spec.app.clone()).or_default() += dyno.spec.max_conns;
            }
        }
        self.dynos.insert(dyno.spec.id.clone(), dyno);
    }

    /// Takes a dyno out of the files and the counts.
    pub(super) fn unfile(&mut self, id: &DynoId) {
        let Some(dyno) = self.dynos.remove(id) else {
            return;
        };
        if dyno.place != Place::Removed {
            self.apps.get_mut(&dyno.spec.app).expect("an app outlives its dynos").dynos -= 1;
        }
        if let Place::At(block) = &dyno.place {
            let block = self.blocks.get_mut(block).expect("a bound block stays bound");
            block.dynos -= 1;
            if !dyno.drain {
                let slots = block.slots.get_mut(&dyno.spec.app).expect("slots are counted when a dyno is filed");
                *slots -= dyno.spec.max_conns;
                if *slots == 0 {
                    block.slots.remove(&dyno.spec.app);
                }
            }
        }
    }

    /// Forgets a removed dyno that no block can own any more, but for its tombstone, and with it gives its address back.
    pub(super) fn end_if_clear(&mut self, id: &DynoId) {
        let clear = self.dynos.get(id).is_some_and(|dyno| dyno.place == Place::Removed && dyno.after.is_empty());
        if !clear {
            return;
        }
        let dyno = self.dynos.remove(id).expect("it was just seen");
        self.addresses.remove(&dyno.spec.address);
        self.gone.insert(dyno.epoch, dyno.spec);
        if self.gone.len() > TOMBSTONES_MAX {
            self.gone.pop_first();
        }
    }

    fn epoch_of(&self, id: &DynoId) -> u64 {
        self.dynos.get(id).map_or(0, |dyno| dyno.epoch.0)
    }

    /// A dyno that is not removed.
    fn present(&self, id: &DynoId) -> Result<&DynoRecord, Refusal> {
        self.dynos.get(id).filter(|dyno| dyno.place != Place::Removed).ok_or_else(|| unknown(id))
    }

    /// The block, if it is known and may take another dyno.
    fn with_room(&self, block: BlockName) -> Result<BlockName, Refusal> {
        match self.blocks.get(&block) {
            None => Err(Refusal::not_found(format!("block {block} is not known"))),
            Some(known) if known.dynos as usize >= BLOCK_DYNOS_MAX => {
                Err(Refusal::precondition(format!("block {block} has {BLOCK_DYNOS_MAX} dynos already, which is the limit")))
            }
            Some(known) if known.evicted => Err(Refusal::precondition(format!("block {block} was evicted and takes no dynos"))),
            Some(known) if known.drain => {
                Err(Refusal::precondition(format!("block {block} is being drained; name another, or undrain it first")))
            }
            Some(_) => Ok(block),
        }
    }

    /// The block for a dyno of an app, not `but`: the fewest slots of the app, then the fewest dynos, then the first by name.
    pub(super) fn choose(&self, app: &AppName, but: Option<&BlockName>) -> Option<BlockName> {
        let open = self.blocks.values().filter(|block| block.takes_dynos() && Some(&block.name) != but);
        let with_room = open.filter(|block| (block.dynos as usize) < BLOCK_DYNOS_MAX);
        let best = with_room.min_by_key(|block| (block.slots.get(app).copied().unwrap_or(0), block.dynos));
        best.map(|block| block.name.clone())
    }

    /// An id that tells the app and was never used before, unless somebody chose just this one by hand.
    fn mint(&self, at: Index, app: &AppName) -> Result<DynoId, Refusal> {
        let text = format!("{app}.{:x}", self.next_stamp(at));
        let id = DynoId::new(&text).map_err(|invalid| Refusal::because(&invalid))?;
        if self.dynos.contains_key(&id) { Err(Refusal::exists(format!("dyno {id} exists; name the new one"))) } else { Ok(id) }
    }
}

// === impl sentences and small rules ===

/// Adding a dyno that is known: the same again is no change, anything else is refused.
fn known_dyno(known: &DynoRecord, wanted: &DynoSpec, block: Option<&BlockName>) -> Result<Reply, Refusal> {
    if known.place == Place::Removed {
        return Err(being_released(known));
    }
    let spec = &known.spec;
    if spec != wanted {
        let (id, app, address, max_conns) = (&spec.id, &spec.app, spec.address, spec.max_conns);
        return Err(Refusal::exists(format!("dyno {id} exists: of app {app} at {address} with max_conns {max_conns}")));
    }
    match (block, known.block()) {
        (Some(wanted), Some(has)) if wanted != has => {
            Err(Refusal::exists(format!("dyno {} exists and is assigned to block {has}", spec.id)))
        }
        _ => Ok(Reply::Dyno { changed: false, dyno: Box::new(known.clone()) }),
    }
}

fn being_released(dyno: &DynoRecord) -> Refusal {
    let blocks: Vec<&str> = dyno.after.iter().map(|earlier| earlier.block.as_str()).collect();
    let (id, address) = (&dyno.spec.id, dyno.spec.address);
    Refusal::precondition(format!("dyno {id} at {address} is removed but not yet released by {}; try again then", blocks.join(", ")))
}

fn unknown(id: &DynoId) -> Refusal {
    Refusal::not_found(format!("dyno {id} is not known"))
}

/// The predecessors once the dyno goes on to `next`: those it had, and the block it leaves. `next` itself is none: under its new epoch
/// it may adopt over its own older one.
fn followed_by(dyno: &DynoRecord, next: Option<&BlockName>) -> Result<Vec<Predecessor>, Refusal> {
    let mut after = dyno.after.clone();
    if let Some(block) = dyno.block() {
        after.retain(|earlier| earlier.block != *block);
        after.push(Predecessor { block: block.clone(), epoch: dyno.epoch });
    }
    after.retain(|earlier| Some(&earlier.block) != next);
    if after.len() > PREDECESSORS_MAX {
        let id = &dyno.spec.id;
        return Err(Refusal::precondition(format!("dyno {id} waits for {PREDECESSORS_MAX} earlier blocks already; let it settle first")));
    }
    after.sort();
    Ok(after)
}

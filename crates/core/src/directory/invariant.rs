//! What must hold of the directory after every command, and what must not.

use std::collections::{BTreeMap, BTreeSet};

use super::record::Place;
use super::state::DirectoryState;
use super::{APPS_MAX, BLOCKS_MAX, DYNOS_MAX, TOMBSTONES_MAX};
use crate::id::{AppName, BlockName};
use crate::map::fact::PREDECESSORS_MAX;

impl DirectoryState {
    /// Panics if the state contradicts itself. Linear in its size: for tests and for states that were just loaded.
    pub fn check_invariants(&self) {
        assert!(self.apps.len() <= APPS_MAX && self.dynos.len() <= DYNOS_MAX && self.blocks.len() <= BLOCKS_MAX, "over a limit");
        assert!(self.deleted.len() <= TOMBSTONES_MAX && self.gone.len() <= TOMBSTONES_MAX, "too many tombstones");
        self.check_log();
        self.check_stamps();
        self.check_counts();

        let hosts: usize = self.apps.values().map(|app| app.spec.hosts.len()).sum();
        assert_eq!(hosts, self.hosts.len(), "hosts filed and hosts of apps differ");
        for (name, app) in &self.apps {
            assert_eq!(*name, app.spec.name, "app filed under another name");
            assert!(app.spec.hosts.iter().all(|host| self.hosts.get(host) == Some(name)), "a host of {name} leads elsewhere");
        }

        assert_eq!(self.dynos.len(), self.addresses.len(), "two dynos at one address, or an address without one");
        for (id, dyno) in &self.dynos {
            assert_eq!(*id, dyno.spec.id, "dyno filed under another id");
            assert_eq!(self.addresses.get(&dyno.spec.address), Some(id), "the address of {id} leads elsewhere");
            assert!(dyno.place == Place::Removed || self.apps.contains_key(&dyno.spec.app), "{id} is of an unknown app");
            assert!(dyno.place != Place::Removed || !dyno.after.is_empty(), "{id} is removed and released but still here");
            assert!(dyno.place != Place::Removed || dyno.drain, "{id} is removed but takes requests");
            // Where a recovered directory knows of an eviction and not yet of the word that followed it, it says none of its own.
            let evicted = dyno.block().is_some_and(|block| self.blocks[block].evicted);
            assert!(!evicted || self.is_inherited(dyno), "{id} is assigned to a block that was evicted");
            assert!(dyno.place != Place::Waiting || dyno.after.is_empty(), "{id} was never assigned but has predecessors");

            assert!(dyno.after.len() <= PREDECESSORS_MAX, "{id} has too many predecessors");
            assert!(dyno.after.is_sorted_by(|a, b| a.block < b.block), "the predecessors of {id} are out of order or double");
            for earlier in &dyno.after {
                assert!(Some(&earlier.block) != dyno.block(), "{id} waits for its own block");
                assert!(earlier.epoch < dyno.epoch, "a predecessor of {id} is of a later epoch");
                assert!(self.blocks.contains_key(&earlier.block), "a predecessor of {id} is not a block");
            }
        }
    }

    fn check_stamps(&self) {
        let apps = self.apps.values().map(|app| app.version.0);
        let dynos = self.dynos.values().map(|dyno| dyno.epoch.0);
        let blocks = self.blocks.values().map(|block| block.version.0);
        let tombstones = self.deleted.keys().map(|version| version.0).chain(self.gone.keys().map(|epoch| epoch.0));
        let wishes = self.wishes.values().map(|wish| wish.version.0).chain(self.removed.keys().map(|version| version.0));
        let mut seen = BTreeSet::new();
        for stamp in apps.chain(dynos).chain(blocks).chain(tombstones).chain(wishes).filter(|stamp| *stamp > 0) {
            assert!(seen.insert(stamp), "stamp {stamp} was given out twice");
            assert!(stamp <= self.last_stamp(), "stamp {stamp} is ahead of the last one, {}", self.last_stamp());
        }
        assert!(self.gone.values().all(|spec| !self.dynos.contains_key(&spec.id)), "a dyno is gone and here");
        assert!(self.deleted.values().all(|name| !self.apps.contains_key(name)), "an app is deleted and here");
    }

    fn check_counts(&self) {
        let mut of_app: BTreeMap<&AppName, u32> = BTreeMap::new();
        let mut of_block: BTreeMap<&BlockName, u32> = BTreeMap::new();
        let mut slots: BTreeMap<(&BlockName, &AppName), u32> = BTreeMap::new();
        for dyno in self.dynos.values().filter(|dyno| dyno.place != Place::Removed) {
            *of_app.entry(&dyno.spec.app).or_default() += 1;
            if let Some(block) = dyno.block() {
                *of_block.entry(block).or_default() += 1;
                if !dyno.drain {
                    *slots.entry((block, &dyno.spec.app)).or_default() += dyno.spec.max_conns;
                }
            }
        }
        for (name, app) in &self.apps {
            assert_eq!(app.dynos, of_app.get(name).copied().unwrap_or(0), "dynos of app {name}");
        }
        for (name, block) in &self.blocks {
            assert_eq!(*name, block.name, "block filed under another name");
            assert_eq!(block.dynos, of_block.get(name).copied().unwrap_or(0), "dynos of block {name}");
        }
        let counted = self.blocks.values().flat_map(|block| block.slots.iter().map(|(app, slots)| ((&block.name, app), *slots)));
        assert_eq!(counted.collect::<BTreeMap<_, _>>(), slots, "slots by block and app");
    }
}

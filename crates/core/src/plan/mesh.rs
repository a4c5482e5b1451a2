//! The observation, indexed, and moved about in.
//!
//! Blocks, zones, apps and dynos are numbers here, so that a plan for a hundred thousand dynos compares numbers. The planner tries its moves
//! on one copy of this; what is shown as the state after a plan is another copy, with just the moves that the plan has.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::observation::{DynoSeen, LoadSeen, Observation, Standing};
use super::policy::Policy;
use crate::id::{AppName, BlockName, DynoId, Zone};
use crate::time::{Span, Time};

/// A number of a block, an app, a dyno or a zone.
pub(super) type Nth = usize;

/// The whole mesh.
#[derive(Debug, Clone)]
pub(super) struct Mesh<'a> {
    pub(super) blocks: Vec<Block<'a>>,
    pub(super) zones: Vec<Option<&'a Zone>>,
    pub(super) apps: Vec<App<'a>>,
    pub(super) dynos: Vec<Dyno<'a>>,
    /// Slots that each serving block would have if all had the same.
    pub(super) fair: u64,
}

/// One block.
#[derive(Debug, Clone)]
pub(super) struct Block<'a> {
    pub(super) name: &'a BlockName,
    pub(super) zone: Nth,
    /// `None` for a block that dynos are assigned to and nobody has seen.
    pub(super) standing: Option<Standing>,
    pub(super) age: Span,
    pub(super) room: u32,
    pub(super) dynos: u32,
    pub(super) slots: u64,
}

/// One app.
#[derive(Debug, Clone)]
pub(super) struct App<'a> {
    pub(super) name: &'a AppName,
    /// Dynos per block that suit it.
    pub(super) group: u32,
    /// Dynos that take requests, wherever they are.
    pub(super) dynos: u32,
    /// All dynos, those that an operator drains included.
    pub(super) all: u32,
    /// Dynos on the move.
    pub(super) unfinished: u32,
    /// Slots of dynos in serving blocks and of strays.
    pub(super) slots: u64,
    /// What it has in each serving block; never an empty one.
    pub(super) groups: BTreeMap<Nth, Group>,
    /// Lost blocks that have dynos of it.
    pub(super) lost: BTreeSet<Nth>,
    /// Dynos that are in no block or have to leave theirs.
    pub(super) strays: Vec<Nth>,
    /// What its blocks said of load.
    pub(super) loads: BTreeMap<Nth, LoadSeen>,
}

/// The dynos of one app in one serving block that take requests.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    pub(super) dynos: u32,
    pub(super) slots: u64,
    /// Those that may move, by their own zone, the best to move first.
    ready: BTreeMap<Nth, VecDeque<Nth>>,
}

/// One dyno.
#[derive(Debug, Clone)]
pub(super) struct Dyno<'a> {
    pub(super) id: &'a DynoId,
    pub(super) seen: &'a DynoSeen,
    pub(super) app: Nth,
    pub(super) zone: Nth,
    pub(super) block: Option<Nth>,
    pub(super) resting: bool,
}

impl<'a> Mesh<'a> {
    pub(super) fn new(seen: &'a Observation, policy: &Policy) -> Self {
        let (zones, blocks) = blocks_of(seen);
        let zone_of = |zone: Option<&Zone>| zones.binary_search(&zone).unwrap_or_default();
        let block_of = |name: &BlockName| blocks.binary_search_by(|block| block.name.cmp(name)).ok();
        let mut names: Vec<&AppName> = seen.dynos.values().map(|dyno| &dyno.app).collect();
        names.sort_unstable();
        names.dedup();
        let app_of = |name: &AppName| names.binary_search(&name).unwrap_or_default();
        let rests = |last: Option<Time>| last.is_some_and(|last| seen.now.since(last) < policy.dyno_rest);
        let dynos = seen.dynos.iter().map(|(id, dyno)| Dyno {
            id,
            seen: dyno,
            app: app_of(&dyno.app),
            zone: zone_of(dyno.zone.as_ref()),
            block: dyno.block.as_ref().and_then(block_of),
            resting: rests(dyno.last_moved),
        });
        let dynos = dynos.collect();
        let apps = names.iter().map(|name| App::new(name, seen, policy)).collect();
        let mut mesh = Mesh { blocks, zones, apps, dynos, fair: 0 };
        for ((app, block), load) in &seen.loads {
            if let (Ok(app), Ok(block)) = (mesh.apps.binary_search_by(|known| known.name.cmp(app)), mesh.find(block)) {
                mesh.apps[app].loads.insert(block, *load);
            }
        }
        mesh.count();
        mesh
    }

    fn find(&self, name: &BlockName) -> Result<Nth, Nth> {
        self.blocks.binary_search_by(|block| block.name.cmp(name))
    }

    fn count(&mut self) {
        for nth in 0..self.dynos.len() {
            self.count_dyno(nth);
        }
        for app in &mut self.apps {
            let dynos = &self.dynos;
            app.groups.values_mut().for_each(|group| group.sort(dynos));
        }
        let serving = self.serving().count() as u64;
        let slots: u64 = self.apps.iter().map(|app| app.slots).sum();
        self.fair = slots.div_ceil(serving.max(1));
    }

    fn count_dyno(&mut self, nth: Nth) {
        let dyno = &self.dynos[nth];
        let (app, slots) = (&mut self.apps[dyno.app], dyno.slots());
        app.all += 1;
        app.dynos += u32::from(!dyno.seen.drain);
        app.unfinished += u32::from(dyno.seen.moving);
        let Some(at) = dyno.block else {
            app.slots += slots;
            app.strays.push(nth);
            return;
        };
        let block = &mut self.blocks[at];
        block.dynos += 1;
        block.slots += slots;
        match block.standing {
            Some(Standing::Serving) => {
                app.slots += slots;
                if !dyno.seen.drain {
                    app.groups.entry(at).or_default().add(dyno, (!dyno.seen.moving).then_some(nth));
                }
            }
            Some(Standing::Draining | Standing::Evicted) => {
                app.slots += slots;
                app.strays.push(nth);
            }
            Some(Standing::Lost(_)) | None => {
                app.lost.insert(at);
            }
        }
    }

    /// Blocks that may take dynos.
    pub(super) fn serving(&self) -> impl Iterator<Item = Nth> + '_ {
        (0..self.blocks.len()).filter(|nth| self.blocks[*nth].standing == Some(Standing::Serving))
    }

    /// Carries a move out.
    pub(super) fn carry(&mut self, nth: Nth, to: Nth) {
        let dyno = &mut self.dynos[nth];
        let from = dyno.block.replace(to);
        let (dyno, slots) = (&self.dynos[nth], self.dynos[nth].slots());
        let app = &mut self.apps[dyno.app];
        if let Some(from) = from {
            self.blocks[from].dynos -= 1;
            self.blocks[from].slots -= slots;
            if let Some(group) = app.groups.get_mut(&from).filter(|_| !dyno.seen.drain) {
                group.dynos -= 1;
                group.slots -= slots;
                if group.dynos == 0 {
                    app.groups.remove(&from);
                }
            }
        }
        self.blocks[to].dynos += 1;
        self.blocks[to].slots += slots;
        if !dyno.seen.drain {
            app.groups.entry(to).or_default().add(dyno, None);
        }
    }

    /// Takes the dyno out of those that may leave a group that is best moved to a block in `zone`; one of at most `slots_max` slots.
    pub(super) fn take(&mut self, app: Nth, from: Nth, zone: Nth, slots_max: u64, up_only: bool) -> Option<Nth> {
        let own = self.blocks[from].zone;
        let dynos = &self.dynos;
        let fits = |nth: &Nth| dynos[*nth].slots() <= slots_max && !(up_only && dynos[*nth].seen.up == Some(false));
        let ready = &mut self.apps[app].groups.get_mut(&from)?.ready;
        let first = |queue: &VecDeque<Nth>| queue.iter().position(fits).map(|place| (place, queue[place]));
        let found = ready.iter().filter_map(|(of, queue)| first(queue).map(|(place, nth)| (*of, place, nth)));
        let rank = |of: Nth, nth: Nth| (dynos[nth].resting, u8::from(of != zone) + u8::from(of != zone && of == own), dynos[nth].order());
        let (of, place, nth) = found.min_by(|a, b| rank(a.0, a.2).cmp(&rank(b.0, b.2)))?;
        ready.get_mut(&of)?.remove(place);
        Some(nth)
    }

    /// Whether a block has a place for one more.
    pub(super) fn has_room(&self, block: Nth) -> bool {
        self.blocks[block].dynos < self.blocks[block].room
    }

    /// Slots by zone of what an app has, or shall have, in some blocks.
    pub(super) fn by_zone(&self, parts: impl Iterator<Item = (Nth, u64)>) -> BTreeMap<Nth, u64> {
        let mut zones = BTreeMap::new();
        parts.for_each(|(block, slots)| *zones.entry(self.blocks[block].zone).or_default() += slots);
        zones
    }
}

impl<'a> App<'a> {
    fn new(name: &'a AppName, seen: &Observation, policy: &Policy) -> Self {
        let group = seen.apps.get(name).and_then(|app| app.group).unwrap_or(policy.group).max(1);
        App {
            name,
            group,
            dynos: 0,
            all: 0,
            unfinished: 0,
            slots: 0,
            groups: BTreeMap::new(),
            lost: BTreeSet::new(),
            strays: Vec::new(),
            loads: BTreeMap::new(),
        }
    }

    /// Slots it has in a serving block.
    pub(super) fn slots_in(&self, block: Nth) -> u64 {
        self.groups.get(&block).map_or(0, |group| group.slots)
    }

    /// Requests in service or waiting there, if the block told.
    pub(super) fn demand_in(&self, block: Nth) -> Option<u64> {
        self.loads.get(&block).map(|load| load.demand())
    }
}

impl Group {
    fn add(&mut self, dyno: &Dyno<'_>, ready: Option<Nth>) {
        self.dynos += 1;
        self.slots += dyno.slots();
        if let Some(nth) = ready {
            self.ready.entry(dyno.zone).or_default().push_back(nth);
        }
    }

    fn sort(&mut self, dynos: &[Dyno<'_>]) {
        for queue in self.ready.values_mut() {
            queue.make_contiguous().sort_unstable_by_key(|nth| (dynos[*nth].resting, dynos[*nth].order()));
        }
    }
}

impl<'a> Dyno<'a> {
    /// What it counts for as capacity.
    pub(super) fn slots(&self) -> u64 {
        if self.seen.drain { 0 } else { u64::from(self.seen.max_conns) }
    }

    /// Who moves first: who answers, is idle, has a lower id.
    pub(super) fn order(&self) -> (bool, u32, &'a DynoId) {
        (self.seen.up == Some(false), self.seen.in_flight, self.id)
    }
}

/// Zones and blocks in order; blocks that only assignments name are among them.
fn blocks_of(seen: &Observation) -> (Vec<Option<&Zone>>, Vec<Block<'_>>) {
    let of_blocks = seen.blocks.values().map(|block| block.zone.as_ref());
    let mut zones: Vec<Option<&Zone>> = of_blocks.chain(seen.dynos.values().map(|dyno| dyno.zone.as_ref())).chain([None]).collect();
    zones.sort_unstable();
    zones.dedup();
    let mut names: Vec<&BlockName> = seen.blocks.keys().chain(seen.dynos.values().filter_map(|dyno| dyno.block.as_ref())).collect();
    names.sort_unstable();
    names.dedup();
    let blocks = names.iter().map(|name| {
        let block = seen.blocks.get(*name);
        let zone = zones.binary_search(&block.and_then(|block| block.zone.as_ref())).unwrap_or_default();
        let age = block.map_or(Span::ZERO, |block| seen.now.since(block.since));
        let (standing, room) = (block.map(|block| block.standing), block.map_or(0, |block| block.room));
        Block { name, zone, standing, age, room, dynos: 0, slots: 0 }
    });
    let blocks = blocks.collect();
    (zones, blocks)
}

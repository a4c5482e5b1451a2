//! The search for an order of a register's calls.
//!
//! Wing and Gong: of the calls not yet in the order, any that began before all others ended may be next, if the register as it stands
//! allows its answer; where none may, the last choice is taken back. Lowe: a set of ordered calls with the state that they lead to is tried
//! once. Two things make it fast, and neither leaves out an order. A call that changes nothing and is right now is ordered at once, since it
//! is in nobody's way. And since versions only grow, the next one that any answer tells of is made before any later one, by a call that
//! was answered with it or by one of the unknown: an unknown call whose effect no answer needs has had none.

use std::collections::HashSet;

use super::{ABSENT, NONE, Value};

/// A value that no call tells of: what was there before.
pub(super) const FOREIGN: Value = 1;

/// A call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Op {
    pub(super) begin: u64,
    /// The last moment for one that is unknown, since it may take effect whenever it likes.
    pub(super) end: u64,
    pub(super) deed: Deed,
}

/// What a call did, or may have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// It was told this.
    Read { value: Value, version: u64 },
    /// It wrote, or found it written.
    Write { value: Value, version: u64 },
    /// The same of a register that had this version.
    Swap { expected: u64, value: Value, version: u64 },
    /// It found another version than this.
    Stale { expected: u64 },
    /// It may have written.
    MayWrite { value: Value },
    /// It may have written if the register had this version.
    MaySwap { expected: u64, value: Value },
}

/// What came of a search.
#[derive(Debug)]
pub(super) enum Found {
    /// There is an order.
    Order,
    /// There is none.
    None {
        /// Calls in the longest that was found.
        ordered: usize,
        /// Calls that could have been next, and of which none fits.
        stuck: Vec<Op>,
    },
    /// Not within the steps that were allowed.
    GaveUp {
        /// How many those were.
        steps: usize,
    },
}

impl Deed {
    /// Whether it changes a register.
    pub(super) fn is_write(&self) -> bool {
        matches!(self, Deed::Write { .. } | Deed::Swap { .. } | Deed::MayWrite { .. } | Deed::MaySwap { .. })
    }
}

impl Op {
    /// The state that it was told.
    pub(super) fn seen(&self) -> Option<(Value, u64)> {
        match self.deed {
            Deed::Read { value, version } | Deed::Write { value, version } | Deed::Swap { value, version, .. } => Some((value, version)),
            Deed::Stale { .. } | Deed::MayWrite { .. } | Deed::MaySwap { .. } => None,
        }
    }

    /// What it writes, if it is one that may have.
    pub(super) fn writes(&self) -> Value {
        match self.deed {
            Deed::MayWrite { value } | Deed::MaySwap { value, .. } => value,
            Deed::Read { .. } | Deed::Write { .. } | Deed::Swap { .. } | Deed::Stale { .. } => FOREIGN,
        }
    }
}

/// What the register holds, and the latest version it has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    value: Value,
    floor: u64,
}

impl State {
    /// Whether it shows this version. That of a state which nobody has told of is none that anybody expects.
    fn shows(self, version: u64) -> bool {
        if version == NONE { self.value == ABSENT } else { self.value != ABSENT && self.floor == version }
    }
}

/// A version that answers tell of.
#[derive(Debug, Clone, Copy)]
struct Group {
    version: u64,
    /// Its value, where an answer says it.
    value: Option<Value>,
    /// Calls not yet in the order that need it.
    left: u32,
}

/// A way to go on.
#[derive(Debug, Clone, Copy)]
enum Choice {
    /// The register was like this before the first call.
    Begin(State),
    /// This call, which was answered, changes the register.
    Done(usize, State),
    /// This call, which is unknown, changes it.
    Maybe(usize, State),
}

/// Where to come back to.
struct Frame {
    choices: Vec<Choice>,
    next: usize,
    /// As it was before the choice.
    state: State,
    base: usize,
    trail: usize,
    used: Option<usize>,
}

struct Search {
    done: Vec<Op>,
    maybe: Vec<Op>,
    groups: Vec<Group>,
    /// All that are unknown, whether anybody saw what they may have done or not.
    unseen: Vec<Op>,
    state: State,
    ordered: Vec<bool>,
    used: Vec<bool>,
    /// All calls before it are in the order.
    base: usize,
    /// Calls in the order, as they came into it.
    trail: Vec<usize>,
    tried: HashSet<(State, Vec<usize>)>,
}

/// Searches for an order of the calls in `done`, and of any of those in `maybe`.
pub(super) fn run(mut done: Vec<Op>, mut maybe: Vec<Op>, steps_max: usize) -> Found {
    let unseen = maybe.clone();
    let groups = groups(&done);
    // A version that no answer tells of is as good as any: nobody can say when it was there.
    let is_told = |version: u64| version == NONE || groups.iter().any(|group| group.version == version);
    for op in &mut maybe {
        if let Deed::MaySwap { expected, value } = op.deed
            && !is_told(expected)
        {
            op.deed = Deed::MayWrite { value };
        }
    }
    // What nobody ever saw has had no effect that matters; but a register that was gone may show only by being made anew.
    maybe.retain(|op| op.writes() == ABSENT || groups.iter().any(|group| group.value.is_none_or(|value| value == op.writes())));
    done.sort_by_key(|op| op.begin);
    maybe.sort_by_key(|op| op.begin);
    let (ordered, used) = (vec![false; done.len()], vec![false; maybe.len()]);
    let state = State { value: FOREIGN, floor: 0 };
    let mut search = Search { done, maybe, groups, unseen, state, ordered, used, base: 0, trail: Vec::new(), tried: HashSet::new() };
    search.run(steps_max)
}

fn groups(done: &[Op]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for op in done {
        groups.extend(op.seen().map(|(value, version)| Group { version, value: Some(value), left: 1 }));
        groups.extend(needs(op).map(|version| Group { version, value: None, left: 1 }));
    }
    groups.retain(|group| group.version != NONE);
    groups.sort_by_key(|group| group.version);
    groups.dedup_by(|next, first| {
        let same = next.version == first.version;
        if same {
            (first.value, first.left) = (first.value.or(next.value), first.left + next.left);
        }
        same
    });
    groups
}

/// The version that must be there before it, besides the one it was told.
fn needs(op: &Op) -> Option<u64> {
    match op.deed {
        Deed::Swap { expected, version, .. } if expected != version => Some(expected),
        _ => None,
    }
}

/// Whether it may need the register not to exist.
fn wants_none(op: &Op) -> bool {
    match op.deed {
        Deed::Read { version, .. } | Deed::Write { version, .. } => version == NONE,
        Deed::Swap { expected, version, .. } => expected == NONE || version == NONE,
        Deed::MaySwap { expected, .. } => expected == NONE,
        Deed::Stale { .. } | Deed::MayWrite { .. } => false,
    }
}

impl Search {
    fn run(&mut self, steps_max: usize) -> Found {
        let (mut best, mut stuck) = (0, Vec::new());
        let mut frames = vec![self.frame(self.beginnings())];
        for _ in 0..steps_max {
            let Some(frame) = frames.last_mut() else { return Found::None { ordered: best, stuck } };
            let (trail, base, state) = (frame.trail, frame.base, frame.state);
            let (choice, used) = (frame.choices.get(frame.next).copied(), frame.used.take());
            frame.next += 1;
            self.take_back(trail, base, state, used);
            let Some(choice) = choice else {
                frames.pop();
                continue;
            };
            if let Choice::Maybe(place, _) = choice {
                frame.used = Some(place);
            }
            self.go(choice);
            self.settle();
            if self.trail.len() == self.done.len() {
                return Found::Order;
            }
            if self.trail.len() >= best {
                best = self.trail.len();
                stuck = self.candidates().map(|place| self.done[place]).collect();
            }
            if self.is_new() {
                let choices = self.choices();
                frames.push(self.frame(choices));
            }
        }
        Found::GaveUp { steps: steps_max }
    }

    fn frame(&self, choices: Vec<Choice>) -> Frame {
        Frame { choices, next: 0, state: self.state, base: self.base, trail: self.trail.len(), used: None }
    }

    fn take_back(&mut self, trail: usize, base: usize, state: State, used: Option<usize>) {
        for place in self.trail.split_off(trail) {
            self.ordered[place] = false;
            self.count(place, |left| left + 1);
        }
        (self.base, self.state) = (base, state);
        if let Some(place) = used {
            self.used[place] = false;
        }
    }

    /// Puts a call into the order.
    fn order(&mut self, place: usize) {
        self.ordered[place] = true;
        self.trail.push(place);
        self.count(place, |left| left - 1);
    }

    fn count(&mut self, place: usize, change: impl Fn(u32) -> u32) {
        let op = self.done[place];
        for version in op.seen().map(|(_, version)| version).into_iter().chain(needs(&op)) {
            if let Ok(group) = self.groups.binary_search_by_key(&version, |group| group.version) {
                self.groups[group].left = change(self.groups[group].left);
            }
        }
    }

    fn go(&mut self, choice: Choice) {
        match choice {
            Choice::Begin(state) => self.state = state,
            Choice::Done(place, state) => {
                self.order(place);
                self.state = state;
            }
            Choice::Maybe(place, state) => {
                self.used[place] = true;
                self.state = state;
            }
        }
    }

    /// Orders every call that may be next, is right now and changes nothing.
    fn settle(&mut self) {
        loop {
            while self.ordered.get(self.base) == Some(&true) {
                self.base += 1;
            }
            let right: Vec<usize> = self.candidates().filter(|place| self.is_right(&self.done[*place])).collect();
            if right.is_empty() {
                return;
            }
            right.into_iter().for_each(|place| self.order(place));
        }
    }

    fn is_right(&self, op: &Op) -> bool {
        let is_told = |value, version| value == self.state.value && self.state.shows(version);
        match op.deed {
            // One that takes the register away may be needed for that later.
            Deed::Write { version: NONE, .. } => false,
            Deed::Read { value, version } | Deed::Write { value, version } => is_told(value, version),
            Deed::Swap { expected, value, version } => is_told(value, version) && expected == version,
            Deed::Stale { expected } => !self.state.shows(expected) || self.may_have_left(expected, op.end),
            Deed::MayWrite { .. } | Deed::MaySwap { .. } => false,
        }
    }

    /// Whether the register may have had another version than this by then, unseen. A version does not come back: whoever is told of it in a
    /// call that began later shows that it had not gone. What is gone may be made and go again, if somebody may have taken it away again.
    fn may_have_left(&self, version: u64, by: u64) -> bool {
        let may = |op: &Op| match op.deed {
            Deed::MaySwap { expected, .. } => expected == version,
            _ => true,
        };
        let tells = |op: &Op| op.seen().is_some_and(|(_, seen)| seen == version) || needs(op) == Some(version);
        let Some(since) = self.unseen.iter().filter(|op| op.begin <= by && may(op)).map(|op| op.begin).min() else { return false };
        let removes =
            |op: &&Op| op.writes() == ABSENT || matches!(op.deed, Deed::Write { version: NONE, .. } | Deed::Swap { version: NONE, .. });
        let mut removals = self.done.iter().chain(&self.unseen).filter(removes).filter(|op| op.end >= since);
        let told = self.done.iter().filter(|op| op.begin > by && tells(op)).map(|op| op.end).min();
        told.is_none_or(|told| version == NONE && removals.any(|op| op.begin <= told))
    }

    /// The earliest end of a call that is not in the order: what is next takes effect before it.
    fn horizon(&self) -> u64 {
        let mut horizon = u64::MAX;
        for (op, ordered) in self.done[self.base..].iter().zip(&self.ordered[self.base..]) {
            if op.begin > horizon {
                break;
            }
            if !ordered {
                horizon = horizon.min(op.end);
            }
        }
        horizon
    }

    /// Calls that may be next.
    fn candidates(&self) -> impl Iterator<Item = usize> {
        let horizon = self.horizon();
        let reachable = (self.base..self.done.len()).take_while(move |place| self.done[*place].begin <= horizon);
        reachable.filter(|place| !self.ordered[*place])
    }

    /// What the register may have held before the first call.
    fn beginnings(&self) -> Vec<Choice> {
        let first = self.groups.first().map(|group| State { value: group.value.unwrap_or(FOREIGN), floor: group.version });
        let before = [State { value: ABSENT, floor: 0 }, State { value: FOREIGN, floor: 0 }];
        before.into_iter().chain(first).map(Choice::Begin).collect()
    }

    /// What may change the register next.
    fn choices(&self) -> Vec<Choice> {
        let mut choices = Vec::new();
        let horizon = self.horizon();
        let may = self.may(horizon);
        if let Some(next) = self.groups.get(self.passed()) {
            self.make(*next, &may, &mut choices);
        }
        if self.state.value != ABSENT {
            self.unmake(&may, &mut choices);
        } else {
            let idle = self.candidates().filter(|place| matches!(self.done[*place].deed, Deed::Write { version: NONE, .. }));
            choices.extend(idle.map(|place| Choice::Done(place, self.state)));
        }
        choices
    }

    /// Unknown calls that may be next. Of those that may do the same the first will do: none of them has an end.
    fn may(&self, horizon: u64) -> Vec<usize> {
        let mut may: Vec<usize> = Vec::new();
        let begun = (0..self.maybe.len()).take_while(|place| self.maybe[*place].begin <= horizon);
        for place in begun.filter(|place| !self.used[*place]) {
            if !may.iter().any(|other| self.maybe[*other].deed == self.maybe[place].deed) {
                may.push(place);
            }
        }
        may
    }

    /// Ways to make the next version.
    fn make(&self, next: Group, may: &[usize], choices: &mut Vec<Choice>) {
        for place in self.candidates().filter(|place| self.lets_go(Some(*place))) {
            match self.done[place].deed {
                Deed::Write { value, version: of } if of == next.version => choices.push(Choice::Done(place, State { value, floor: of })),
                Deed::Swap { expected, value, version: of } if of == next.version && self.state.shows(expected) => {
                    choices.push(Choice::Done(place, State { value, floor: of }));
                }
                _ => {}
            }
        }
        for place in may.iter().copied().filter(|_| self.lets_go(None)) {
            let op = &self.maybe[place];
            let value = op.writes();
            if value != ABSENT && self.may_now(op) && next.value.is_none_or(|wanted| wanted == value) {
                choices.push(Choice::Maybe(place, State { value, floor: next.version }));
            }
        }
    }

    /// Ways for the register to be gone.
    fn unmake(&self, may: &[usize], choices: &mut Vec<Choice>) {
        let gone = State { value: ABSENT, ..self.state };
        for place in self.candidates().filter(|place| self.lets_go(Some(*place))) {
            match self.done[place].deed {
                Deed::Write { value: ABSENT, .. } => choices.push(Choice::Done(place, gone)),
                Deed::Swap { expected, value: ABSENT, .. } if self.state.shows(expected) => choices.push(Choice::Done(place, gone)),
                _ => {}
            }
        }
        // An unknown call may as well take it away later, until somebody needs it gone.
        if self.lets_go(None)
            && (self.candidates().any(|place| wants_none(&self.done[place])) || may.iter().any(|place| wants_none(&self.maybe[*place])))
        {
            let may = may.iter().copied().filter(|place| self.maybe[*place].writes() == ABSENT && self.may_now(&self.maybe[*place]));
            choices.extend(may.map(|place| Choice::Maybe(place, gone)));
        }
    }

    fn may_now(&self, op: &Op) -> bool {
        !matches!(op.deed, Deed::MaySwap { expected, .. } if !self.state.shows(expected))
    }

    /// Versions that answers tell of, up to the present one.
    fn passed(&self) -> usize {
        self.groups.partition_point(|group| group.version <= self.state.floor)
    }

    /// Whether no call is left that needs a version up to the present one, but this.
    fn lets_go(&self, but: Option<usize>) -> bool {
        let Some(present) = self.passed().checked_sub(1).map(|last| self.groups[last]) else { return true };
        let own = but.and_then(|place| needs(&self.done[place])) == Some(present.version);
        present.left == u32::from(own)
    }

    /// Whether this set of calls with this state was not tried before.
    fn is_new(&mut self) -> bool {
        // What is in the order was reachable once, and more is reachable ever after.
        let horizon = self.horizon();
        let reachable = (self.base..self.done.len()).take_while(|place| self.done[*place].begin <= horizon);
        let beyond = reachable.filter(|place| self.ordered[*place]);
        let used = self.used.iter().enumerate().filter(|(_, used)| **used).map(|(place, _)| place);
        let key: Vec<usize> = [self.base].into_iter().chain(beyond).chain([usize::MAX]).chain(used).collect();
        self.tried.insert((self.state, key))
    }
}

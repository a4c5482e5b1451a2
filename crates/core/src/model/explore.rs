//! A breadth-first search through all states that a model can reach.
//!
//! Breadth first, because the first broken state is then one with a shortest story. Only prints are kept of states that were expanded; the
//! story is told by walking it again from the start.

use std::fmt::Debug;
use std::time::Duration;

use super::part::Print;

/// What is explored.
pub(super) trait Model {
    /// Where the model stands.
    type State: Clone;
    /// What leads on.
    type Step: Debug;

    /// Where everything begins.
    fn start(&self) -> Self::State;

    /// All that can happen next, and where it leads.
    fn next(&self, state: &Self::State) -> Vec<(Self::Step, Self::State)>;

    /// The same for equal states, and for no others.
    fn print(&self, state: &Self::State) -> Print;

    /// What is wrong with a state: the invariant's name, then how it is broken.
    fn check(&self, state: &Self::State) -> Result<(), String>;
}

/// What a search went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Different states.
    pub(super) states: usize,
    /// Steps between them, repeated ones included.
    pub(super) steps: usize,
    /// Most steps that the shortest way to a state has.
    pub(super) depth: usize,
}

/// Which state a state was first reached from, and by which of its steps.
type Origin = (u32, u16);

/// Explores all of it. Panics at the first broken state with the way there, or if there are more than `states_max`: then nothing was
/// proven.
pub(super) fn explore<M: Model>(name: &str, model: &M, states_max: usize) -> Report {
    let clock = Stopwatch::start();
    let start = model.start();
    #[expect(clippy::disallowed_types, reason = "only asked whether it contains a print; its order is never seen")]
    let mut seen = std::collections::HashSet::from([model.print(&start)]);
    let mut origins: Vec<Origin> = vec![(0, 0)];
    let mut report = Report { states: 1, ..Report::default() };
    demand(model, &start, &origins, 0);
    let mut level = vec![(0u32, start)];
    while !level.is_empty() {
        let mut further = Vec::new();
        for (nth, state) in level {
            for (by, (_, next)) in model.next(&state).into_iter().enumerate() {
                report.steps += 1;
                if !seen.insert(model.print(&next)) {
                    continue;
                }
                let number = u32::try_from(origins.len()).unwrap();
                origins.push((nth, u16::try_from(by).unwrap()));
                demand(model, &next, &origins, number);
                further.push((number, next));
            }
        }
        report.depth += usize::from(!further.is_empty());
        report.states = origins.len();
        assert!(report.states <= states_max, "{name}: more than {states_max} states, so nothing is proven");
        level = further;
    }
    let Report { states, steps, depth } = report;
    eprintln!("{name}: all {states} states by {steps} steps, depth {depth}, {:.1} s", clock.elapsed().as_secs_f64());
    report
}

/// Panics with the way to a state that is broken.
fn demand<M: Model>(model: &M, state: &M::State, origins: &[Origin], number: u32) {
    let Err(broken) = model.check(state) else { return };
    let mut way = Vec::new();
    let mut at = number;
    while at != 0 {
        let (from, by) = origins[at as usize];
        way.push(by);
        at = from;
    }
    let mut state = model.start();
    let mut story = String::new();
    for (nth, by) in way.iter().rev().enumerate() {
        let (step, next) = model.next(&state).swap_remove(usize::from(*by));
        story += &format!("  {:2}. {step:?}\n", nth + 1);
        state = next;
    }
    panic!("{broken}\nafter {} of {} states seen:\n{story}", way.len(), origins.len());
}

/// How long a search took, for the report alone.
struct Stopwatch(std::time::Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "told to the reader, decides nothing")]
    fn start() -> Self {
        Stopwatch(std::time::Instant::now())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

//! Whether a simulation tells the truth about a real mesh: the same requests through both, and the difference of their percentiles.
//!
//! Two runs of one mesh differ by chance, so a difference alone says nothing: beside it stands the interval in which it lies with 95 %
//! confidence, by a bootstrap over stretches of consecutive requests. Consecutive, because a queue makes neighbours alike; the same
//! stretches are drawn for both sides, because a burst of long requests makes both slow. Where that interval crosses the tolerance the
//! verdict is that it is unclear, not that they agree.
//!
//! Only *latencies of the same requests in the same order* can be compared. Delays of the network and of timers are no matter of this
//! file: the simulation is given cables as long as those that were measured (see [`Cables`]), before it runs.

use std::fmt;

use dynomesh_core::time::Span;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

/// Consecutive requests that are drawn together: at the load of the comparison about three seconds, some twenty service times.
const STRETCH: usize = 250;
/// Fewest requests that are compared: of a handful of stretches every draw is much like the other, and the interval far too narrow.
pub const REQUESTS_MIN: usize = 16 * STRETCH;
/// How often stretches are drawn anew.
const DRAWS: usize = 400;
/// Seed of these draws: the same two samples get the same verdict.
const SEED: u64 = 1;

/// The delays of a real mesh that a simulation is given as cables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cables {
    /// What a request takes beyond its service time when nothing else runs: all the way there and back.
    pub trip: Span,
    /// What of that keeps the dyno's slot taken: from the end of a request to the start of the next one that waits for this dyno,
    /// and what the dyno's own timer is late.
    pub turn: Span,
}

impl Cables {
    /// From an edge to a router, each way.
    pub fn router(self) -> Span {
        (self.trip - self.turn).over(2)
    }

    /// From a router to a dyno, each way.
    pub fn dyno(self) -> Span {
        self.turn.over(2)
    }
}

/// A percentile that is compared, and how far it may be off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    /// From 0 to 1.
    pub share: f64,
    /// Largest difference that passes, as a share of the simulated value.
    pub tolerance: f64,
}

/// What must hold for a simulation to be believed.
pub const GATES: [Gate; 2] = [Gate { share: 0.5, tolerance: 0.05 }, Gate { share: 0.99, tolerance: 0.10 }];

/// One percentile on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Row {
    /// Which, from 0 to 1.
    pub share: f64,
    /// Milliseconds in the real mesh.
    pub live: f64,
    /// Milliseconds in the simulation.
    pub simulated: f64,
    /// How much the real mesh is slower, as a share of the simulated value.
    pub difference: f64,
    /// Lower end of the 95 % interval of the difference.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Largest difference that passes.
    pub tolerance: f64,
    /// What follows.
    pub verdict: Verdict,
}

/// What a comparison says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The whole interval lies within the tolerance.
    Agrees,
    /// The interval crosses the tolerance: more requests would tell.
    Unclear,
    /// The whole interval lies beyond the tolerance.
    Differs,
}

/// A comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// One per gate.
    pub rows: Vec<Row>,
}

/// Why there is nothing to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// A run has other requests than the real mesh had.
    #[error("a simulated run has {simulated} requests and the real one {live}: only the same requests can be compared")]
    Other {
        /// Requests of the real mesh.
        live: usize,
        /// Requests of the simulated run.
        simulated: usize,
    },
    /// Too few to say anything.
    #[error("{live} requests and {runs} simulated runs: at least {REQUESTS_MIN} requests and one run are needed")]
    Few {
        /// Requests of the real mesh.
        live: usize,
        /// Simulated runs.
        runs: usize,
    },
}

impl Comparison {
    /// Compares latencies, each list in the order in which the requests came. The simulated runs differ in their chance alone, not in
    /// their requests; more of them make the simulated value surer, not the real one.
    pub fn of(live: &[Span], simulated: &[Vec<Span>], gates: &[Gate]) -> Result<Comparison, CompareError> {
        if live.len() < REQUESTS_MIN || simulated.is_empty() {
            return Err(CompareError::Few { live: live.len(), runs: simulated.len() });
        }
        if let Some(run) = simulated.iter().find(|run| run.len() != live.len()) {
            return Err(CompareError::Other { live: live.len(), simulated: run.len() });
        }
        let (real, model) = (Sample::of(std::iter::once(live)), Sample::of(simulated.iter().map(Vec::as_slice)));
        let stretches = live.len().div_ceil(STRETCH);
        let mut rng = StdRng::seed_from_u64(SEED);
        let mut drawn: Vec<Vec<f64>> = gates.iter().map(|_| Vec::with_capacity(DRAWS)).collect();
        for _ in 0..DRAWS {
            let mut times = vec![0; stretches];
            (0..stretches).for_each(|_| times[rng.random_range(0..stretches)] += 1);
            for (gate, drawn) in gates.iter().zip(&mut drawn) {
                drawn.push(excess(real.percentile(gate.share, &times), model.percentile(gate.share, &times)));
            }
        }
        let once = vec![1; stretches];
        let row = |(gate, drawn): (&Gate, &mut Vec<f64>)| {
            drawn.sort_by(f64::total_cmp);
            let (low, high) = (drawn[DRAWS / 40], drawn[DRAWS - 1 - DRAWS / 40]);
            let (live, simulated) = (real.percentile(gate.share, &once), model.percentile(gate.share, &once));
            let verdict = Verdict::of(low, high, gate.tolerance);
            Row { share: gate.share, live, simulated, difference: excess(live, simulated), low, high, tolerance: gate.tolerance, verdict }
        };
        Ok(Comparison { rows: gates.iter().zip(&mut drawn).map(row).collect() })
    }

    /// The worst of its rows.
    pub fn verdict(&self) -> Verdict {
        self.rows.iter().map(|row| row.verdict).max().unwrap_or(Verdict::Unclear)
    }

    /// Whether every difference itself, wherever its interval ends, is within its tolerance.
    pub fn is_within(&self) -> bool {
        self.rows.iter().all(|row| row.difference.abs() <= row.tolerance)
    }
}

impl Verdict {
    fn of(low: f64, high: f64, tolerance: f64) -> Verdict {
        match () {
            () if low >= -tolerance && high <= tolerance => Verdict::Agrees,
            () if low > tolerance || high < -tolerance => Verdict::Differs,
            () => Verdict::Unclear,
        }
    }
}

fn excess(live: f64, simulated: f64) -> f64 {
    live / simulated - 1.0
}

/// Latencies in order of length, each with the stretch it belongs to, so that a draw of stretches is one walk and no sorting.
struct Sample {
    sorted: Vec<(Span, usize)>,
    /// Latencies of each stretch.
    sizes: Vec<u32>,
}

impl Sample {
    fn of<'a>(runs: impl Iterator<Item = &'a [Span]>) -> Self {
        let placed = |run: &'a [Span]| run.iter().enumerate().map(|(place, latency)| (*latency, place / STRETCH));
        let mut sorted: Vec<(Span, usize)> = runs.flat_map(placed).collect();
        sorted.sort_unstable();
        let mut sizes = Vec::new();
        for (_, stretch) in &sorted {
            sizes.resize(sizes.len().max(stretch + 1), 0);
            sizes[*stretch] += 1;
        }
        Sample { sorted, sizes }
    }

    /// Milliseconds that `share` of the latencies do not exceed when each stretch counts as often as `times` says.
    fn percentile(&self, share: f64, times: &[u32]) -> f64 {
        let total: u64 = self.sizes.iter().zip(times).map(|(size, times)| u64::from(*size) * u64::from(*times)).sum();
        let mut left = (total as f64 * share).ceil().max(1.0);
        let reached = self.sorted.iter().find(|(_, stretch)| {
            left -= f64::from(times[*stretch]);
            left <= 0.0
        });
        reached.map_or(f64::NAN, |(latency, _)| latency.as_millis_f64())
    }
}

// === impl text ===

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Agrees => "agrees",
            Verdict::Unclear => "unclear",
            Verdict::Differs => "differs",
        })
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let [share, difference, low, high, tolerance] =
                [row.share, row.difference, row.low, row.high, row.tolerance].map(|value| value * 100.0);
            writeln!(
                f,
                "p{share:<3.0} live {:7.1} ms  simulated {:7.1} ms  {difference:+5.1} % ({low:+.1} to {high:+.1}; {tolerance:.0} allowed): {}",
                row.live, row.simulated, row.verdict
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! What becomes of a packet on a bad cable: drawn, one packet at a time.

use dynomesh_core::time::Span;
use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// How bad a cable is, each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Impairment {
    /// Every packet takes so much longer.
    pub(crate) delay: Span,
    /// And up to so much more, drawn for each; packets keep their order unless `reorder` says otherwise.
    pub(crate) jitter: Span,
    /// Share of packets that are dropped.
    pub(crate) loss: f64,
    /// Share of packets that come twice.
    pub(crate) duplicate: f64,
    /// Share of packets that packets behind them overtake.
    pub(crate) reorder: f64,
}

/// How far a packet that is to be overtaken stays behind, at least.
const BEHIND: Span = Span::from_millis(10);

/// What becomes of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is never seen again.
    Lost,
    /// It goes on after so long, so many times; others may overtake it.
    Goes { after: Span, times: u32, overtaken: bool },
}

// === impl Impairment ===

impl Impairment {
    /// Whether packets pass as they come.
    pub(crate) fn is_none(&self) -> bool {
        *self == Impairment::default()
    }

    /// Draws the fate of the next packet.
    pub(crate) fn draw(&self, rng: &mut StdRng) -> Fate {
        let mut hits = |share: f64| share > 0.0 && rng.random::<f64>() < share;
        let (lost, twice, overtaken) = (hits(self.loss), hits(self.duplicate), hits(self.reorder));
        if lost {
            return Fate::Lost;
        }
        let jitter = if self.jitter == Span::ZERO { 0 } else { rng.random_range(0..=self.jitter.as_nanos()) };
        let behind = if overtaken { BEHIND } else { Span::ZERO };
        Fate::Goes { after: self.delay + Span::from_nanos(jitter) + behind, times: if twice { 2 } else { 1 }, overtaken }
    }

    /// In words.
    pub(crate) fn told(&self) -> String {
        let percent = |name: &str, share: f64| (share > 0.0).then(|| format!("{name} {:.1} %", share * 100.0));
        let span = |name: &str, span: Span| (span > Span::ZERO).then(|| format!("{name} {span}"));
        let parts = [
            span("delay", self.delay),
            span("jitter", self.jitter),
            percent("loss", self.loss),
            percent("duplication", self.duplicate),
            percent("reordering", self.reorder),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn shares_are_what_they_are_said_to_be() {
        let bad = Impairment { delay: Span::from_millis(5), loss: 0.1, duplicate: 0.2, reorder: 0.3, ..Impairment::default() };
        let mut rng = StdRng::seed_from_u64(1);
        let fates: Vec<Fate> = (0..10_000).map(|_| bad.draw(&mut rng)).collect();
        let share = |wanted: fn(&Fate) -> bool| fates.iter().filter(|fate| wanted(fate)).count();
        assert!((900..1_100).contains(&share(|fate| *fate == Fate::Lost)));
        assert!((1_600..2_000).contains(&share(|fate| matches!(fate, Fate::Goes { times: 2, .. }))));
        assert!((2_500..2_900).contains(&share(|fate| matches!(fate, Fate::Goes { overtaken: true, .. }))));
        assert!(fates.iter().all(|fate| !matches!(fate, Fate::Goes { after, .. } if *after < Span::from_millis(5))));
    }

    #[test]
    fn a_good_cable_does_nothing() {
        let none = Impairment::default();
        let mut rng = StdRng::seed_from_u64(1);
        assert!(none.is_none());
        assert_eq!(none.draw(&mut rng), Fate::Goes { after: Span::ZERO, times: 1, overtaken: false });
        assert_eq!(Impairment { loss: 0.015, delay: Span::from_millis(20), ..none }.told(), "delay 20ms, loss 1.5 %");
    }
}

//! What the leader makes of doubtful slots, by the rules of production.

use super::{Claim, Instance, Life, SPAN, Scene, at, dyno, holder_of};
use crate::app::Orphans;
use crate::block::doubt::{Doubt, DoubtLimits, Known, Verdict, verdict};
use crate::id::SlotId;
use crate::time::{Span, Time};

/// In beats, which are milliseconds to the rules.
const LIMITS: DoubtLimits = DoubtLimits { orphan_hold: Span::from_millis(3), silent_hold: Span::from_millis(2) };

impl Scene {
    /// The leader's doubts: slots of other holders, and its own that were cut.
    pub(super) fn doubts(&self) -> Vec<(SlotId, Doubt)> {
        let since = |slot: SlotId| match self.claims.get(&slot) {
            _ if holder_of(slot) != self.leader => Some(self.led_since),
            Some(Claim::Cut(beat)) => Some(*beat),
            _ => None,
        };
        let slots = self.state.slots().map(|(slot, _)| slot);
        slots.filter_map(|slot| Some((slot, self.doubt(slot, since(slot)?)))).collect()
    }

    fn doubt(&self, slot: SlotId, since: u64) -> Doubt {
        let serial = self.state.dyno(&dyno()).and_then(|record| record.serial);
        Doubt { own: holder_of(slot) == self.leader, serial, orphans: Orphans::Strict, since: at(since), seen: Time::ZERO, span: SPAN }
    }

    /// What is to be done about a doubt now.
    pub(super) fn judge(&self, slot: SlotId, doubt: &Doubt, now: Time) -> Verdict {
        let known = self.known.get(&holder_of(slot)).copied().unwrap_or(Known::Silent);
        verdict(doubt, known, self.question.as_ref().map(|question| question.asked), now, LIMITS)
    }
}

impl Instance {
    /// Every slot that nobody alive will free is free once its deadline has passed.
    pub(super) fn check_leaks(&self, scene: &Scene) -> Result<(), String> {
        let far = Time::ZERO + SPAN.times(3);
        let lives = |slot: SlotId| scene.lives[holder_of(slot)] == Life::Alive;
        for (slot, doubt) in scene.doubts().into_iter().filter(|(slot, doubt)| doubt.own || !lives(*slot)) {
            let heard = Scene { known: [(holder_of(slot), Known::Silent)].into(), ..scene.clone() };
            if !matches!(heard.judge(slot, &doubt, far), Verdict::Free(_)) {
                return Err(format!("no-leak: {slot} is never freed"));
            }
        }
        Ok(())
    }
}

//! What is wrong with a fault is found when its scenario is read, as far as the shape of the mesh tells.

use dynomesh_core::time::Span;

use super::{Spec, bandwidth, clock, disk_full, evict, flush, freeze, kill, packets, partition, starve};
use crate::system::layout::Layout;
use crate::system::select::Selector;

// === impl Spec: its check ===

impl Spec {
    /// Refuses a fault that strikes nothing in a mesh of this layout, or does nothing to it.
    pub(crate) fn check(&self, layout: &Layout) -> Result<(), String> {
        self.check_struck(layout).and_then(|()| self.check_effect()).map_err(|wrong| format!("the fault `{}`: {wrong}", self.told()))
    }

    /// The processes that it strikes, where a single word tells them.
    pub(super) fn target(&self) -> Option<&Selector> {
        match self {
            Spec::Kill(kill::Spec { target }) | Spec::TornLog(kill::Spec { target }) | Spec::Freeze(freeze::Spec { target }) => {
                Some(target)
            }
            Spec::Packets(packets::Spec { target, .. })
            | Spec::Bandwidth(bandwidth::Spec { target, .. })
            | Spec::DiskFull(disk_full::Spec { target, .. })
            | Spec::Flush(flush::Spec { target, .. })
            | Spec::Clock(clock::Spec { target, .. })
            | Spec::Starve(starve::Spec { target, .. }) => Some(target),
            Spec::Partition(_) | Spec::Evict(_) | Spec::Moves(_) | Spec::Drains(_) | Spec::Deploy(_) => None,
        }
    }

    fn check_struck(&self, layout: &Layout) -> Result<(), String> {
        match self {
            Spec::Partition(partition::Spec { between: [first, second], .. }) if first == second && !first.is_drawn() => {
                Err(format!("`{first}` is on both sides, and who is on both is on none"))
            }
            Spec::Partition(partition::Spec { between, .. }) => between.iter().try_for_each(|side| side.check_side(layout)),
            Spec::Evict(evict::Spec { block, .. }) if !layout.blocks().contains(block) => {
                Err(format!("there is no block `{block}`; it must be one of {}", layout.blocks().join(", ")))
            }
            _ => self.target().map_or(Ok(()), |target| target.check(layout)),
        }
    }

    fn check_effect(&self) -> Result<(), String> {
        let keeps_nothing =
            self.target().is_some_and(|target| matches!(target, Selector::Edge | Selector::Edges | Selector::Dyno | Selector::Dynos));
        match self {
            Spec::DiskFull(_) | Spec::Flush(_) | Spec::TornLog(_) if keeps_nothing => {
                Err("edges and dynos keep nothing on a disk; it must strike a replica of a block or of control".into())
            }
            Spec::Bandwidth(spec) => check_amount("rate", &spec.rate, &["bit", "kbit", "mbit", "gbit"]),
            Spec::DiskFull(spec) => check_amount("size", &spec.size, &["k", "m", "g"]),
            Spec::Packets(spec) => check_packets(spec),
            Spec::Flush(spec) if spec.delay == Span::ZERO && !spec.fails => Err("it must set `delay` or `fails`".into()),
            Spec::Clock(spec) if spec.ahead == Span::ZERO && spec.wall.is_none() => Err("it must set `ahead` or `wall`".into()),
            Spec::Clock(spec) => spec.wall().map(drop),
            Spec::Starve(starve::Spec { share, .. }) if !(0.01..=1.0).contains(share) => {
                Err(format!("`share` = {share} must be from 0.01 to 1"))
            }
            _ => Ok(()),
        }
    }
}

/// A number with one of these units, as the tools of the kernel take it.
fn check_amount(key: &str, text: &str, units: &[&str]) -> Result<(), String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    match number.parse::<u32>() {
        Ok(1..) if units.contains(&unit) => Ok(()),
        _ => Err(format!("`{key}` = {text:?} must be a number from 1 on and one of {}, such as 1{}", units.join(", "), units[1])),
    }
}

fn check_packets(spec: &packets::Spec) -> Result<(), String> {
    let impairment = spec.impairment();
    for (key, share) in [("loss", impairment.loss), ("duplicate", impairment.duplicate), ("reorder", impairment.reorder)] {
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("`{key}` = {share} must be from 0 to 1"));
        }
    }
    if impairment.is_none() {
        return Err("it has no effect; one of `delay`, `jitter`, `loss`, `duplicate`, `reorder` must be more than 0".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::scenario::Scenario;

    fn read(fault: &str) -> Result<Scenario, String> {
        let text = format!("title = \"t\"\n[[workload]]\nkind = \"mixed\"\nload = 0.5\n[[fault]]\n{fault}");
        Scenario::read("x", &text).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_fault_that_strikes_nobody_is_refused_when_its_scenario_is_read() {
        for kind in ["kill", "freeze", "torn-log", "disk-full"] {
            let told = read(&format!("kind = \"{kind}\"\ntarget = \"b9-9\"")).unwrap_err();
            assert!(told.contains(&format!("{kind} b9-9")) && told.contains("b1-1") && told.contains("edge-2"), "{told}");
            assert!(read(&format!("kind = \"{kind}\"\ntarget = \"b2-3\"")).is_ok());
        }
        let told = read("kind = \"partition\"\nbetween = [\"leader of b7\", \"others\"]").unwrap_err();
        assert!(told.contains("b7") && told.contains("b1, b2"), "{told}");
        let told = read("kind = \"evict\"\nblock = \"b3\"").unwrap_err();
        assert!(told.contains("`b3`") && told.contains("b1, b2"), "{told}");
        assert!(read("kind = \"kill\"\ntarget = \"others\"").unwrap_err().contains("partition"));
        assert!(read("kind = \"partition\"\nbetween = [\"users\", \"edges\"]").is_ok());
        for side in ["edge-1", "others", "leader of b1", "block any"] {
            let told = read(&format!("kind = \"partition\"\nbetween = [\"{side}\", \"{side}\"]")).unwrap_err();
            assert!(told.contains(side) && told.contains("both sides"), "{told}");
        }
        assert!(read("kind = \"partition\"\nbetween = [\"edge\", \"edge\"]").is_ok(), "each is drawn anew");
    }

    #[test]
    fn a_drawn_fault_is_checked_too() {
        let drawn = "title = \"t\"\n[[workload]]\nkind = \"mixed\"\nload = 0.5\n[drawn]\ncount = 1\ngap = \"1s\"\nlasts = \"1s\"\n\
                     from = [{ kind = \"kill\", target = \"d99\" }]";
        assert!(format!("{:#}", Scenario::read("x", drawn).unwrap_err()).contains("d99"));
    }

    #[test]
    fn a_fault_that_does_nothing_is_refused_when_its_scenario_is_read() {
        for (fault, right) in [
            ("kind = \"packets\"\ntarget = \"edge\"", "`loss`"),
            ("kind = \"packets\"\ntarget = \"edge\"\nloss = 0.0\ndelay = \"0s\"", "more than 0"),
            ("kind = \"packets\"\ntarget = \"edge\"\nloss = -0.1", "from 0 to 1"),
            ("kind = \"flush\"\ntarget = \"block b1\"", "`fails`"),
            ("kind = \"clock\"\ntarget = \"block b1\"", "`ahead`"),
            ("kind = \"clock\"\ntarget = \"block b1\"\nwall = \"soon\"", "soon"),
            ("kind = \"starve\"\ntarget = \"block b1\"\nshare = 7", "0.01 to 1"),
            ("kind = \"bandwidth\"\ntarget = \"edge\"\nrate = \"garbage\"", "garbage"),
            ("kind = \"bandwidth\"\ntarget = \"edge\"\nrate = \"0mbit\"", "1kbit"),
            ("kind = \"disk-full\"\ntarget = \"b1-1\"\nsize = \"lots\"", "lots"),
            ("kind = \"disk-full\"\ntarget = \"edge\"", "keep nothing"),
            ("kind = \"torn-log\"\ntarget = \"dyno\"", "keep nothing"),
            ("kind = \"flush\"\ntarget = \"edges\"\nfails = true", "keep nothing"),
        ] {
            let told = read(fault).unwrap_err();
            assert!(told.contains(right), "{told}");
        }
        assert!(read("kind = \"packets\"\ntarget = \"edge\"\njitter = \"1ms\"").is_ok());
    }
}

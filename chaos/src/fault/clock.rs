//! Clocks that step: the time since boot goes ahead as after a suspend, the time of day either way. The former stays: time does not
//! come back.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use dynomesh_core::time::Span;
use dynomesh_testkit::clock;
use serde::Deserialize;
use toml::Value;

use super::leadership::Leadership;
use super::{Fault, Felt, Hit, file};
use crate::system::Mesh;
use crate::system::select::{Choice, Selector};

/// What a process says it reads from its clocks, once its faults have changed: nanoseconds since boot, and milliseconds since 1970.
const READ: [&str; 2] = ["since_boot_ns=", "wall_ms="];
/// Readings later than this after the step are of something else.
const READ_WITHIN: Span = Span::from_secs(10);
/// A smaller step passes for a moment in which a process was not scheduled.
const NOTICED_MIN: Span = Span::from_millis(100);

/// Whose clocks, and where they step to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    pub(super) target: Selector,
    /// The time since boot is so far ahead.
    #[serde(default)]
    pub(super) ahead: Span,
    /// The time of day is wrong by so much, for example `-1h`.
    #[serde(default)]
    pub(super) wall: Option<String>,
}

pub(super) struct Clock {
    spec: Spec,
    names: Vec<String>,
    logs: Vec<u64>,
    /// What the machine's clocks read right before the step.
    before: Readings,
    /// By how much the times since boot step: one that is ahead already goes on from there.
    steps: Vec<Span>,
    leadership: Leadership,
}

/// What a process or the machine reads from its two clocks, in milliseconds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Readings {
    boot: i128,
    wall: i128,
}

// === impl Spec ===

impl Spec {
    /// How wrong the time of day is to be, either way; or what is wrong about it.
    pub(super) fn wall(&self) -> Result<Option<Span>, String> {
        let Some(text) = &self.wall else { return Ok(None) };
        text.strip_prefix('-').unwrap_or(text).parse().map(Some).map_err(|error| format!("`wall`: {error}"))
    }

    /// By how much the clocks of a process are to differ from those of the machine.
    fn wanted(&self) -> Readings {
        let size = self.wall().ok().flatten().unwrap_or(Span::ZERO);
        let is_late = self.wall.as_ref().is_some_and(|text| text.starts_with('-'));
        let wall = i128::from(size.as_millis()) * if is_late { -1 } else { 1 };
        Readings { boot: i128::from(self.ahead.as_millis()), wall }
    }
}

// === impl Clock ===

impl Clock {
    pub(super) fn new(spec: &Spec) -> Self {
        let before = Readings::default();
        Clock { spec: spec.clone(), names: Vec::new(), logs: Vec::new(), before, steps: Vec::new(), leadership: Leadership::default() }
    }

    /// Whether a process that says this has read from its clocks what it was to read. It does so some milliseconds after the step.
    fn is_read(&self, log: &str) -> bool {
        let (wanted, slack) = (self.spec.wanted(), 0..=i128::from(READ_WITHIN.as_millis()));
        let fits = |read: Readings| {
            slack.contains(&(read.boot - self.before.boot - wanted.boot)) && slack.contains(&(read.wall - self.before.wall - wanted.wall))
        };
        log.lines().filter_map(Readings::told).any(fits)
    }

    /// Whether every step that was asked for is one that somebody can notice.
    fn is_noticed(&self) -> bool {
        let is_ahead = self.spec.ahead == Span::ZERO || self.steps.iter().all(|step| *step >= NOTICED_MIN);
        let is_wrong = self.spec.wall().is_ok_and(|wall| wall.is_none_or(|wall| wall >= NOTICED_MIN));
        is_ahead && is_wrong
    }

    /// What a process is told; the time since boot stays ahead.
    fn tell(&self, mesh: &Mesh, wall: Option<&String>) -> Result<()> {
        let (ahead, wall) = (self.spec.ahead.to_string(), wall.map(|wall| Value::from(wall.as_str())));
        let keys = || [("clock_ahead", Some(ahead.as_str().into())), ("wall_offset", wall.clone())];
        self.names.iter().try_for_each(|name| file::change(&mesh.fault_file(name), keys()))
    }
}

impl Fault for Clock {
    fn aim(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.names = mesh.select(&self.spec.target, &mut Choice::default())?;
        self.leadership = Leadership::note(mesh, &self.names);
        for name in &self.names {
            self.logs.push(mesh.process(name)?.log_len());
            self.steps.push(self.spec.ahead - ahead_before(&mesh.fault_file(name))?);
        }
        Ok(())
    }

    fn start(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.leadership.begin(mesh);
        self.before = Readings::of_machine();
        self.tell(mesh, self.spec.wall.as_ref())
    }

    fn heal(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.tell(mesh, None)
    }

    fn felt(&mut self, mesh: &mut Mesh) -> Result<Felt> {
        let mut read = 0;
        for (name, from) in self.names.iter().zip(&self.logs) {
            read += usize::from(self.is_read(&mesh.process(name)?.log_since(*from)));
        }
        let wall = self.spec.wall.as_deref().unwrap_or("0s");
        let is_noticed = self.is_noticed();
        let short =
            if is_noticed { String::new() } else { format!(", not felt: less than {NOTICED_MIN} is too short for anybody to notice") };
        let evidence = format!(
            "{read} of {} processes read {} ahead from their clocks, the time of day wrong by {wall}{short}. {}",
            self.names.len(),
            self.spec.ahead,
            self.leadership.told()
        );
        Ok(Felt::when(read == self.names.len() && is_noticed, evidence))
    }

    fn hits(&self) -> Vec<Hit> {
        Hit::of(&self.names)
    }
}

// === impl Readings ===

impl Readings {
    fn of_machine() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Readings { boot: i128::from(clock::now().as_nanos() / 1_000_000), wall: i128::try_from(wall.as_millis()).unwrap_or(i128::MAX) }
    }

    /// Those that a line of a log tells, if it does.
    fn told(line: &str) -> Option<Self> {
        let number = |key: &str| line.split_once(key)?.1.split(|c: char| !c.is_ascii_digit()).next()?.parse::<i128>().ok();
        let [boot, wall] = READ.map(number);
        Some(Readings { boot: boot? / 1_000_000, wall: wall? })
    }
}

/// How far ahead a process is by an earlier fault.
fn ahead_before(file: &Path) -> Result<Span> {
    file::read(file)?.get("clock_ahead").and_then(Value::as_str).map_or(Ok(Span::ZERO), |ahead| Ok(ahead.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_nobody_can_notice_is_not_felt() {
        let is_noticed = |ahead: u64, before: u64, wall: Option<&str>| {
            let ahead = Span::from_millis(ahead);
            let mut clock = Clock::new(&Spec { target: Selector::Edge, ahead, wall: wall.map(Into::into) });
            clock.steps = vec![ahead - Span::from_millis(before)];
            clock.is_noticed()
        };
        assert!(is_noticed(100, 0, None) && is_noticed(0, 0, Some("-1h")) && is_noticed(5_100, 5_000, Some("100ms")));
        assert!(!is_noticed(99, 0, None) && !is_noticed(5_000, 4_999, None), "the step counts, not where it leads to");
        assert!(!is_noticed(0, 0, Some("-99ms")) && !is_noticed(1, 0, Some("1h")), "all that was asked for counts");
    }

    #[test]
    fn a_step_is_felt_by_what_the_process_reads() {
        let mut clock = Clock::new(&Spec { target: Selector::Edge, ahead: Span::from_secs(5), wall: Some("-1h".into()) });
        clock.before = Readings { boot: 100_000, wall: 9_000_000 };
        let line = |boot: u64, wall: u64| format!("a line\nWARN faults: clocks read since_boot_ns={boot}000000 wall_ms={wall}\n");
        assert!(clock.is_read(&line(105_000, 5_400_000)) && clock.is_read(&line(105_020, 5_400_021)));
        assert!(!clock.is_read(&line(100_020, 5_400_021)) && !clock.is_read(&line(105_020, 9_000_020)), "one of them did not step");
        assert!(!clock.is_read(&line(125_020, 5_420_021)) && !clock.is_read("faults changed"), "of another change, and none");
    }

    #[test]
    fn it_is_known_how_far_ahead_a_process_was() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("b1-1.toml");
        assert_eq!(ahead_before(&file).unwrap(), Span::ZERO);
        for (text, ahead) in [("", 0), ("clock_ahead = \"3s\"\n", 3), ("flush_fails = true", 0)] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(ahead_before(&file).unwrap(), Span::from_secs(ahead));
        }
    }
}

//! The process of the relay: what [`crate::net::relay`] starts and tells.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;

use anyhow::{Context, Result};
use dynomesh_core::time::{Span, Time};
use dynomesh_testkit::clock;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::net::impair::{Fate, Impairment};
use crate::net::relay::Counts;

/// Longest frame: one without segmentation offload.
const FRAME_MAX: usize = 2048;
/// Frames kept back each way; past it they are lost, as in a full queue of a router.
const KEPT_MAX: usize = 4096;
/// How often the file is read and the counts are written.
const LOOK: Span = Span::from_millis(50);

/// One cable: how bad it is, and what it has done.
#[derive(Default)]
struct Cable {
    impairment: RwLock<Impairment>,
    passed: AtomicU64,
    lost: AtomicU64,
    delayed: AtomicU64,
    doubled: AtomicU64,
    overtaken: AtomicU64,
}

/// One direction of a cable.
struct Way {
    cable: Arc<Cable>,
    from: Arc<SyncDevice>,
    to: Arc<SyncDevice>,
    /// Frames by when they go on, and in which order they came.
    kept: Mutex<BTreeMap<(Time, u64), Vec<u8>>>,
    came: Condvar,
}

/// Relays the frames of `hosts` until the process is ended.
pub(crate) fn run(told: &Path, counts: &Path, hosts: &[String]) -> Result<()> {
    let mut cables = BTreeMap::new();
    for (number, host) in (0_u64..).zip(hosts) {
        let cable = Arc::new(Cable::default());
        let [inner, outer] = [format!("x-{host}"), host.clone()].map(|name| device(&name));
        let (inner, outer) = (Arc::new(inner?), Arc::new(outer?));
        Way::start(cable.clone(), inner.clone(), outer.clone(), 2 * number)?;
        Way::start(cable.clone(), outer, inner, 2 * number + 1)?;
        cables.insert(host.clone(), cable);
    }
    loop {
        hear(told, &cables);
        if let Err(error) = tell(counts, &cables) {
            eprintln!("counts cannot be written: {error}");
        }
        thread::sleep(LOOK.to_std());
    }
}

fn device(name: &str) -> Result<SyncDevice> {
    DeviceBuilder::new().name(name).layer(Layer::L2).build_sync().with_context(|| format!("make the device {name}"))
}

/// Takes over what the file says. One that is missing or half understood changes nothing.
fn hear(told: &Path, cables: &BTreeMap<String, Arc<Cable>>) {
    let Ok(text) = fs::read_to_string(told) else { return };
    match toml::from_str::<BTreeMap<String, Impairment>>(&text) {
        Ok(all) => {
            for (host, cable) in cables {
                *cable.impairment.write().unwrap_or_else(PoisonError::into_inner) = all.get(host).copied().unwrap_or_default();
            }
        }
        Err(error) => eprintln!("{}: {error}", told.display()),
    }
}

fn tell(counts: &Path, cables: &BTreeMap<String, Arc<Cable>>) -> Result<()> {
    let all: BTreeMap<&String, Counts> = cables.iter().map(|(host, cable)| (host, cable.counts())).collect();
    let next: PathBuf = counts.with_extension("next");
    fs::write(&next, serde_json::to_vec(&all)?)?;
    Ok(fs::rename(&next, counts)?)
}

// === impl Cable ===

impl Cable {
    fn counts(&self) -> Counts {
        let [passed, lost, delayed, doubled, overtaken] =
            [&self.passed, &self.lost, &self.delayed, &self.doubled, &self.overtaken].map(|count| count.load(Ordering::Relaxed));
        Counts { passed, lost, delayed, doubled, overtaken }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

// === impl Way ===

impl Way {
    fn start(cable: Arc<Cable>, from: Arc<SyncDevice>, to: Arc<SyncDevice>, seed: u64) -> Result<()> {
        let way = Arc::new(Way { cable, from, to, kept: Mutex::default(), came: Condvar::new() });
        let writer = way.clone();
        thread::Builder::new().name("read".into()).spawn(move || way.read(seed))?;
        thread::Builder::new().name("write".into()).spawn(move || writer.write())?;
        Ok(())
    }

    /// Reads frames for ever; those that are not kept back go on at once.
    fn read(&self, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut buffer = [0; FRAME_MAX];
        let (mut place, mut last) = (0, Time::ZERO);
        loop {
            let Ok(len) = self.from.recv(&mut buffer) else {
                // Down: the host is being made or taken away.
                thread::sleep(LOOK.to_std());
                continue;
            };
            let frame = &buffer[..len];
            let impairment = *self.cable.impairment.read().unwrap_or_else(PoisonError::into_inner);
            if impairment.is_none() && self.kept().is_empty() {
                count(&self.cable.passed);
                let _ = self.to.send(frame);
                continue;
            }
            match impairment.draw(&mut rng) {
                Fate::Lost => count(&self.cable.lost),
                Fate::Goes { after, times, overtaken } => {
                    let mut due = clock::now() + after;
                    if overtaken {
                        count(&self.cable.overtaken);
                    } else {
                        last = last.max(due);
                        due = last;
                    }
                    if after > Span::ZERO {
                        count(&self.cable.delayed);
                    }
                    if times > 1 {
                        count(&self.cable.doubled);
                    }
                    for _ in 0..times {
                        place += 1;
                        self.keep(due, place, frame);
                    }
                }
            }
        }
    }

    fn keep(&self, due: Time, place: u64, frame: &[u8]) {
        let mut kept = self.kept();
        if kept.len() < KEPT_MAX {
            kept.insert((due, place), frame.to_vec());
            self.came.notify_one();
        } else {
            count(&self.cable.lost);
        }
    }

    /// Writes frames when they are due, for ever.
    fn write(&self) {
        let mut kept = self.kept();
        loop {
            let wait = kept.first_key_value().map(|((due, _), _)| clock::now().until(*due));
            kept = match wait {
                None => self.came.wait(kept).unwrap_or_else(PoisonError::into_inner),
                Some(Span::ZERO) => {
                    let frame = kept.pop_first();
                    drop(kept);
                    if let Some((_, frame)) = frame {
                        count(&self.cable.passed);
                        // A device that is down takes nothing, as a cable that is not plugged in.
                        let _ = self.to.send(&frame);
                    }
                    self.kept()
                }
                Some(wait) => self.came.wait_timeout(kept, wait.to_std()).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<(Time, u64), Vec<u8>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! A full disk: a file takes all that is left on the small disk of a process. It may end for that, and is then started again.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::leadership::Leadership;
use super::{Fault, Felt, Hit};
use crate::system::Mesh;
use crate::system::select::{Choice, Selector};

/// Whose disk, and how large all disks are.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    pub(super) target: Selector,
    /// As `mount` takes it.
    #[serde(default = "size")]
    pub(super) size: String,
}

pub(super) struct DiskFull {
    spec: Spec,
    names: Vec<String>,
    fillers: Vec<PathBuf>,
    leadership: Leadership,
    logs: Vec<u64>,
    complained: usize,
    ended: usize,
    written: u64,
}

/// What the kernel says of a full disk, as daemons log it.
const FULL: &str = "No space left on device";

fn size() -> String {
    "64m".into()
}

// === impl DiskFull ===

impl DiskFull {
    pub(super) fn new(spec: &Spec) -> Self {
        DiskFull {
            spec: spec.clone(),
            names: Vec::new(),
            fillers: Vec::new(),
            leadership: Leadership::default(),
            logs: Vec::new(),
            complained: 0,
            ended: 0,
            written: 0,
        }
    }

    /// Takes whatever is left, also what was freed since.
    fn fill(&mut self) -> Result<()> {
        for filler in &self.fillers {
            let mut file = File::options().create(true).append(true).open(filler).with_context(|| filler.display().to_string())?;
            for piece in [&[0; 1 << 16][..], &[0; 1]] {
                loop {
                    match file.write(piece) {
                        Ok(len) => self.written += len as u64,
                        Err(error) if error.kind() == ErrorKind::StorageFull => break,
                        Err(error) => return Err(error).with_context(|| filler.display().to_string()),
                    }
                }
            }
        }
        Ok(())
    }
}

impl Fault for DiskFull {
    fn aim(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.names = mesh.select(&self.spec.target, &mut Choice::default())?;
        self.leadership = Leadership::note(mesh, &self.names);
        Ok(())
    }

    fn start(&mut self, mesh: &mut Mesh) -> Result<()> {
        for name in &self.names {
            let process = mesh.process(name)?;
            process.may_die = true;
            self.logs.push(process.log_len());
            match &process.data {
                Some(data) => self.fillers.push(data.join("filler")),
                None => bail!("{name} keeps nothing on disk"),
            }
        }
        self.leadership.begin(mesh);
        self.fill()
    }

    fn tick(&mut self, _mesh: &mut Mesh) -> Result<()> {
        self.fill()
    }

    fn heal(&mut self, mesh: &mut Mesh) -> Result<()> {
        self.fillers.iter().try_for_each(|filler| fs::remove_file(filler).with_context(|| filler.display().to_string()))?;
        for (name, from) in self.names.iter().zip(&self.logs) {
            self.complained += usize::from(mesh.process(name)?.log_since(*from).contains(FULL));
            self.ended += usize::from(mesh.process(name)?.has_stopped());
            mesh.start_process(name)?;
        }
        Ok(())
    }

    fn felt(&mut self, _mesh: &mut Mesh) -> Result<Felt> {
        let (bytes, all) = (self.written, self.names.len());
        let evidence = format!(
            "{bytes} bytes fill the disk; {} of {all} found it full, {} ended. {}",
            self.complained,
            self.ended,
            self.leadership.told()
        );
        // Whoever ended without a word of it may have ended for something else.
        Ok(Felt::when(self.complained > 0, evidence))
    }

    fn hits(&self) -> Vec<Hit> {
        Hit::of(&self.names)
    }
}

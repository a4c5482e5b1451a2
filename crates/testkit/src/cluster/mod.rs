//! A whole mesh as `dynomesh dev` runs it, with sample dynos beside it.
//!
//! The mesh is a child process with children of its own, known by its ready file and spoken to by the command line. The dynos are
//! started by the test and added as a user adds them, so that their journals are the test's own. Nothing is left behind when a
//! [`Cluster`] is dropped; when it is dropped because a test failed, its directory stays and the ends of all logs are printed.

mod app;
mod command;
pub mod process;
mod ready;
mod turn;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use dynomesh_core::time::Span;
use tempfile::TempDir;

pub use command::{Ran, binary, run};
pub use ready::{Control, Dyno, Edge, Ready, Replica};

use crate::clock;
use crate::dyno::SampleDyno;
use crate::wait;
use turn::Turn;

/// How long a mesh may take to be ready. Twelve times what is promised: tests share their machine.
pub const READY_MAX: Span = Span::from_secs(60);
/// How long it may take to stop.
pub const STOP_MAX: Span = Span::from_secs(30);
/// How long an elected leader, an added dyno or a freed slot may take to be seen.
pub const SETTLE_MAX: Span = Span::from_secs(30);
/// The app that tests add dynos to.
pub const APP: &str = "shop";
/// Its host.
pub const HOST: &str = "shop.test";

/// What a mesh consists of.
#[derive(Debug, Clone)]
pub struct Options {
    /// Edges.
    pub edges: u16,
    /// Blocks.
    pub blocks: u16,
    /// Replicas of each.
    pub replicas: u16,
    /// Replicas of the control plane.
    pub control: u16,
    /// Dynos of `dev` itself, for the tests of `dev`; those whose journals are wanted are added by [`Cluster::add_dynos`].
    pub dynos: u16,
    /// More arguments of `dynomesh dev`.
    pub args: Vec<String>,
    /// Environment of every process.
    pub env: Vec<(String, String)>,
}

/// A running mesh.
#[derive(Debug)]
pub struct Cluster {
    dynos: Vec<SampleDyno>,
    retired: Vec<SampleDyno>,
    added: usize,
    dev: Option<Child>,
    options: Options,
    binary: PathBuf,
    dir: Option<TempDir>,
    last: Mutex<Option<Ready>>,
    frozen: Mutex<BTreeSet<u32>>,
    // Given back last, when everything of this mesh is gone.
    _turn: Turn,
}

impl Default for Options {
    fn default() -> Self {
        Options { edges: 2, blocks: 2, replicas: 3, control: 1, dynos: 0, args: Vec::new(), env: Vec::new() }
    }
}

impl Options {
    /// With one more argument of `dynomesh dev`.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.into());
        self
    }

    /// With an environment variable for every process.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
}

// === impl Cluster: its life ===

impl Cluster {
    /// Waits for its turn on this machine, starts an empty mesh and waits until it is ready.
    pub fn start(options: Options) -> Self {
        let binary = binary();
        let turn = Turn::wait();
        let dir = tempfile::Builder::new().prefix("dynomesh-test-").tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("dynos")).expect("an empty directory takes another");
        let (last, frozen) = (Mutex::new(None), Mutex::default());
        let mut cluster = Cluster {
            dynos: Vec::new(),
            retired: Vec::new(),
            added: 0,
            dev: None,
            options,
            binary,
            dir: Some(dir),
            last,
            frozen,
            _turn: turn,
        };
        cluster.boot();
        cluster
    }

    /// Starts a mesh with the app [`APP`] and so many sample dynos of one request each, and waits until it routes to all of them.
    pub fn with_dynos(options: Options, dynos: usize) -> Self {
        let mut cluster = Self::start(options);
        cluster.create_app(&["--serial", "yes"]);
        cluster.add_dynos(dynos, 1);
        cluster
    }

    /// Asks the mesh to stop and waits until it has; returns the processes that are left of it, which should be none.
    pub fn stop(&mut self) -> Vec<u32> {
        let pids = self.pids();
        let Some(mut dev) = self.dev.take() else { return Vec::new() };
        process::terminate(dev.id());
        wait::until("the mesh stops", STOP_MAX, || dev.try_wait().expect("the child is ours to wait for"));
        pids.into_iter().filter(|pid| self.is_ours(*pid)).collect()
    }

    /// Kills `dev` and every process of the mesh at once, as a power cut would: also the one that tidies up behind a killed `dev`.
    pub fn cut_power(&mut self) {
        if let Some(mut dev) = self.dev.take() {
            // First, lest it starts a process again.
            dev.kill().and_then(|()| dev.wait()).expect("the child is ours to kill");
        }
        let dir = self.path("");
        let dynos: Vec<u32> = self.dynos.iter().map(SampleDyno::pid).collect();
        wait::until("every process is gone", STOP_MAX, || {
            let left: Vec<u32> = process::naming(&dir).into_iter().filter(|pid| !dynos.contains(pid) && self.is_ours(*pid)).collect();
            left.iter().for_each(|pid| process::kill(*pid));
            left.is_empty().then_some(())
        });
    }

    /// Kills `dev` alone and returns what it had started.
    pub fn kill_dev(&mut self) -> Vec<u32> {
        let pids = self.pids();
        if let Some(mut dev) = self.dev.take() {
            dev.kill().and_then(|()| dev.wait()).expect("the child is ours to kill");
        }
        pids
    }

    /// Starts the mesh again on the state it left, with more environment for every process.
    pub fn start_again(&mut self, env: &[(&str, &str)]) {
        self.options.env.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        assert!(self.dev.is_none(), "the mesh still runs");
        let _ = fs::remove_file(self.ready_path());
        self.boot();
    }

    /// Starts one process of the mesh by hand, by the file that `dev` wrote for it and with more environment. It ends with the test, or when
    /// it is killed.
    pub fn start_process(&self, kind: &str, name: &str, env: &[(&str, &str)]) -> Child {
        let log = File::options().create(true).append(true).open(self.path("by-hand.log")).expect("the log can be written");
        let mut command = Command::new(&self.binary);
        command.args([kind, "--config"]).arg(self.path("data").join("config").join(format!("{name}.toml")));
        command.env("DYNOMESH_PARENT", std::process::id().to_string()).envs(self.options.env.iter().cloned()).envs(env.iter().copied());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file can be shared")).stderr(log);
        command.spawn().unwrap_or_else(|error| panic!("start {}: {error}", self.binary.display()))
    }

    fn boot(&mut self) {
        let Options { edges, blocks, replicas, control, dynos, args, env } = &self.options;
        let counts = [("--edges", edges), ("--blocks", blocks), ("--replicas", replicas), ("--control", control), ("--dynos", dynos)];
        let log = File::options().create(true).append(true).open(self.path("dev.log")).expect("the log can be written");
        let mut command = Command::new(&self.binary);
        command.arg("dev").args(counts.iter().flat_map(|(name, count)| [(*name).to_owned(), count.to_string()]));
        command.args(["--port", "0", "--data-dir"]).arg(self.path("data"));
        command.arg("--ready-file").arg(self.ready_path()).args(args).envs(env.iter().cloned());
        command.env("DYNOMESH_PARENT", std::process::id().to_string()).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a file can be shared")).stderr(log);
        let dev = command.spawn().unwrap_or_else(|error| panic!("start {}: {error}", self.binary.display()));
        self.dev = Some(dev);
        wait::until("the mesh is ready", READY_MAX, || {
            let dev = self.dev.as_mut().expect("it was started above");
            let ended = dev.try_wait().expect("the child is ours to wait for");
            assert!(ended.is_none(), "dynomesh dev ended at its start: {}", process::tail(&self.path("dev.log")));
            self.look().filter(Ready::is_led)
        });
    }
}

// === impl Cluster: what runs ===

impl Cluster {
    /// What runs now, by the ready file.
    #[track_caller]
    pub fn ready(&self) -> Ready {
        wait::until("the ready file can be read", SETTLE_MAX, || self.look())
    }

    /// The leader of a block; waits for one if there is none.
    #[track_caller]
    pub fn leader(&self, block: &str) -> Replica {
        wait::until(&format!("{block} has a leader"), SETTLE_MAX, || self.look()?.leader(block).cloned())
    }

    /// The leader of a block once it is another process than `pid`.
    #[track_caller]
    pub fn leader_after(&self, block: &str, pid: u32) -> Replica {
        let other = || self.look()?.leader(block).filter(|leader| leader.pid != pid).cloned();
        wait::until(&format!("{block} has another leader than {pid}"), SETTLE_MAX, other)
    }

    /// The replicas of a block that do not lead it.
    pub fn followers(&self, block: &str) -> Vec<Replica> {
        let leader = self.leader(block);
        self.replicas(block).into_iter().filter(|replica| replica.pid != leader.pid).collect()
    }

    /// All replicas of a block.
    pub fn replicas(&self, block: &str) -> Vec<Replica> {
        self.ready().blocks.get(block).cloned().unwrap_or_else(|| panic!("there is no block {block}"))
    }

    /// Freezes a process.
    pub fn freeze(&self, pid: u32) {
        self.frozen().insert(pid);
        process::freeze(pid);
        wait::until("a signalled process is frozen", SETTLE_MAX, || (process::is_frozen(pid) || !process::is_alive(pid)).then_some(()));
    }

    /// Lets a frozen process go on.
    pub fn thaw(&self, pid: u32) {
        process::thaw(pid);
        self.frozen().remove(&pid);
    }

    /// Where a file of this mesh lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.as_ref().expect("the directory lives as long as the cluster").path().join(name)
    }

    /// The binary under test.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Whether a process of the binary under test has this pid.
    pub fn is_ours(&self, pid: u32) -> bool {
        let name = self.binary.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        process::is_alive(pid) && process::is_called(pid, &name)
    }

    fn pids(&self) -> Vec<u32> {
        // While the mesh stops or starts the file may be gone; then the last word counts.
        self.look();
        self.last().as_ref().map(Ready::pids).unwrap_or_default()
    }

    fn look(&self) -> Option<Ready> {
        let text = fs::read(self.ready_path()).ok()?;
        let ready: Ready = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("the ready file is not as documented: {error}"));
        *self.last() = Some(ready.clone());
        Some(ready)
    }

    fn ready_path(&self) -> PathBuf {
        self.path("ready.json")
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<Ready>> {
        self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn frozen(&self) -> std::sync::MutexGuard<'_, BTreeSet<u32>> {
        self.frozen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        let pids = self.pids();
        let frozen = std::mem::take(&mut *self.frozen());
        frozen.into_iter().filter(|pid| self.is_ours(*pid)).for_each(process::thaw);
        if let Some(mut dev) = self.dev.take() {
            process::terminate(dev.id());
            let deadline = clock::now() + STOP_MAX;
            while clock::now() < deadline && matches!(dev.try_wait(), Ok(None)) {
                wait::pass(Span::from_millis(10));
            }
            // Done already, if it stopped in time.
            let _ = dev.kill();
            let _ = dev.wait();
        }
        pids.into_iter().filter(|pid| self.is_ours(*pid)).for_each(process::kill);
        self.dynos.clear();
        if let Some(dir) = self.dir.take().filter(|_| failed) {
            let dir = dir.keep();
            eprintln!("=== the test failed; everything of its mesh is in {}", dir.display());
            logs(&dir).iter().for_each(|log| eprintln!("--- end of {}\n{}", log.display(), process::tail(log)));
        }
    }
}

/// What the processes said: the logs of `dev`, of the mesh and of the dynos. Raft logs end in `.log` too and are not for reading.
fn logs(dir: &Path) -> Vec<PathBuf> {
    let entries = ["", "data/log", "dynos"].into_iter().flat_map(|place| fs::read_dir(dir.join(place))).flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|kind| kind == "log")).collect();
    found.sort();
    found
}

//! A configuration and the files it was made of.
//!
//! The files are looked at once a second: modification time, place and size, with links followed, so that a secret which is swapped by a
//! link is seen too. What has changed is read once it has been the same for two looks: a certificate and its key are replaced one after
//! the other, and what lies between belongs to nobody. It is used when all of it is good; else the old one stays, and that is said once.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use dynomesh_core::time::Span;
use tokio::time::{MissedTickBehavior, interval};

use super::error::TlsError;
use super::files::unix_now;
use super::metrics::Counts;

/// Time between two looks at the files.
pub const LOOK: Span = Span::from_secs(1);

/// Files that are looked at; see [`watch`].
#[derive(Debug, Clone)]
pub struct Files(Arc<dyn Look>);

/// What was made of files.
#[derive(Debug)]
pub(super) struct Made<C> {
    pub(super) config: C,
    /// The earliest end of a certificate, in seconds since 1970.
    pub(super) not_after: i64,
}

/// A configuration, its files, and how it is made of them.
pub(super) struct Kept<C> {
    config: ArcSwap<C>,
    recipe: Recipe<C>,
    paths: Vec<PathBuf>,
    looks: Mutex<Looks>,
    pub(super) counts: Counts,
}

type Recipe<C> = Box<dyn Fn() -> Result<Made<C>, TlsError> + Send + Sync>;

#[derive(Debug)]
struct Looks {
    /// As they were when they were read last.
    read: Vec<Stamp>,
    /// As they were at the last look.
    seen: Vec<Stamp>,
    not_after: i64,
}

/// What changes when a file does; nothing for one that is not there.
type Stamp = Option<(i64, i64, u64, u64, u64)>;

trait Look: std::fmt::Debug + Send + Sync {
    fn look(&self);
}

/// Looks at files for ever and makes again what was made of them when they change.
pub async fn watch(files: Vec<Files>) {
    if files.is_empty() {
        return;
    }
    let mut looks = interval(LOOK.to_std());
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let files = files.clone();
        // A file may lie on a disk that does not answer.
        let look = move || files.iter().for_each(|files| files.0.look());
        if tokio::task::spawn_blocking(look).await.is_err() {
            tracing::error!("looking at TLS files failed; they are looked at again");
        }
    }
}

// === impl Files ===

impl Files {
    pub(super) fn of<C: Send + Sync + 'static>(kept: &Arc<Kept<C>>) -> Self {
        Files(kept.clone())
    }

    /// One look; [`watch`] is made of these.
    #[cfg(test)]
    pub(super) fn look(&self) {
        self.0.look();
    }
}

// === impl Kept ===

impl<C> Kept<C> {
    /// Makes the configuration for the first time.
    pub(super) fn new(paths: Vec<PathBuf>, counts: Counts, recipe: Recipe<C>) -> Result<Arc<Self>, TlsError> {
        // Before they are read: a change in between is then seen as one.
        let stamps = stamps(&paths);
        let Made { config, not_after } = recipe()?;
        let looks = Looks { read: stamps.clone(), seen: stamps, not_after };
        counts.expires_in(not_after, unix_now());
        Ok(Arc::new(Kept { config: ArcSwap::from_pointee(config), recipe, paths, looks: Mutex::new(looks), counts }))
    }

    /// The one to use for a new connection.
    pub(super) fn get(&self) -> Arc<C> {
        self.config.load_full()
    }
}

impl<C: Send + Sync> Look for Kept<C> {
    fn look(&self) {
        let stamps = stamps(&self.paths);
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let settled = stamps == looks.seen;
        looks.seen.clone_from(&stamps);
        if settled && stamps != looks.read {
            looks.read = stamps;
            let files = self.paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
            match (self.recipe)() {
                Ok(made) => {
                    self.config.store(Arc::new(made.config));
                    self.counts.reloads.inc();
                    looks.not_after = made.not_after;
                    tracing::info!(?files, "TLS files changed: new connections use them");
                }
                Err(error) => {
                    self.counts.reload_failures.inc();
                    tracing::warn!(%error, ?files, "TLS files changed but cannot be used: what was read before stays in use");
                }
            }
        }
        self.counts.expires_in(looks.not_after, unix_now());
    }
}

impl<C> std::fmt::Debug for Kept<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Kept").field(&self.paths).finish()
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    paths.iter().map(|path| stamp(path)).collect()
}

fn stamp(path: &Path) -> Stamp {
    let meta = fs::metadata(path).ok()?;
    Some((meta.mtime(), meta.mtime_nsec(), meta.dev(), meta.ino(), meta.len()))
}

//! Changes of the directory as a stream.
//!
//! Each stream reads the log of events as this replica has applied it, so that every replica tells the same under the same numbers, and a
//! follower may resume at another one. A stream holds a few events at a time; a reader that is slower than the log forgets is told so.

use dynomesh_core::directory::DirectoryState;
use dynomesh_core::directory::ask::EVENTS_MAX;
use dynomesh_proto::admin::v1 as wire;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::mpsc;
use tonic::Status;

use super::{Api, refusal};

/// Streams at once, over all connections.
pub(super) const WATCHES_MAX: usize = 64;
/// Events taken from the log at once, and most that wait for a slow reader.
const CHUNK: usize = 64;

/// Where a stream stands.
struct Cursor {
    /// Everything up to this number was told, or is about something else.
    after: u64,
    subject: String,
}

impl Api {
    /// Begins to tell.
    pub(super) async fn watch_events(
        &self,
        request: wire::WatchEventsRequest,
    ) -> Result<BoxStream<'static, Result<wire::Event, Status>>, Status> {
        let Ok(place) = self.watches.clone().try_acquire_owned() else {
            return Err(Status::resource_exhausted(format!(
                "{WATCHES_MAX} callers follow the events already; try again later, or list them"
            )));
        };
        let mut cursor = Cursor { after: request.after, subject: request.subject };
        if cursor.after == 0 {
            cursor.after = self.read(oldest).await?;
        }
        // So that what is forgotten is told at once, not as the stream's first word.
        self.read(|state| state.events_after(cursor.after).map(|_| ())).await?.ok_or_else(|| forgotten(cursor.after))?;
        let (told, telling) = mpsc::channel(CHUNK);
        let api = self.clone();
        self.runtime.spawn(async move {
            if let Err(status) = api.tell(cursor, request.end, &told).await {
                let _ = told.send(Err(status)).await;
            }
            drop(place);
        });
        Ok(stream::unfold(telling, |mut telling| async { telling.recv().await.map(|next| (next, telling)) }).boxed())
    }

    /// Tells until the end, the reader leaves, or the process stops.
    async fn tell(&self, mut cursor: Cursor, end: bool, told: &mpsc::Sender<Result<wire::Event, Status>>) -> Result<(), Status> {
        let mut changes = self.directory.changes();
        loop {
            changes.mark_unchanged();
            let (events, more) = self.directory.read(|state| cursor.next(state))?;
            for event in events {
                tokio::select! {
                    sent = told.send(Ok(event)) => if sent.is_err() { return Ok(()) },
                    () = self.stopping.wait() => return Err(refusal::resume(cursor.after)),
                }
            }
            if more {
                continue;
            }
            if end {
                return Ok(());
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return Err(refusal::resume(cursor.after)) },
                () = self.stopping.wait() => return Err(refusal::resume(cursor.after)),
                () = told.closed() => return Ok(()),
            }
        }
    }
}

impl Cursor {
    /// The next few events, and whether there may be more.
    fn next(&mut self, state: &DirectoryState) -> Result<(Vec<wire::Event>, bool), Status> {
        let events: Vec<_> = state.events_after(self.after).ok_or_else(|| forgotten(self.after))?.take(CHUNK).collect();
        let more = events.len() == CHUNK;
        self.after = events.last().map_or(self.after, |last| last.seq);
        let events = events.into_iter().filter(|event| self.concerns(&event.subject)).map(|event| wire::Event {
            seq: event.seq,
            at_ms: event.at_ms,
            caller: event.caller.clone(),
            verb: event.verb.clone(),
            subject: event.subject.clone(),
            version: event.version,
            detail: event.detail.clone(),
        });
        Ok((events.collect(), more))
    }

    fn concerns(&self, subject: &str) -> bool {
        let rest = subject.strip_prefix(self.subject.as_str());
        self.subject.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// The number before the first event that is remembered.
fn oldest(state: &DirectoryState) -> u64 {
    state.last_event().saturating_sub(EVENTS_MAX as u64)
}

fn forgotten(after: u64) -> Status {
    Status::out_of_range(format!(
        "after: events after {after} are forgotten, for only the last {EVENTS_MAX} are remembered; begin anew with 0 and read what stands now"
    ))
}

#[cfg(test)]
mod tests {
    use dynomesh_core::directory::{Command, MeshSettings};
    use dynomesh_core::id::Index;

    use super::*;

    fn directory(changes: usize) -> DirectoryState {
        let mut state = DirectoryState::new(0);
        for nth in 0..changes {
            let settings = MeshSettings { group: 1 + u32::try_from(nth % 2).unwrap(), ..MeshSettings::default() };
            state.apply(Index(nth as u64 + 1), Command::SetSettings { settings });
        }
        state
    }

    #[test]
    fn a_reader_goes_through_all_that_is_remembered_and_hears_what_is_not() {
        let state = directory(EVENTS_MAX + 10);
        let mut cursor = Cursor { after: oldest(&state), subject: String::new() };
        let mut seen = Vec::new();
        loop {
            let (events, more) = cursor.next(&state).unwrap();
            seen.extend(events.into_iter().map(|event| event.seq));
            if !more {
                break;
            }
        }
        assert_eq!(seen, (11..=EVENTS_MAX as u64 + 10).collect::<Vec<u64>>());
        let status = Cursor { after: 9, subject: String::new() }.next(&state).unwrap_err();
        assert_eq!(status.code(), tonic::Code::OutOfRange);
        assert_eq!(oldest(&directory(3)), 0);
    }

    #[test]
    fn a_subject_is_whole_or_a_path_above() {
        let of = |wanted: &str, subject: &str| Cursor { after: 0, subject: wanted.into() }.concerns(subject);
        assert!(of("", "dyno/a") && of("dyno", "dyno/a") && of("dyno/a", "dyno/a"));
        assert!(!of("dyno/a", "dyno/ab") && !of("app", "dyno/a"));
    }
}

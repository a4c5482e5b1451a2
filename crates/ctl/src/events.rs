//! `dynomesh events`: who changed what, as it comes.
//!
//! An event has a number without gaps, so a stream that breaks is opened again after the last number seen, at whichever control replica
//! answers: nothing is missed and nothing is told twice.

use std::time::Duration;

use dynomesh_proto::admin::v1 as wire;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::Session;
use crate::error::CliError;

/// Pause before a broken stream is opened again.
const PAUSE: Duration = Duration::from_millis(300);

/// Which events to show.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  dynomesh events --follow\n  dynomesh events --subject dyno/d1\n  dynomesh events --after 4711 -o json"
)]
pub struct EventsArgs {
    /// Go on with new events as they come, until interrupted
    #[arg(short, long)]
    pub follow: bool,
    /// Only events after this number, which every event tells; 0: all that are remembered
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub after: u64,
    /// Only events about this subject or what is below it, for example dyno/d1, dyno or block/b1
    #[arg(long)]
    pub subject: Option<String>,
}

#[derive(Serialize)]
struct EventRow {
    seq: u64,
    at_ms: u64,
    at: String,
    caller: String,
    verb: String,
    subject: String,
    version: u64,
    detail: String,
}

impl From<wire::Event> for EventRow {
    fn from(event: wire::Event) -> Self {
        let wire::Event { seq, at_ms, caller, verb, subject, version, detail } = event;
        EventRow { at: utc(at_ms), seq, at_ms, caller, verb, subject, version, detail }
    }
}

impl EventRow {
    fn text(&self) -> String {
        let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let version = if self.version == 0 { "-".into() } else { self.version.to_string() };
        let [at, caller, verb, subject] = [&self.at, &self.caller, &self.verb, &self.subject].map(|text| or_dash(text));
        format!("{:<6}  {at:<20}  {caller:<12}  {verb:<16}  {subject:<16}  {version:<8}  {}", self.seq, self.detail)
    }
}

pub(crate) async fn perform(args: EventsArgs, session: &Session) -> Result<(), CliError> {
    let mut request = wire::WatchEventsRequest { after: args.after, end: !args.follow, subject: args.subject.unwrap_or_default() };
    let patience = session.client.patience();
    let mut give_up = Instant::now() + patience;
    loop {
        let before = request.after;
        let Some(error) = one_stream(&mut request, session).await? else { return Ok(()) };
        if request.after > before {
            give_up = Instant::now() + patience;
        }
        // A stream that never stood more likely has a wrong address.
        if Instant::now() >= give_up || (matches!(error, CliError::Unreachable { .. }) && request.after == args.after) {
            return Err(error);
        }
        eprintln!("{error}; going on after event {}", request.after);
        sleep(PAUSE).await;
    }
}

/// Tells the events of one stream and moves the request on; why the stream broke, or nothing if it is complete.
async fn one_stream(request: &mut wire::WatchEventsRequest, session: &Session) -> Result<Option<CliError>, CliError> {
    let passing = |error| match error {
        error @ (CliError::Unreachable { .. } | CliError::Unavailable { .. }) => Ok(Some(error)),
        error => Err(error),
    };
    let mut events = match session.client.watch(request).await {
        Ok(events) => events,
        Err(error) => return passing(error),
    };
    loop {
        match events.message().await {
            Ok(Some(event)) => {
                let row = EventRow::from(event);
                session.output.line(&row, &row.text())?;
                request.after = row.seq;
            }
            Ok(None) if request.end => return Ok(None),
            Ok(None) => return passing(session.client.ended()),
            // Whatever the reason: this was an admin API a moment ago.
            Err(status) => {
                return passing(match session.client.broken(&status) {
                    CliError::NotAdmin { admin, reason } => CliError::Unavailable { admin, reason, key: None },
                    error => error,
                });
            }
        }
    }
}

/// Milliseconds of Unix time as a date and time in UTC; nothing for 0.
pub(crate) fn utc(at_ms: u64) -> String {
    if at_ms == 0 {
        return String::new();
    }
    let (days, seconds) = (at_ms / 86_400_000, at_ms / 1000 % 86_400);
    // Days are counted in years that begin in March, so that a leap day is the last of its year; 719,468 of them lie before 1970.
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

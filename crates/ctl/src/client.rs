//! How the admin API is asked: at which of several addresses, how often again, for how long.
//!
//! An address where nobody listens is left for the next at once; when nobody listens at any, the command ends at once too, since that
//! is more often a wrong address than a passing outage. A replica that answers "not now" is asked again, with the others, until the
//! time is up: reads are harmless and a write carries a key under which its repeat has no second effect.

use std::cell::Cell;
use std::time::Duration;

use dynomesh_proto::MESSAGE_LEN_MAX;
use dynomesh_proto::admin::v1 as wire;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Streaming};

use crate::address::{places, token};
use crate::calls::{Api, Call, Paged, Write};
use crate::error::CliError;
use crate::options::{CALL_DEFAULT, Global, WriteArgs};

/// Pause before all addresses are asked once more, at first and at most; it doubles in between.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A client that turns every failure into a sentence.
pub(crate) struct Client {
    links: Vec<Link>,
    /// The link that answered last.
    at: Cell<usize>,
    token: Option<MetadataValue<Ascii>>,
    limit: Duration,
}

struct Link {
    name: String,
    channel: Channel,
}

impl Client {
    /// Reads the options and opens nothing yet.
    pub(crate) fn new(global: &Global) -> Result<Client, CliError> {
        let token = token(global)?;
        let links = places(global)?.into_iter().map(|place| Link { channel: place.endpoint.connect_lazy(), name: place.name }).collect();
        Ok(Client { links, at: Cell::new(0), token, limit: global.timeout.unwrap_or(CALL_DEFAULT).to_std() })
    }

    /// Asks until somebody answers or the time is up.
    pub(crate) async fn read<C: Call>(&self, request: C) -> Result<C::Answer, CliError> {
        let end = Instant::now() + self.limit;
        let mut pause = PAUSE_MIN;
        loop {
            let error = match self.round(&request, end).await {
                Err(error @ CliError::Unavailable { .. }) => error,
                result => return result,
            };
            if Instant::now() + pause >= end {
                return Err(error);
            }
            if pause == PAUSE_MIN {
                eprintln!("{error}; trying again");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Asks each address once, for as long as a part of the time: for whoever asks again anyway.
    pub(crate) async fn look<C: Call>(&self, request: C) -> Result<C::Answer, CliError> {
        self.round(&request, Instant::now() + self.limit.min(CALL_DEFAULT.to_std())).await
    }

    /// Sends a write, the same one under the same key each time.
    pub(crate) async fn write<C: Write>(&self, mut request: C, args: &WriteArgs) -> Result<C::Answer, CliError> {
        let options = args.wire();
        let key = options.idempotency_key.clone();
        request.set_options(options);
        self.read(request).await.map_err(|error| error.under(key))
    }

    /// All pages of a list.
    pub(crate) async fn list<C: Paged>(&self, request: C) -> Result<Vec<C::Item>, CliError> {
        let mut all = Vec::new();
        let mut page = request.clone();
        loop {
            let (items, next) = C::split(self.read(page).await?);
            all.extend(items);
            if next.is_empty() {
                return Ok(all);
            }
            page = request.clone();
            page.set_page(next);
        }
    }

    /// The one of a list that passes, if it is listed; for whoever asks again anyway.
    pub(crate) async fn find<C: Paged>(&self, request: C, passes: impl Fn(&C::Item) -> bool) -> Result<Option<C::Item>, CliError> {
        let mut page = request.clone();
        loop {
            let (items, next) = C::split(self.look(page).await?);
            if let Some(item) = items.into_iter().find(&passes) {
                return Ok(Some(item));
            }
            if next.is_empty() {
                return Ok(None);
            }
            page = request.clone();
            page.set_page(next);
        }
    }

    /// How long to bear with a control plane that does not answer.
    pub(crate) fn patience(&self) -> Duration {
        self.limit
    }

    /// A stream of events, from whichever address opens one.
    pub(crate) async fn watch(&self, request: &wire::WatchEventsRequest) -> Result<Streaming<wire::Event>, CliError> {
        let mut last = None;
        for _ in 0..self.links.len() {
            let link = self.link();
            let opened = tokio::time::timeout(self.limit, self.api(link).watch_events(self.request(request.clone()))).await;
            let error = match opened {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => CliError::from_status(&link.name, &status),
                Err(_) => CliError::Unavailable { admin: link.name.clone(), reason: "it does not answer".into(), key: None },
            };
            last = Some(self.elsewhere(last, error)?);
        }
        Err(last.expect("there is at least one address"))
    }

    /// What a broken stream means; the next one is asked of another replica.
    pub(crate) fn broken(&self, status: &tonic::Status) -> CliError {
        let error = CliError::from_status(&self.link().name, status);
        self.at.set((self.at.get() + 1) % self.links.len());
        error
    }

    /// What the end of a stream means that was to go on.
    pub(crate) fn ended(&self) -> CliError {
        self.broken(&tonic::Status::unavailable("it ended the stream"))
    }

    /// Asks each address once, beginning with the one that answered last.
    async fn round<C: Call>(&self, request: &C, end: Instant) -> Result<C::Answer, CliError> {
        let mut last = None;
        for left in (1..=self.links.len()).rev() {
            let link = self.link();
            let mut asked = self.request(request.clone());
            // A frozen replica takes only its share of the time from the others.
            let share = end.saturating_duration_since(Instant::now()) / u32::try_from(left).unwrap_or(1);
            asked.set_timeout(share.max(PAUSE_MIN));
            let error = match C::send(&mut self.api(link), asked).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => CliError::from_status(&link.name, &status),
            };
            last = Some(self.elsewhere(last, error)?);
        }
        Err(last.expect("there is at least one address"))
    }

    /// Turns to the next address after a failure that another replica may not have; of two failures the one that says more is kept.
    fn elsewhere(&self, before: Option<CliError>, error: CliError) -> Result<CliError, CliError> {
        self.at.set((self.at.get() + 1) % self.links.len());
        match (before, error) {
            (Some(before @ CliError::Unavailable { .. }), CliError::Unreachable { .. }) => Ok(before),
            (_, error @ CliError::Unavailable { .. }) => Ok(error),
            (_, CliError::Unreachable { reason, .. }) => Ok(CliError::Unreachable { admin: self.names(), reason }),
            (_, error) => Err(error),
        }
    }

    fn link(&self) -> &Link {
        &self.links[self.at.get()]
    }

    fn names(&self) -> String {
        self.links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn api(&self, link: &Link) -> Api {
        Api::new(link.channel.clone()).max_decoding_message_size(MESSAGE_LEN_MAX)
    }

    fn request<R>(&self, body: R) -> Request<R> {
        let mut request = Request::new(body);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", token.clone());
        }
        request
    }
}

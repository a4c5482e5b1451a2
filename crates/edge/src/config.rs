//! What an edge is told at start: the file as written, and the same checked and typed.
//!
//! Relations between settings are checked here, once; the rest of the crate trusts them.

use std::net::SocketAddr;
use std::path::PathBuf;

use dynomesh_core::dispatch::retry::RetryLimits;
use dynomesh_core::dispatch::{BlockChoice, BudgetSettings};
use dynomesh_core::gossip::Interest;
use dynomesh_core::id::{NodeName, Zone};
use dynomesh_core::time::Span;
use dynomesh_runtime::config::ConfigError;
use dynomesh_runtime::gossip::{GossipConfig, GossipSection};
use dynomesh_runtime::http::serve::Http2Settings;
use dynomesh_runtime::tls::{TiersSection, TlsSection};
use dynomesh_runtime::workers::THREADS_MAX;
use serde::{Deserialize, Serialize};

use crate::access_log::Target;
use crate::beat::BeatSettings;
use crate::forward::Manner;

/// Largest replay buffer: it is memory per request in flight.
const REPLAY_BUFFER_MAX: usize = 16 << 20;
/// Largest and smallest limit of a request's head.
const HEAD_RANGE: std::ops::RangeInclusive<usize> = 8192..=1 << 20;

/// Requests at once on one connection.
const STREAMS_RANGE: std::ops::RangeInclusive<u32> = 1..=10_000;
/// Bytes of one request's body on their way or unread: a frame fits in, and many such bodies do into memory.
const WINDOW_RANGE: std::ops::RangeInclusive<u32> = 16 << 10..=16 << 20;
/// What every connection begins with (RFC 9113, section 6.9.2).
const CONNECTION_WINDOW_MIN: u32 = 65_535;
const CONNECTION_WINDOW_MAX: u32 = 256 << 20;
/// Frames without use within a second: what an ordinary client sends passes, and what the largest number costs is small.
const IDLE_FRAMES_RANGE: std::ops::RangeInclusive<u32> = 20..=100_000;

/// The configuration as written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// Name of this edge, unique in the mesh, for logs, gossip and `x-dynomesh-edge`: for example `edge-1`.
    pub name: NodeName,
    /// Where it runs.
    #[serde(default)]
    pub zone: Option<Zone>,
    /// Where clients connect to.
    pub listen: SocketAddr,
    /// Health, readiness and metrics.
    pub admin: SocketAddr,
    /// Threads that carry requests.
    #[serde(default = "one")]
    pub threads: usize,
    /// How a block is chosen among equals: `random`, `weighted` or `two`.
    #[serde(default)]
    pub block_choice: BlockChoice,
    /// Where the line per request goes: `stdout`, `off`, or the path of a file that is appended to.
    #[serde(default = "stdout")]
    pub access_log: String,
    /// Whether dynos are told of a request's way by `Forwarded` too (RFC 7239).
    #[serde(default)]
    pub forwarded: bool,
    /// Whether clients are proxies whose `X-Forwarded-Proto`, `-Port`, `-Host` and `X-Request-Start` count.
    #[serde(default)]
    pub trust_forwarded: bool,
    /// How facts travel.
    pub gossip: GossipSection,
    /// Limits of time and number.
    #[serde(default)]
    pub limits: Limits,
    /// HTTP/2.
    #[serde(default)]
    pub http2: Http2Section,
    /// What may be tried again.
    #[serde(default)]
    pub retry: RetrySettings,
    /// How silent replicas are found.
    #[serde(default)]
    pub beat: BeatSettings,
    /// TLS towards clients.
    #[serde(default)]
    pub tls: Option<TlsSection>,
    /// Mutual TLS towards blocks, which must have the same section.
    #[serde(default)]
    pub tiers: Option<TiersSection>,
}

/// Limits of an edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// From a request's head to the head of its answer, all waiting and retries included; then 504.
    pub deadline: Span,
    /// Longest silence within a request's body that is waited for; then 408.
    pub body_idle: Span,
    /// Longest silence within a response's body, of a client that reads it, and of both sides of a WebSocket.
    pub idle_stream: Span,
    /// Bytes of a request's body that are gathered before a block is asked, and up to which it can be sent again.
    pub replay_buffer: usize,
    /// Largest request head in bytes; a larger one is answered 431.
    pub head_max: usize,
    /// Longest time for a request's head to come.
    pub head_timeout: Span,
    /// Client connections per thread; more wait in the kernel.
    pub connections_max: usize,
    /// Time after which a client connection between two requests is closed.
    pub idle: Span,
    /// Longest wait for a connection to a block.
    pub connect_timeout: Span,
    /// Idle connections kept per replica and thread.
    pub pool_max: usize,
    /// Time that running requests get at a graceful stop.
    pub drain: Span,
}

/// How HTTP/2 is spoken with clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http2Section {
    /// Whether it is spoken at all.
    pub enabled: bool,
    /// Requests at once on one connection; more are refused by the client's own library, or with `REFUSED_STREAM`.
    pub streams_max: u32,
    /// Bytes of one request's body that may be on their way or unread.
    pub stream_window: u32,
    /// The same for all requests of a connection. At least `stream_window`.
    pub connection_window: u32,
    /// Frames within a second that carry nothing, such as `PING`; past it the connection is closed.
    pub idle_frames_max: u32,
}

/// What may be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetrySettings {
    /// Attempts at blocks per request, the first included.
    pub attempts: u32,
    /// Attempts at dynos per request, over all blocks.
    pub dyno_attempts: u32,
    /// Times a full block may send a request back before it must queue.
    pub spills: u32,
    /// Retries per hundred requests of an app.
    pub budget_percent: u32,
    /// Retries per second beyond those.
    pub budget_per_second: u32,
    /// How long a request waits while no block of its app has a leader. Its deadline may come first.
    pub patience: Span,
}

/// The configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// See [`FileConfig::name`].
    pub name: NodeName,
    /// See [`FileConfig::zone`].
    pub zone: Option<Zone>,
    /// Where clients connect to.
    pub listen: SocketAddr,
    /// Where operators connect to.
    pub admin: SocketAddr,
    /// Data threads.
    pub threads: usize,
    /// See [`FileConfig::block_choice`].
    pub block_choice: BlockChoice,
    /// See [`FileConfig::access_log`].
    pub(crate) access_log: Target,
    /// See [`FileConfig::forwarded`] and [`FileConfig::trust_forwarded`].
    pub(crate) manner: Manner,
    /// How facts travel.
    pub gossip: GossipConfig,
    /// See [`Limits`].
    pub limits: Limits,
    /// Limits of HTTP/2; `None` where it is not enabled.
    pub http2: Option<Http2Settings>,
    /// See [`RetrySettings`].
    pub retry: RetrySettings,
    /// See [`BeatSettings`].
    pub beat: BeatSettings,
    /// See [`TlsSection`].
    pub tls: Option<TlsSection>,
    /// See [`TiersSection`].
    pub tiers: Option<TiersSection>,
}

fn one() -> usize {
    1
}

fn stdout() -> String {
    "stdout".into()
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            deadline: Span::from_secs(60),
            body_idle: Span::from_secs(30),
            idle_stream: Span::from_secs(55),
            replay_buffer: 64 * 1024,
            head_max: 64 * 1024,
            head_timeout: Span::from_secs(10),
            connections_max: 10_000,
            idle: Span::from_secs(75),
            connect_timeout: Span::from_millis(250),
            pool_max: 256,
            drain: Span::from_secs(30),
        }
    }
}

impl Default for Http2Section {
    fn default() -> Self {
        let Http2Settings { streams_max, stream_window, connection_window, idle_frames_max } = Http2Settings::default();
        Http2Section { enabled: true, streams_max, stream_window, connection_window, idle_frames_max }
    }
}

impl Http2Section {
    /// What the listener is told.
    fn settings(&self) -> Option<Http2Settings> {
        let &Http2Section { enabled, streams_max, stream_window, connection_window, idle_frames_max } = self;
        enabled.then_some(Http2Settings { streams_max, stream_window, connection_window, idle_frames_max })
    }
}

impl Default for RetrySettings {
    fn default() -> Self {
        let (limits, budget) = (RetryLimits::default(), BudgetSettings::default());
        RetrySettings {
            attempts: limits.attempts,
            dyno_attempts: limits.dyno_attempts,
            spills: limits.spills,
            budget_percent: budget.percent,
            budget_per_second: budget.per_second,
            patience: Span::from_secs(5),
        }
    }
}

impl RetrySettings {
    /// The part that the retry rule knows.
    pub(crate) fn limits(&self) -> RetryLimits {
        RetryLimits { attempts: self.attempts, dyno_attempts: self.dyno_attempts, spills: self.spills }
    }

    /// The part that is the budget's.
    pub(crate) fn budget(&self) -> BudgetSettings {
        BudgetSettings { percent: self.budget_percent, per_second: self.budget_per_second }
    }
}

impl TryFrom<FileConfig> for Config {
    type Error = ConfigError;

    fn try_from(file: FileConfig) -> Result<Self, ConfigError> {
        let refuse = |key: &str, value: &dyn std::fmt::Display, allowed: &str| Err(ConfigError::setting(key, format!("{value} {allowed}")));
        let (limits, retry, beat) = (&file.limits, &file.retry, &file.beat);
        if !(1..=THREADS_MAX).contains(&file.threads) {
            return refuse("threads", &file.threads, "must be from 1 to 256");
        }
        if limits.deadline < Span::from_millis(10) {
            return refuse("limits.deadline", &limits.deadline, "must be at least 10ms");
        }
        if limits.connect_timeout == Span::ZERO || limits.connect_timeout > limits.deadline {
            return refuse(
                "limits.connect_timeout",
                &limits.connect_timeout,
                &format!("must be above zero and at most limits.deadline ({})", limits.deadline),
            );
        }
        if limits.replay_buffer > REPLAY_BUFFER_MAX {
            return refuse("limits.replay_buffer", &limits.replay_buffer, "must be at most 16777216");
        }
        if !HEAD_RANGE.contains(&limits.head_max) {
            return refuse("limits.head_max", &limits.head_max, "must be from 8192 to 1048576");
        }
        let spans = [
            ("body_idle", limits.body_idle),
            ("idle_stream", limits.idle_stream),
            ("head_timeout", limits.head_timeout),
            ("idle", limits.idle),
        ];
        for (key, span) in spans {
            if span < Span::from_millis(10) {
                return refuse(&format!("limits.{key}"), &span, "must be at least 10ms");
            }
        }
        if limits.connections_max == 0 {
            return refuse("limits.connections_max", &0, "must be at least 1");
        }
        let http2 = &file.http2;
        if !STREAMS_RANGE.contains(&http2.streams_max) {
            return refuse("http2.streams_max", &http2.streams_max, "must be from 1 to 10000");
        }
        if !WINDOW_RANGE.contains(&http2.stream_window) {
            return refuse("http2.stream_window", &http2.stream_window, "must be from 16384 to 16777216");
        }
        if http2.connection_window < http2.stream_window.max(CONNECTION_WINDOW_MIN) || http2.connection_window > CONNECTION_WINDOW_MAX {
            return refuse(
                "http2.connection_window",
                &http2.connection_window,
                &format!("must be at least http2.stream_window ({}) and 65535, and at most 268435456", http2.stream_window),
            );
        }
        if !IDLE_FRAMES_RANGE.contains(&http2.idle_frames_max) {
            return refuse("http2.idle_frames_max", &http2.idle_frames_max, "must be from 20 to 100000");
        }
        if !(1..=100).contains(&retry.attempts) {
            return refuse("retry.attempts", &retry.attempts, "must be from 1 to 100");
        }
        if beat.interval < Span::from_millis(5) || beat.missed == 0 {
            let key = if beat.missed == 0 { "beat.missed" } else { "beat.interval" };
            return refuse(key, &format!("{} x {}", beat.missed, beat.interval), "must be at least one missed beat of at least 5ms");
        }
        file.tls.as_ref().map_or(Ok(()), TlsSection::check)?;
        Ok(Config {
            access_log: match file.access_log.as_str() {
                "stdout" => Target::Stdout,
                "off" => Target::Off,
                "" => return refuse("access_log", &"\"\"", "must be 'stdout', 'off' or a path"),
                path => Target::File(PathBuf::from(path)),
            },
            manner: Manner { forwarded: file.forwarded, trusted: file.trust_forwarded },
            gossip: GossipConfig { wants: Interest::edge(), ..file.gossip.config(file.name.clone(), None) },
            name: file.name,
            zone: file.zone,
            listen: file.listen,
            admin: file.admin,
            threads: file.threads,
            block_choice: file.block_choice,
            limits: file.limits,
            http2: file.http2.settings(),
            retry: file.retry,
            beat: file.beat,
            tls: file.tls,
            tiers: file.tiers,
        })
    }
}

/// The settings that differ from their defaults, for the log at start.
pub(crate) fn told<T: Serialize + Default>(settings: &T) -> String {
    let (set, default) = (serde_json::to_value(settings), serde_json::to_value(T::default()));
    let (Ok(serde_json::Value::Object(set)), Ok(serde_json::Value::Object(default))) = (set, default) else { return String::new() };
    let changed = set.iter().filter(|(key, value)| default.get(*key) != Some(value));
    let changed: Vec<String> = changed.map(|(key, value)| format!("{key}={value}")).collect();
    if changed.is_empty() { "defaults".into() } else { changed.join(" ") }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::Path;

    use dynomesh_runtime::tls::MinVersion;

    use super::*;

    fn read(extra: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("edge.toml");
        let key = "ab".repeat(32);
        let text = format!(
            "name = \"edge-1\"\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n{extra}\n[gossip]\nlisten = \"127.0.0.1:0\"\nkey = \"{key}\"\n"
        );
        std::fs::write(&path, text).unwrap();
        load(Some(&path), &[])
    }

    fn load(path: Option<&Path>, env: &[(&str, &str)]) -> Result<Config, String> {
        let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let file: FileConfig = dynomesh_runtime::config::load_with(path, "DYNOMESH_EDGE_", env).map_err(|error| error.to_string())?;
        Config::try_from(file).map_err(|error| error.to_string())
    }

    #[test]
    fn the_shortest_file_gets_the_documented_defaults() {
        let config = read("").unwrap();
        assert_eq!(config.limits.deadline, Span::from_secs(60));
        assert_eq!((config.retry.attempts, config.retry.dyno_attempts, config.retry.spills), (5, 6, 2));
        assert_eq!((config.beat.interval, config.beat.missed), (Span::from_millis(50), 3));
        assert_eq!((config.block_choice, config.threads), (BlockChoice::Two, 1));
        assert_eq!(config.http2, Some(Http2Settings::default()));
        assert_eq!(read("http2.enabled = false").unwrap().http2, None);
        let set = read("[http2]\nstreams_max = 1\nstream_window = 16384\nconnection_window = 65535\nidle_frames_max = 20").unwrap().http2;
        let all = Http2Settings { streams_max: 1, stream_window: 16_384, connection_window: 65_535, idle_frames_max: 20 };
        assert_eq!(set, Some(all));
        assert_eq!(told(&config.limits), "defaults");
    }

    #[test]
    fn everything_can_be_set_by_environment() {
        let env = [
            ("DYNOMESH_EDGE_NAME", "edge-7"),
            ("DYNOMESH_EDGE_LISTEN", "127.0.0.1:0"),
            ("DYNOMESH_EDGE_ADMIN", "127.0.0.1:0"),
            ("DYNOMESH_EDGE_BLOCK_CHOICE", "weighted"),
            ("DYNOMESH_EDGE_LIMITS__DEADLINE", "2s"),
            ("DYNOMESH_EDGE_RETRY__PATIENCE", "1s"),
            ("DYNOMESH_EDGE_GOSSIP__LISTEN", "127.0.0.1:0"),
            ("DYNOMESH_EDGE_TRUST_FORWARDED", "true"),
            ("DYNOMESH_EDGE_GOSSIP__KEY", &"cd".repeat(32)),
            ("DYNOMESH_EDGE_ACCESS_LOG", "/tmp/access.log"),
        ];
        let config = load(None, &env).unwrap();
        assert_eq!((config.name.as_str(), config.block_choice), ("edge-7", BlockChoice::Weighted));
        assert_eq!(config.limits.deadline, Span::from_secs(2));
        assert_eq!(config.manner, Manner { forwarded: false, trusted: true });
        assert_eq!(config.access_log, Target::File("/tmp/access.log".into()));
        assert_eq!(told(&config.limits), "deadline=\"2s\"");
    }

    #[test]
    fn tls_is_off_unless_its_sections_are_there() {
        let config = read("").unwrap();
        assert!(config.tls.is_none() && config.tiers.is_none());
        let config = read(
            "[tls]\nlisten = \"127.0.0.1:8443\"\ncertificates = [{ cert = \"a.pem\", key = \"a.key\" }]\nmin_version = \"1.3\"\n\
             client_auth = \"required\"\nclient_ca = \"ca.pem\"\n[tiers]\nca = \"ca.pem\"\ncert = \"t.pem\"\nkey = \"t.key\"",
        )
        .unwrap();
        let (tls, tiers) = (config.tls.unwrap(), config.tiers.unwrap());
        assert_eq!((tls.certificates.len(), tls.min_version, tls.strict_sni), (1, MinVersion::Tls13, false));
        assert_eq!(String::from(tiers.name), "dynomesh");
    }

    #[test]
    fn what_is_refused_is_named_with_what_is_allowed() {
        for (extra, said) in [
            ("treads = 2", "unknown field `treads`"),
            ("block_choice = \"best\"", "`random`, `weighted`, `two`"),
            ("threads = 0", "`threads`: 0 must be from 1 to 256"),
            ("limits.deadline = 5", "deadline"),
            ("limits.head_max = 10", "`limits.head_max`: 10 must be from 8192 to 1048576"),
            ("limits.connect_timeout = \"2m\"", "must be above zero and at most limits.deadline (1m)"),
            ("limits.body_idle = \"1ms\"", "`limits.body_idle`: 1ms must be at least 10ms"),
            ("http2.streams_max = 0", "`http2.streams_max`: 0 must be from 1 to 10000"),
            ("http2.stream_window = 1", "`http2.stream_window`: 1 must be from 16384"),
            ("http2.connection_window = 100000", "must be at least http2.stream_window (131072)"),
            ("http2.idle_frames_max = 19", "`http2.idle_frames_max`: 19 must be from 20 to 100000"),
            ("beat.missed = 0", "`beat.missed`: 0 x 50ms must be at least one missed beat"),
            ("access_log = \"\"", "must be 'stdout', 'off' or a path"),
            ("[tls]\nlisten = \"127.0.0.1:1\"\ncertificates = []", "`tls.certificates`: must name at least one"),
            ("[tls]\nlisten = \"127.0.0.1:1\"\ncertificates = []\nmin_version = \"1.1\"", "expected `1.2` or `1.3`"),
            ("[tiers]\nca = \"a\"\ncert = \"b\"\nkey = \"c\"\nname = \"two words\"", "must be a DNS name"),
        ] {
            let error = read(extra).unwrap_err();
            assert!(error.contains(said), "{extra}: {error}");
        }
    }
}

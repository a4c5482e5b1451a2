//! Logs and metrics: how a daemon is seen from outside.
//!
//! Logs go to standard error, one event a line, so that standard output stays the daemon's own. Metrics are counted where things
//! happen and read only when asked for.

use std::fmt;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Metric;
use tracing_subscriber::EnvFilter;

/// Environment variable with the log filter, for example `info,dynomesh_block=debug`.
pub const LOG_ENV: &str = "DYNOMESH_LOG";
/// Environment variable with the log format: `text` (default) or `json`.
pub const LOG_FORMAT_ENV: &str = "DYNOMESH_LOG_FORMAT";
/// What is logged where [`LOG_ENV`] says nothing. The libraries below report as warnings what is daily life here, such as a dead peer.
const LOG_DEFAULT: &str = "info,openraft=error,hyper=error,h2=error,tonic=error";

/// Sends logs to standard error from now on, as the environment says. A second call changes nothing. A filter or format that
/// cannot be read is refused with a sentence.
pub fn init() -> Result<(), String> {
    let filter = std::env::var(LOG_ENV).unwrap_or_else(|_| LOG_DEFAULT.into());
    let filter = EnvFilter::try_new(&filter).map_err(|error| format!("environment variable {LOG_ENV}: {error}"))?;
    let format = std::env::var(LOG_FORMAT_ENV).unwrap_or_default();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    // The only error is that logs go somewhere already, in tests.
    let _ = match format.as_str() {
        "" | "text" => log.try_init(),
        "json" => log.json().flatten_event(true).try_init(),
        other => return Err(format!("environment variable {LOG_FORMAT_ENV}: {other:?} must be 'text' or 'json'")),
    };
    Ok(())
}

/// The metrics of one process. Cheap to clone; any thread may register and read.
#[derive(Clone)]
pub struct Registry(Arc<Mutex<prometheus_client::registry::Registry>>);

impl Registry {
    /// An empty registry whose metrics are named `dynomesh_...`; it holds the version of the program and the node's role and name.
    pub fn new(role: &str, node: &str) -> Self {
        let mut registry = prometheus_client::registry::Registry::with_prefix("dynomesh");
        let build = vec![("version", env!("CARGO_PKG_VERSION").to_string()), ("role", role.to_string()), ("node", node.to_string())];
        registry.register("build", "Version of the program and what this process is", Info::new(build));
        Registry(Arc::new(Mutex::new(registry)))
    }

    /// Adds a metric. `name` stands without prefix, unit last and without `_total`; `help` without a full stop.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        self.with(|registry| registry.register(name, help, metric));
    }

    /// Adds metrics that are computed when they are read.
    pub fn register_collector(&self, collector: impl Collector) {
        self.with(|registry| registry.register_collector(Box::new(collector)));
    }

    /// All metrics in the OpenMetrics text form.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        self.with(|registry| encode(&mut text, registry)).expect("writing to a string does not fail");
        text
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut prometheus_client::registry::Registry) -> T) -> T {
        // A panic while registering leaves the registry whole: it is a list.
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registry")
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn metrics_are_read_with_prefix_and_build() {
        let registry = Registry::new("edge", "edge-1");
        let requests: Counter = Counter::default();
        registry.register("requests", "Requests answered", requests.clone());
        requests.inc_by(3);
        let text = registry.encode();
        assert!(text.contains("dynomesh_requests_total 3\n"), "{text}");
        assert!(text.contains("role=\"edge\",node=\"edge-1\"} 1\n"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}

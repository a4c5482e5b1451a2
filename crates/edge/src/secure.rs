//! What of an edge speaks TLS, made ready before anything listens: a wrong file is a refused start and not a refused client.

use std::net::TcpListener;

use dynomesh_runtime::net::{NetError, Peers, listen_each};
use dynomesh_runtime::telemetry::Registry;
use dynomesh_runtime::tls::{ClientTls, Files, ServerTls, TlsError, TlsMetrics};

use crate::config::Config;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secure {
    /// Towards clients.
    pub(crate) clients: Option<ServerTls>,
    /// Towards blocks.
    pub(crate) blocks: Option<ClientTls>,
}

/// Where one data thread listens.
pub(crate) struct Listeners {
    pub(crate) plain: TcpListener,
    pub(crate) tls: Option<TcpListener>,
}

impl Secure {
    /// Reads the files that the sections `tls` and `tiers` name.
    pub(crate) fn load(config: &Config, registry: &Registry) -> Result<Self, TlsError> {
        if config.tls.is_none() && config.tiers.is_none() {
            return Ok(Secure::default());
        }
        let metrics = TlsMetrics::register(registry);
        Ok(Secure {
            clients: config.tls.as_ref().map(|section| ServerTls::for_clients(section, config.http2.is_some(), &metrics)).transpose()?,
            blocks: config.tiers.as_ref().map(|section| ClientTls::for_tiers(section, &metrics)).transpose()?,
        })
    }

    /// The files to be watched.
    pub(crate) fn files(&self) -> Vec<Files> {
        self.clients.iter().map(ServerTls::files).chain(self.blocks.iter().map(ClientTls::files)).collect()
    }
}

impl Listeners {
    /// For each data thread one of each kind.
    pub(crate) fn open(config: &Config) -> Result<Vec<Self>, NetError> {
        let plain = listen_each(config.listen, "listen", config.threads, Peers::Clients)?;
        let tls = config.tls.as_ref().map(|tls| listen_each(tls.listen, "tls.listen", config.threads, Peers::Clients)).transpose()?;
        let mut tls = tls.into_iter().flatten();
        Ok(plain.into_iter().map(|plain| Listeners { plain, tls: tls.next() }).collect())
    }
}

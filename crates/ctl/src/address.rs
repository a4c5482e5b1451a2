//! From `--admin`, `--ca`, `--cert` and `--token` to places that can be asked. Nothing is sent here: wrong options are told apart from
//! a control plane that does not answer.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::error::CliError;
use crate::options::Global;

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How often an idle connection is tried, and how long it may stay silent, so that a stream of events leaves a dead replica.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// Control replicas that may be named at once.
const ADDRESSES_MAX: usize = 16;

/// A place to ask.
pub(crate) struct Place {
    /// As it was written.
    pub(crate) name: String,
    pub(crate) endpoint: Endpoint,
}

/// The places that `--admin` names, in its order.
pub(crate) fn places(global: &Global) -> Result<Vec<Place>, CliError> {
    let tls = tls(global)?;
    let names: Vec<&str> = global.admin.split(',').map(str::trim).collect();
    if names.len() > ADDRESSES_MAX {
        return Err(CliError::Usage(format!("--admin names {} addresses; {ADDRESSES_MAX} are the most", names.len())));
    }
    names.into_iter().map(|name| place(name, tls.as_ref())).collect()
}

fn place(name: &str, tls: Option<&ClientTlsConfig>) -> Result<Place, CliError> {
    let wrong = || CliError::Admin { value: name.to_owned() };
    let (scheme, address) = match name.split_once("://") {
        Some((scheme @ ("http" | "https"), address)) => (scheme, address),
        Some(_) => return Err(wrong()),
        None => (if tls.is_some() { "https" } else { "http" }, name),
    };
    let address = address.trim_end_matches('/');
    let has_port = address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if !has_port {
        return Err(wrong());
    }
    let endpoint = Endpoint::from_shared(format!("{scheme}://{address}")).map_err(|_| wrong())?;
    let endpoint = endpoint.connect_timeout(CONNECT_MAX).tcp_nodelay(true);
    let endpoint = endpoint.http2_keep_alive_interval(ALIVE_EVERY).keep_alive_timeout(ALIVE_EVERY).keep_alive_while_idle(true);
    let endpoint = match (scheme, tls) {
        ("https", Some(tls)) => {
            endpoint.tls_config(tls.clone()).map_err(|cause| CliError::Usage(format!("--ca, --cert: {}", crate::error::deepest(&cause))))?
        }
        ("https", None) => {
            return Err(CliError::Usage(format!("{name} takes --ca FILE, the authority its certificate is checked against")));
        }
        (_, Some(_)) => return Err(CliError::Usage(format!("{name} is not encrypted; with --ca or --cert write https://"))),
        _ => endpoint,
    };
    Ok(Place { name: name.to_owned(), endpoint })
}

/// What encrypts, if anything is to.
fn tls(global: &Global) -> Result<Option<ClientTlsConfig>, CliError> {
    let identity = match (&global.cert, &global.cert_key) {
        (Some(cert), Some(key)) => Some(Identity::from_pem(read("--cert", cert)?, read("--cert-key", key)?)),
        (None, None) => None,
        _ => return Err(CliError::Usage("--cert and --cert-key go together: give both files".into())),
    };
    let Some(ca) = &global.ca else {
        return match identity {
            Some(_) => {
                Err(CliError::Usage("--cert takes --ca FILE, the authority the control plane's certificate is checked against".into()))
            }
            None => Ok(None),
        };
    };
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read("--ca", ca)?));
    Ok(Some(match identity {
        Some(identity) => tls.identity(identity),
        None => tls,
    }))
}

/// The header that says who calls.
pub(crate) fn token(global: &Global) -> Result<Option<MetadataValue<Ascii>>, CliError> {
    let token = match (&global.token, &global.token_file) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            let both = "a token and a token file are given (--token or DYNOMESH_TOKEN, --token-file or DYNOMESH_TOKEN_FILE); leave one out";
            return Err(CliError::Usage(both.into()));
        }
        (Some(token), None) => token.reveal().to_owned(),
        (None, Some(file)) => read("--token-file", file)?,
    };
    let header = format!("Bearer {}", token.trim());
    let header = header.parse().map_err(|_| CliError::Usage("the token must be one line of printable ASCII characters".into()));
    header.map(|mut header: MetadataValue<Ascii>| {
        header.set_sensitive(true);
        Some(header)
    })
}

fn read(option: &str, file: &Path) -> Result<String, CliError> {
    fs::read_to_string(file).map_err(|cause| CliError::Usage(format!("{option} {}: {cause}", file.display())))
}

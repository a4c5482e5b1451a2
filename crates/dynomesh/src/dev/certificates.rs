//! The certificates of `dev --tls`: an authority of its own, one certificate for clients, one for the tiers.
//!
//! They are kept in the data directory, so that an authority which a user has told a browser to trust stays the same, and made anew when
//! they would soon expire. Nobody else should trust that authority: its key lies beside it.

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dynomesh_runtime::tls::{TiersName, TiersSection};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose as Usage, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};

use super::DevError;
use super::boot::APP;

/// How long certificates are good for: as long as browsers take from an authority that a user has added.
const VALID: Duration = Duration::from_secs(825 * 24 * 3600);
/// Made anew when that old, long before they expire.
const OLD: Duration = Duration::from_secs(700 * 24 * 3600);
/// A clock that is a little slow must not find them unborn.
const BEFORE: Duration = Duration::from_secs(24 * 3600);

/// Where the files are.
#[derive(Debug, Clone)]
pub(crate) struct Certificates {
    dir: PathBuf,
}

#[derive(Debug, thiserror::Error)]
#[error("make certificates in {path}")]
pub(crate) struct CertificateError {
    path: String,
    #[source]
    cause: io::Error,
}

impl Certificates {
    /// Those in `home`, made if they are missing or old.
    pub(crate) fn open(home: &Path) -> Result<Self, DevError> {
        let certificates = Certificates { dir: home.join("tls") };
        if !certificates.are_fresh() {
            let refused = |cause| CertificateError { path: certificates.dir.display().to_string(), cause };
            certificates.make().map_err(refused)?;
        }
        Ok(certificates)
    }

    /// The authority, for clients to trust.
    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// What edges show to clients: a certificate and its key.
    pub(crate) fn edge(&self) -> [PathBuf; 2] {
        [self.dir.join("edge.pem"), self.dir.join("edge.key")]
    }

    /// What edges and blocks show to each other.
    pub(crate) fn tiers(&self) -> TiersSection {
        let (cert, key) = (self.dir.join("tiers.pem"), self.dir.join("tiers.key"));
        TiersSection { ca: self.ca(), cert, key, name: TiersName::default() }
    }

    fn files(&self) -> [PathBuf; 5] {
        let [edge_cert, edge_key] = self.edge();
        let TiersSection { ca, cert, key, .. } = self.tiers();
        [ca, edge_cert, edge_key, cert, key]
    }

    fn are_fresh(&self) -> bool {
        let young = |path: &PathBuf| {
            let made = fs::metadata(path).and_then(|meta| meta.modified()).ok()?;
            Some(SystemTime::now().duration_since(made).unwrap_or_default() < OLD)
        };
        self.files().iter().all(|path| young(path) == Some(true))
    }

    fn make(&self) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let mut params = lasting(CertificateParams::default());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "dynomesh dev");
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let ca = params.self_signed(&key).map_err(io::Error::other)?;
        write(&self.dir.join("ca.key"), &key.serialize_pem(), SECRET)?;
        write(&self.ca(), &ca.pem(), PUBLIC)?;
        let issuer = Issuer::new(params, key);

        let names = ["localhost".to_string(), format!("{APP}.localhost")];
        let addresses = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
        sign(&issuer, &names, &addresses, &[Usage::ServerAuth], &self.edge())?;
        let TiersSection { cert, key, name, .. } = self.tiers();
        sign(&issuer, &[name.into()], &[], &[Usage::ServerAuth, Usage::ClientAuth], &[cert, key])
    }
}

fn sign(
    issuer: &Issuer<'_, KeyPair>,
    names: &[String],
    addresses: &[IpAddr],
    usages: &[Usage],
    [cert, key]: &[PathBuf; 2],
) -> io::Result<()> {
    let mut params = lasting(CertificateParams::new(names).map_err(io::Error::other)?);
    params.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
    params.extended_key_usages = usages.to_vec();
    params.use_authority_key_identifier_extension = true;
    params.distinguished_name.push(DnType::CommonName, &names[0]);
    let pair = KeyPair::generate().map_err(io::Error::other)?;
    let signed = params.signed_by(&pair, issuer).map_err(io::Error::other)?;
    write(key, &pair.serialize_pem(), SECRET)?;
    write(cert, &signed.pem(), PUBLIC)
}

fn lasting(mut params: CertificateParams) -> CertificateParams {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since_1970 = |span| rcgen::date_time_ymd(1970, 1, 1) + span;
    params.not_before = since_1970(now.saturating_sub(BEFORE));
    params.not_after = since_1970(now + VALID);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
}

/// Read by all, or by us alone.
const PUBLIC: u32 = 0o644;
const SECRET: u32 = 0o600;

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    // The mode is that of a new file.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use dynomesh_runtime::tls::{CertificateFiles, ClientTls, ServerTls, TlsMetrics, TlsSection};

    use super::*;

    #[test]
    fn the_daemons_take_them_and_the_next_run_keeps_them() {
        let home = tempfile::tempdir().unwrap();
        let certificates = Certificates::open(home.path()).unwrap();
        let [cert, key] = certificates.edge();
        let text = format!("listen = \"127.0.0.1:0\"\ncertificates = [{{ cert = {cert:?}, key = {key:?} }}]");
        let section: TlsSection = toml::from_str(&text).unwrap();
        assert_eq!(section.certificates, [CertificateFiles { cert: cert.clone(), key: key.clone() }]);
        ServerTls::for_clients(&section, true, &TlsMetrics::default()).unwrap();
        ServerTls::for_tiers(&certificates.tiers(), &TlsMetrics::default()).unwrap();
        ClientTls::for_tiers(&certificates.tiers(), &TlsMetrics::default()).unwrap();

        let read = || certificates.files().map(|path| fs::read(path).unwrap());
        let before = read();
        Certificates::open(home.path()).unwrap();
        assert_eq!(read(), before);
        fs::remove_file(&key).unwrap();
        Certificates::open(home.path()).unwrap();
        assert_ne!(read(), before);
    }

    #[test]
    fn keys_are_for_their_owner_alone() {
        let home = tempfile::tempdir().unwrap();
        let dir = Certificates::open(home.path()).unwrap().dir;
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let open = entry.metadata().unwrap().permissions().mode() & 0o077 != 0;
            assert_eq!(open, entry.path().extension().unwrap() == "pem", "{:?}", entry.path());
        }
    }
}

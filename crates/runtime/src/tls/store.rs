//! Which certificate is shown to whom.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::files::Identity;

/// Certificates by the names they carry.
///
/// A name is looked up as it is, then with its first label replaced by `*`; the first certificate of all is for the rest. Several may
/// carry one name, for example with keys of two kinds: the first whose key the client can check is taken.
#[derive(Debug)]
pub(super) struct Store {
    /// Never empty.
    all: Vec<Arc<CertifiedKey>>,
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// By what follows `*.`.
    wildcard: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// Refuses clients that ask for another name, or for none.
    strict: bool,
}

impl Store {
    /// `identities` is not empty.
    pub(super) fn new(identities: Vec<Identity>, strict: bool) -> Self {
        let mut store = Store { all: Vec::new(), exact: HashMap::new(), wildcard: HashMap::new(), strict };
        for Identity { key, facts } in identities {
            for name in facts.names {
                let named = match name.strip_prefix("*.") {
                    Some(parent) => store.wildcard.entry(parent.into()),
                    None => store.exact.entry(name),
                };
                named.or_default().push(key.clone());
            }
            store.all.push(key);
        }
        store
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let named = name.and_then(|name| self.named(&name.to_ascii_lowercase()));
        let candidates = match named {
            Some(named) => named,
            None if self.strict => return None,
            None => &self.all[..1],
        };
        let fits = candidates.iter().find(|key| key.key.choose_scheme(schemes).is_some());
        fits.or(candidates.first()).cloned()
    }

    fn named(&self, name: &str) -> Option<&[Arc<CertifiedKey>]> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let parent = || name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        self.exact.get(name).or_else(parent).map(Vec::as_slice)
    }
}

impl ResolvesServerCert for Store {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes())
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SignatureAlgorithm};
    use rustls::pki_types::PrivateKeyDer;

    use super::super::{certificate, provider};
    use super::*;

    const ANY: [SignatureScheme; 2] = [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519];

    fn identity(names: &[&str], kind: &'static SignatureAlgorithm) -> Identity {
        let pair = KeyPair::generate_for(kind).unwrap();
        let params = CertificateParams::new(names.iter().map(|name| name.to_string()).collect::<Vec<_>>()).unwrap();
        let der = params.self_signed(&pair).unwrap().der().clone();
        let facts = certificate::read(&der).unwrap();
        let key = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
        Identity { key: Arc::new(CertifiedKey::from_der(vec![der], key, &provider()).unwrap()), facts }
    }

    /// The place of the certificate that is shown.
    fn shown(store: &Store, name: Option<&str>) -> Option<usize> {
        let chosen = store.choose(name, &ANY)?;
        store.all.iter().position(|key| Arc::ptr_eq(key, &chosen))
    }

    fn three(strict: bool) -> Store {
        let names: [&[&str]; 3] = [&["a.example"], &["*.b.example", "b.example"], &["deep.b.example"]];
        Store::new(names.map(|names| identity(names, &PKCS_ECDSA_P256_SHA256)).into(), strict)
    }

    #[test]
    fn an_exact_name_comes_before_a_wildcard_and_that_before_the_first() {
        let store = three(false);
        for (name, place) in [
            ("a.example", 0),
            ("A.Example", 0),
            ("b.example", 1),
            ("x.b.example", 1),
            ("x.b.example.", 1),
            ("deep.b.example", 2),
            ("y.x.b.example", 0),
            ("unknown.example", 0),
            ("example", 0),
        ] {
            assert_eq!(shown(&store, Some(name)), Some(place), "{name}");
        }
        assert_eq!(shown(&store, None), Some(0));
    }

    #[test]
    fn a_strict_store_refuses_names_it_does_not_carry() {
        let store = three(true);
        assert_eq!(shown(&store, Some("x.b.example")), Some(1));
        assert_eq!((shown(&store, Some("unknown.example")), shown(&store, Some("y.x.b.example")), shown(&store, None)), (None, None, None));
    }

    #[test]
    fn of_two_certificates_with_one_name_the_client_gets_the_one_it_can_check() {
        let both = [&PKCS_ED25519, &PKCS_ECDSA_P256_SHA256].map(|kind| identity(&["a.example"], kind));
        let store = Store::new(both.into(), false);
        assert_eq!(shown(&store, Some("a.example")), Some(0));
        let chosen = store.choose(Some("a.example"), &[SignatureScheme::ECDSA_NISTP256_SHA256]).unwrap();
        assert!(Arc::ptr_eq(&chosen, &store.all[1]));
    }
}

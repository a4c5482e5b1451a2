//! The secret that makes a cluster.

use std::fmt;
use std::str::FromStr;

use dynomesh_core::id::Invalid;
use serde::{Deserialize, Serialize};

/// A key of a cluster: 256 random bits, written as 64 hexadecimal digits. Never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Key([u8; 32]);

impl Key {
    /// A key from its bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Key(bytes)
    }

    /// A new key.
    pub fn random(rng: &mut impl rand::Rng) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Key(bytes)
    }

    /// The key as configuration wants it; for whoever writes one, never for logs.
    pub fn reveal(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl FromStr for Key {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        // The refused text is a secret, if a misspelt one: it is not repeated.
        let bad = || Invalid::new("key", "(not shown)", "must have 64 hexadecimal digits");
        if text.len() != 64 || !text.is_ascii() {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| bad())?;
            // The number parser would also take a sign.
            *byte = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.contains('+')).ok_or_else(bad)?;
        }
        Ok(Key(bytes))
    }
}

impl TryFrom<String> for Key {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl Serialize for Key {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.reveal())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_configuration_and_stay_out_of_logs() {
        let key = Key::random(&mut rand::rng());
        assert_eq!(key.reveal().parse::<Key>().unwrap(), key);
        assert_eq!(format!("{key:?}"), "Key(..)");
        for bad in ["", "ab", &"x".repeat(64), &"+1".repeat(32), &"é".repeat(32)] {
            let error = bad.parse::<Key>().unwrap_err().to_string();
            assert_eq!(error, "key \"(not shown)\" must have 64 hexadecimal digits");
        }
    }
}

//! The keys in use, and the file they may come from.
//!
//! Keys change in three steps, each done everywhere before the next (P20): old, new · new, old · new. Every node tells which keys it
//! can open and which it seals with, so that one can see when a step is done. A file that cannot be read, or holds no keys, changes
//! nothing: the keys in use stay.

use std::fs;
use std::io::Read;
use std::path::Path;

use super::key::Key;
use super::seal::key_names;
use super::{GossipConfig, GossipError, KEYS_MAX};

/// Longest file of keys.
const FILE_LEN_MAX: u64 = 4096;

/// Keys, at least one; the first seals, all open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys(Vec<Key>);

impl Keys {
    pub(super) fn all(&self) -> &[Key] {
        &self.0
    }

    pub(super) fn first(&self) -> &Key {
        &self.0[0]
    }

    /// As nodes tell each other.
    pub(super) fn names(&self) -> Vec<String> {
        key_names(&self.0)
    }

    /// The keys of a file, one on a line; empty lines and those that begin with `#` are passed over.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let mut text = String::new();
        let file = fs::File::open(path).map_err(|error| error.to_string())?;
        file.take(FILE_LEN_MAX).read_to_string(&mut text).map_err(|error| error.to_string())?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys: Vec<Key> =
            lines.map(|line| line.parse().map_err(|error: dynomesh_core::id::Invalid| error.to_string())).collect::<Result<_, _>>()?;
        if keys.is_empty() || keys.len() > KEYS_MAX {
            return Err(format!("needs 1 to {KEYS_MAX} keys of 64 hexadecimal digits, has {}", keys.len()));
        }
        Ok(Keys(keys))
    }
}

/// The keys to start with.
pub(super) fn first(config: &GossipConfig) -> Result<Keys, GossipError> {
    match &config.keys_file {
        Some(path) => Keys::read(path).map_err(|problem| GossipError::KeysFile { path: path.clone(), problem }),
        None if config.keys.is_empty() || config.keys.len() > KEYS_MAX => Err(GossipError::Keys(config.keys.len())),
        None => Ok(Keys(config.keys.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_keys_one_on_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let (one, two) = (Key::new([1; 32]), Key::new([2; 32]));
        fs::write(&path, format!("# in use\n{}\n\n {} \n", one.reveal(), two.reveal())).unwrap();
        assert_eq!(Keys::read(&path).unwrap(), Keys(vec![one.clone(), two]));
        for bad in ["", "# none\n", "abc\n", &format!("{}\n", one.reveal()).repeat(KEYS_MAX + 1)] {
            fs::write(&path, bad).unwrap();
            let error = Keys::read(&path).unwrap_err();
            assert!(!error.contains("abc"), "a secret is repeated: {error}");
        }
        assert!(Keys::read(&dir.path().join("none")).is_err());
    }
}

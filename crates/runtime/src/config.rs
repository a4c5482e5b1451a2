//! Reads a daemon's configuration: a TOML file, then the environment over it.
//!
//! The result is a `FileConfig` whose types and key names serde has checked; what its values mean is for the daemon's own
//! `Config::try_from`. An error says where (file, line and column, or the environment variable), which key, and what is allowed.
//! Environment values are put into the parsed document at places of their own behind the end of the file, so that one
//! deserialization serves both and every error still knows where it came from.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, Deserializer};

#[cfg(test)]
mod tests;

/// Largest configuration file, in bytes.
pub const FILE_LEN_MAX: u64 = 1 << 20;

/// Why a configuration was refused. One line, fit for a terminal.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A key or value was refused.
    #[error("{place}: {}{problem}", key.as_ref().map(|key| format!("`{key}`: ")).unwrap_or_default())]
    Refused {
        /// Where it stands.
        place: Place,
        /// The key with its tables, for example `gossip.listen`; `None` where the text is no TOML.
        key: Option<String>,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// A value is well formed but cannot be used, alone or beside another.
    #[error("`{key}`: {problem}")]
    Setting {
        /// The key with its tables.
        key: String,
        /// What is wrong and what is allowed.
        problem: String,
    },
}

/// Where a setting was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the file; line and column count from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
    /// In this environment variable.
    Variable(String),
    /// Nowhere: a required key is missing and there is no file.
    Environment,
}

impl ConfigError {
    /// A refusal by a daemon's own checks of what its settings mean.
    pub fn setting(key: &str, problem: impl fmt::Display) -> Self {
        ConfigError::Setting { key: key.into(), problem: problem.to_string() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Place::Variable(name) => write!(f, "environment variable {name}"),
            Place::Environment => f.write_str("environment"),
        }
    }
}

/// Reads the file, if there is one, and puts the environment variables that begin with `env_prefix` over it.
///
/// The rest of a variable's name is the key in upper case, `__` between a table and its key: `DYNOMESH_EDGE_GOSSIP__LISTEN` sets
/// `gossip.listen` for the prefix `DYNOMESH_EDGE_`. Its value is read as a TOML value if it is one, else taken as a string. A
/// variable that names no key is refused like an unknown key of the file, provided that `T` denies unknown fields.
pub fn load<T: DeserializeOwned>(path: Option<&Path>, env_prefix: &str) -> Result<T, ConfigError> {
    load_with(path, env_prefix, std::env::vars_os())
}

/// As [`load`], with the environment as an argument.
pub fn load_with<T: DeserializeOwned>(
    path: Option<&Path>,
    env_prefix: &str,
    env: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<T, ConfigError> {
    let text = path.map(read).transpose()?.unwrap_or_default();
    let variables = Variables::collect(env_prefix, env, text.len())?;
    let source = Source { path, text: &text, variables: &variables };

    let mut document = DeTable::parse(&text).map_err(|error| source.refusal(error))?;
    for variable in &variables.0 {
        variable.put(document.get_mut())?;
    }
    T::deserialize(Deserializer::from(document)).map_err(|error| source.refusal(error))
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let refuse = |cause| ConfigError::Read { path: path.into(), cause };
    let len = std::fs::metadata(path).map_err(refuse)?.len();
    if len > FILE_LEN_MAX {
        return Err(refuse(io::Error::other(format!("{len} bytes are more than a configuration may have ({FILE_LEN_MAX})"))));
    }
    std::fs::read_to_string(path).map_err(refuse)
}

/// The environment variables of one prefix.
struct Variables(Vec<Variable>);

struct Variable {
    name: String,
    keys: Vec<String>,
    /// `v = VALUE` behind as many spaces as it has text before it, so that a position in it is its own and nobody else's.
    padded: String,
    /// The value as a string, where it is no TOML value.
    plain: Option<String>,
    span: Range<usize>,
}

impl Variables {
    fn collect(prefix: &str, env: impl IntoIterator<Item = (OsString, OsString)>, file_len: usize) -> Result<Self, ConfigError> {
        let mut found = Vec::new();
        for (name, value) in env {
            let Some(name) = name.to_str().filter(|name| name.starts_with(prefix)).map(str::to_string) else { continue };
            let value = value.into_string().map_err(|_| refused(Place::Variable(name.clone()), None, "its value is not UTF-8"))?;
            found.push((name, value));
        }
        found.sort();
        let mut start = file_len + 1;
        let variables = found.into_iter().map(|(name, value)| {
            let variable = Variable::new(prefix, name, value, start);
            start = variable.span.end + 1;
            variable
        });
        Ok(Variables(variables.collect()))
    }

    fn at(&self, position: usize) -> Option<&Variable> {
        self.0.iter().find(|variable| variable.span.contains(&position))
    }
}

impl Variable {
    fn new(prefix: &str, name: String, value: String, start: usize) -> Self {
        let keys = name[prefix.len()..].to_lowercase().split("__").map(str::to_string).collect();
        let padded = format!("{}v = {value}", " ".repeat(start));
        // One key only: a line break in the value must not smuggle in another.
        let is_toml = DeTable::parse(&padded).is_ok_and(|table| table.get_ref().len() == 1);
        let span = start..padded.len().max(start + 1);
        Variable { name, keys, padded, plain: (!is_toml).then_some(value), span }
    }

    fn put<'a>(&'a self, table: &mut DeTable<'a>) -> Result<(), ConfigError> {
        let (last, tables) = self.keys.split_last().expect("splitting yields at least one piece");
        let mut table = table;
        for key in tables {
            let inner = table
                .entry(Spanned::new(self.span.clone(), DeString::from(key.as_str())))
                .or_insert_with(|| Spanned::new(self.span.clone(), DeValue::Table(DeTable::new())));
            table = match inner.get_mut() {
                DeValue::Table(inner) => inner,
                _ => return Err(refused(Place::Variable(self.name.clone()), Some(self.key()), &format!("`{key}` is not a table"))),
            };
        }
        // Removed first: an entry that stays keeps the place of the key it replaces.
        let key = Spanned::new(self.span.clone(), DeString::from(last.as_str()));
        table.remove(&key);
        table.insert(key, self.value());
        Ok(())
    }

    fn value(&self) -> Spanned<DeValue<'_>> {
        let read = || DeTable::parse(&self.padded).ok()?.into_inner().into_iter().next().map(|(_, value)| value);
        let plain = self.plain.as_deref().map(|text| Spanned::new(self.span.clone(), DeValue::String(text.into())));
        plain.or_else(read).expect("what is no plain string has been parsed before")
    }

    fn key(&self) -> String {
        self.keys.join(".")
    }
}

/// What an error's position is looked up in.
struct Source<'a> {
    path: Option<&'a Path>,
    text: &'a str,
    variables: &'a Variables,
}

impl Source<'_> {
    fn refusal(&self, mut error: toml::de::Error) -> ConfigError {
        let span = error.span();
        // What the parser of addresses says names no example.
        let address = "invalid socket address syntax";
        let problem = error.message().replace(address, "must be IP:PORT, for example 127.0.0.1:8080");
        let variable = span.as_ref().and_then(|span| self.variables.at(span.start));
        let place = match (variable, self.path) {
            (Some(variable), _) => Place::Variable(variable.name.clone()),
            (None, Some(path)) => {
                let (line, column) = self.position(span.map_or(0, |span| span.start));
                Place::File { path: path.into(), line, column }
            }
            (None, None) => Place::Environment,
        };
        // Without the text the error prints the path of the key instead of an excerpt; of an unknown key only its table's path.
        error.set_input(None);
        let printed = error.to_string();
        let path = printed.rsplit_once("in `").and_then(|(_, rest)| rest.trim_end().strip_suffix('`'));
        let unknown = problem.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
        let written = [path, unknown].into_iter().flatten().collect::<Vec<_>>().join(".");
        let key = variable.map(Variable::key).or((!written.is_empty()).then_some(written));
        ConfigError::Refused { place, key, problem }
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

fn refused(place: Place, key: Option<String>, problem: &str) -> ConfigError {
    ConfigError::Refused { place, key, problem: problem.into() }
}

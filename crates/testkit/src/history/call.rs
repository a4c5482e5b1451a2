//! What was asked of the registers of the admin API: things that are written, read and compared by their version.
//!
//! Each time that something was sent is a call: who sends again has made two.

use dynomesh_core::time::Time;
use serde::{Deserialize, Serialize};

use super::form;

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The register, for example `app/shop` or `dyno/d1`.
    pub register: String,
    /// What was asked of it.
    pub operation: Operation,
    /// Before it was sent.
    #[serde(with = "form::time")]
    pub begun: Time,
    /// When its answer was there, or its caller gave up.
    #[serde(with = "form::time")]
    pub ended: Time,
    /// What came of it.
    pub returned: Returned,
}

/// What is asked of a register. A value of `None` is that of one that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// To tell what it holds now.
    Read,
    /// To tell what it held at some time before the answer: what a replica that is behind may say.
    ReadBehind,
    /// To hold this.
    Write {
        /// What it shall hold.
        value: Option<String>,
    },
    /// To hold this if it still has this version.
    CompareAndSet {
        /// The version its caller believes it has; 0 where it believes that there is none.
        expected: u64,
        /// What it shall hold.
        value: Option<String>,
    },
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Returned {
    /// It was done, and after it the register held this. A write of what it held already changes neither.
    Ok {
        /// What it held.
        value: Option<String>,
        /// Its version; 0 where it does not exist.
        version: u64,
    },
    /// It was not done, since the register had another version than was expected.
    Stale(String),
    /// It was certainly not done, and will not be.
    Failed(String),
    /// It may have been done, or may still be.
    Unknown(String),
}

//! Conversions between wire and core types: whatever comes from the wire is checked here once, and trusted afterwards.
//!
//! Nothing is guessed: an enum value this program does not know is refused like a malformed name, since it would be treated as
//! something its sender did not mean.

pub mod admin;
pub mod write;

use std::borrow::Cow;

use dynomesh_core::id::Invalid;

/// A field of a request that cannot be what it is. Its text is `FIELD: what is wrong and what would be right`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// The field as it is named in the `.proto` file, with the fields that lead to it: `policy.max_conns`.
    pub field: Cow<'static, str>,
    /// A sentence.
    pub problem: String,
}

impl FieldError {
    /// An error in `field`.
    pub fn new(field: impl Into<Cow<'static, str>>, problem: impl ToString) -> Self {
        FieldError { field: field.into(), problem: problem.to_string() }
    }

    /// The same error in a message that is itself the field `outer`: `dynos[3]`.
    pub fn within(self, outer: &str) -> Self {
        FieldError { field: format!("{outer}.{}", self.field).into(), problem: self.problem }
    }
}

/// Names the field in which a value was refused.
pub(crate) trait InField<T> {
    /// The value, or where and why it was refused.
    fn in_field(self, field: &'static str) -> Result<T, FieldError>;
}

impl<T> InField<T> for Result<T, Invalid> {
    fn in_field(self, field: &'static str) -> Result<T, FieldError> {
        self.map_err(|invalid| FieldError::new(field, invalid))
    }
}

//! What a block says became of a request, as the edge may believe it.
//!
//! The mark is the block's own: edges drop it from clients' requests and blocks from dynos' responses, so it cannot be forged (P21). A
//! response without it, or with one that this process does not know, may have been anything.

/// What became of an attempt that brought no response of a dyno.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// No dyno can have seen any of it.
    NotDispatched,
    /// A dyno has seen it, and it provably runs no longer.
    Over,
    /// A dyno may have run it, may still run it, or may yet begin.
    Unknown,
}

/// What the mark on a block's response says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A dyno's own response, whatever its status: it is passed on and never retried.
    Answered,
    /// There is no response of a dyno.
    Failed(Verdict),
}

impl Mark {
    /// Reads the value of the block's verdict header, if there was one.
    pub fn read(value: Option<&str>) -> Mark {
        match value {
            Some("answered") => Mark::Answered,
            Some("not-dispatched") => Mark::Failed(Verdict::NotDispatched),
            Some("over") => Mark::Failed(Verdict::Over),
            _ => Mark::Failed(Verdict::Unknown),
        }
    }

    /// The value of the verdict header.
    pub fn as_str(self) -> &'static str {
        match self {
            Mark::Answered => "answered",
            Mark::Failed(Verdict::NotDispatched) => "not-dispatched",
            Mark::Failed(Verdict::Over) => "over",
            Mark::Failed(Verdict::Unknown) => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_survive_text() {
        for mark in [Mark::Answered, Mark::Failed(Verdict::NotDispatched), Mark::Failed(Verdict::Over), Mark::Failed(Verdict::Unknown)] {
            assert_eq!(Mark::read(Some(mark.as_str())), mark);
        }
    }

    #[test]
    fn a_response_without_the_blocks_own_mark_is_unknown() {
        for value in [None, Some(""), Some("Answered"), Some("not-dispatched, answered"), Some(" over"), Some("finished")] {
            assert_eq!(Mark::read(value), Mark::Failed(Verdict::Unknown), "{value:?}");
        }
    }
}

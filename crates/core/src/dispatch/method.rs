//! What running a request twice would mean, by its method (RFC 9110, section 9.2).

/// Classes of requests, from harmless to dangerous to repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Asks for nothing to change: may be repeated at any time.
    Safe,
    /// Twice is as good as once, but only one after the other: a late duplicate overwrites what came between.
    Idempotent,
    /// Twice is not once.
    Unsafe,
}

impl Class {
    /// The class of a request. An unknown method is unsafe. A key makes any request idempotent, where the app declares that it honours
    /// keys (`key` says both: a key was sent and it counts).
    pub fn of(method: &str, key: bool) -> Class {
        match method {
            "GET" | "HEAD" | "OPTIONS" | "TRACE" => Class::Safe,
            "PUT" | "DELETE" => Class::Idempotent,
            _ if key => Class::Idempotent,
            _ => Class::Unsafe,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_classed_as_in_the_rfc_and_unknown_ones_are_unsafe() {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
            assert_eq!((Class::of(method, false), Class::of(method, true)), (Class::Safe, Class::Safe));
        }
        for method in ["PUT", "DELETE"] {
            assert_eq!((Class::of(method, false), Class::of(method, true)), (Class::Idempotent, Class::Idempotent));
        }
        for method in ["POST", "PATCH", "CONNECT", "PURGE", "get", "Get", ""] {
            assert_eq!((Class::of(method, false), Class::of(method, true)), (Class::Unsafe, Class::Idempotent));
        }
    }
}

//! Words of the command line that stand for enums of the admin API, the same in arguments and in results.

use clap::builder::PossibleValue;
use dynomesh_proto::admin::v1 as wire;

/// A word of the command line that stands for an enum of the admin API.
macro_rules! word {
    ($(#[$doc:meta])* $type:ident = $wire:ident or $unknown:literal { $($variant:ident $word:literal $help:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $type { $(#[doc = $help] $variant),+ }

        impl clap::ValueEnum for $type {
            fn value_variants<'a>() -> &'a [Self] {
                &[$($type::$variant),+]
            }
            fn to_possible_value(&self) -> Option<PossibleValue> {
                Some(match self { $($type::$variant => PossibleValue::new($word).help($help)),+ })
            }
        }

        impl $type {
            /// As it travels.
            pub(crate) fn wire(self) -> wire::$wire {
                match self { $($type::$variant => wire::$wire::$variant),+ }
            }
            /// As it is written.
            pub(crate) fn word(wire: wire::$wire) -> &'static str {
                match wire {
                    $(wire::$wire::$variant => $word,)+
                    wire::$wire::Unspecified => $unknown,
                }
            }
        }
    };
}

word!(
    /// Whether a dyno takes one request at a time.
    Serial = Serial or "" { Auto "auto" "learned from probes", Yes "yes" "one request at a time", No "no" "several at a time" }
);
word!(
    /// What becomes of the slots of a dead router.
    Orphans = Orphans or "" { Prompt "prompt" "freed soon after its death is proven", Strict "strict" "kept until their deadline" }
);
word!(
    /// What becomes of a dispatched request whose client left.
    ClientGone = ClientGone or "" { Finish "finish" "the dyno finishes it into the void", Cut "cut" "its connection is cut" }
);
word!(
    /// What a dyno speaks.
    DynoProtocol = DynoProtocol or "" { Http1 "http1" "HTTP/1.1", Http2 "http2" "HTTP/2 without TLS, by prior knowledge" }
);
word!(
    /// Where a dyno stands between the directory's wish and its owner's word.
    Phase = DynoPhase or "unknown" {
        Pending "pending" "not adopted by any block yet",
        Active "active" "takes requests",
        Draining "draining" "finishes what runs and takes nothing new",
        Released "released" "let go by an earlier owner and not adopted by the next",
        Removing "removing" "removed, and not released by its owner yet",
    }
);
word!(
    /// Whether a dyno answers.
    State = DynoState or "unknown" { Up "up" "answers", Down "down" "does not answer" }
);
word!(
    /// What stands for it that an evicted block cannot dispatch.
    Proof = Proof or "" {
        Operator "operator" "your word that all its replicas are stopped for good",
        Platform "platform" "the platform has deleted all its pods",
        Agents "agents" "the agents of all its dynos have acknowledged a later epoch",
    }
);

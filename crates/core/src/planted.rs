//! Bugs put there on purpose, each behind a feature of its own name that nothing turns on but the test that looks for its red.
//!
//! A checker is believed after it has caught a bug: `cargo test -p dynomesh-core --features plant-...` must fail, and say which
//! invariant broke. `docs/failure-model.md` lists which check catches which bug; the ignored test `planted` goes through all of them.

/// A block adopts a dyno although an earlier one has not promised to keep off (P15).
pub(crate) const ADOPT_WITHOUT_RELEASED: bool = cfg!(feature = "plant-adopt-without-released");
/// A dyno is assigned anew under the epoch it has (P17).
pub(crate) const EPOCH_NOT_RAISED: bool = cfg!(feature = "plant-epoch-not-raised");
/// A block lets go of a dyno while requests run there (P12).
pub(crate) const RELEASE_WITH_SLOTS: bool = cfg!(feature = "plant-release-with-slots");
/// A dyno's answer frees the slots of a silent holder, whatever the answer is worth (P8, P9).
pub(crate) const PROBE_FREES_SILENT: bool = cfg!(feature = "plant-probe-frees-silent");
/// A block is evicted while it may still dispatch (P16). The directory cannot know: whoever proposes an eviction answers for the fence, so
/// this one is planted in the model, which stands for the operator and the control plane.
#[cfg(test)]
pub(crate) const EVICT_WITHOUT_FENCE: bool = cfg!(feature = "plant-evict-without-fence");
/// An idle answer counts that is older than the doubt it shall settle (P9).
pub(crate) const STALE_ANSWER: bool = cfg!(feature = "plant-stale-answer");

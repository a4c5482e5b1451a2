//! Refusals as gRPC statuses: what was wrong, whether anything was written, and what to do.

use dynomesh_core::directory::{Kind, Refusal};
use dynomesh_proto::convert::FieldError;
use tonic::Status;

/// A field that no request may hold.
pub(crate) fn invalid(error: FieldError) -> Status {
    Status::invalid_argument(error.to_string())
}

/// The directory's no: nothing was changed.
pub(crate) fn refused(refusal: Refusal) -> Status {
    let Refusal { kind, sentence } = refusal;
    match kind {
        Kind::NotFound => Status::not_found(sentence),
        Kind::Exists => Status::already_exists(sentence),
        Kind::Invalid { field } => Status::invalid_argument(format!("{field}: {sentence}")),
        Kind::Precondition => Status::failed_precondition(sentence),
        Kind::Stale => Status::aborted(sentence),
    }
}

/// A group that does not exist yet cannot write nor answer.
pub(crate) fn not_bootstrapped() -> Status {
    Status::unavailable(
        "this control plane was never bootstrapped; run `dynomesh control bootstrap` once with the `grpc` addresses of all its replicas",
    )
}

/// The time is up: the caller's own, or that of a wait for a leader.
pub(crate) fn late(hurried: bool, unknown: bool) -> Status {
    match (hurried, unknown) {
        (false, true) => outcome_unknown(),
        (false, false) => not_written(),
        (true, true) => Status::deadline_exceeded(
            "it may or may not have been written: no answer came within the caller's limit; send it again, a repeated write does no harm",
        ),
        (true, false) => Status::deadline_exceeded(
            "nothing was written: the control plane had no leader within the caller's limit; send it again, with a longer one",
        ),
    }
}

/// No leader was found in time, and nothing was written.
fn not_written() -> Status {
    Status::unavailable("nothing was written: the control plane has no leader; are most of its replicas running? then send it again")
}

/// A leader took it and was lost before it said what came of it.
pub(crate) fn outcome_unknown() -> Status {
    Status::unavailable(
        "it may or may not have been written: the control plane's leader was lost; send it again, a repeated write does no harm",
    )
}

/// The process is stopping.
pub(crate) fn stopping() -> Status {
    Status::unavailable("nothing was written: this replica of the control plane is stopping; ask another, or again when it is back")
}

/// The directory has not been read from disk and peers yet.
pub(crate) fn not_caught_up() -> Status {
    Status::unavailable("this replica of the control plane has not caught up since its start: it hears of no leader; ask another, or again")
}

/// The caller's limit was over before the process knew whether its directory is the present one.
pub(crate) fn unheard() -> Status {
    Status::unavailable(
        "nothing was written: this replica of the control plane has just started and has yet to hear the map; send it again, with a longer limit",
    )
}

/// The directory is older than its own words in the map (P17, P19).
pub(crate) fn foreign() -> Status {
    Status::failed_precondition(
        "nothing is written: the map holds words of this mesh's directory that this control plane does not have: it lost its disks, was \
         restored from a backup, or belongs to another mesh; if the mesh is its own, run `dynomesh control recover`",
    )
}

/// A stream ends because the process does.
pub(crate) fn resume(after: u64) -> Status {
    Status::unavailable(format!("this replica of the control plane is stopping; resume after {after} at another, or here when it is back"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_kind_and_names_the_field() {
        assert_eq!(refused(Refusal::not_found("x")).code(), tonic::Code::NotFound);
        assert_eq!(refused(Refusal::exists("x")).code(), tonic::Code::AlreadyExists);
        assert_eq!(refused(Refusal::precondition("x")).code(), tonic::Code::FailedPrecondition);
        let status = refused(Refusal::invalid("hosts", "too many"));
        assert_eq!((status.code(), status.message()), (tonic::Code::InvalidArgument, "hosts: too many"));
    }
}

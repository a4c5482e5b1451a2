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

/// No leader was found in time, and nothing was written.
pub(crate) fn not_written() -> Status {
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

/// The directory is empty, the mesh is not (P19).
pub(crate) fn foreign() -> Status {
    Status::failed_precondition(
        "nothing is written: the directory is empty but blocks already own dynos, so it is not the one that gave them these; \
         start the control plane on its own data directory, or start the blocks on empty ones",
    )
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

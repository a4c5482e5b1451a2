//! `bounded`: every request is answered by its deadline, by the app or by an error that says so.
//!
//! Judged by each client's own clock from when it began to send, against the mesh's deadline and what a busy machine adds to it. A client
//! that gave up waiting though the deadline had passed is a violation as well: it had no answer. Unknown: requests that ended in time
//! without an answer, since their connection was cut with the edge that held it or none was to be had, and clients that were less patient
//! than the mesh.

use super::{Limits, Report};
use crate::history::{Exchange, History, Outcome};

/// Judges every request of the history.
pub fn check(history: &History, limits: &Limits) -> Report {
    let mut report = Report::new("bounded");
    for exchange in &history.exchanges {
        judge(exchange, limits, &mut report);
    }
    report
}

fn judge(exchange: &Exchange, limits: &Limits, report: &mut Report) {
    let took = exchange.ended.since(exchange.begun);
    let is_answered = matches!(exchange.outcome, Outcome::Ok(_) | Outcome::Failed(_));
    if took > limits.deadline + limits.late {
        report.judged += 1;
        report
            .violations
            .push(format!("{} of {} was not answered by its deadline of {}: {exchange}", exchange.key, exchange.path, limits.deadline));
    } else if is_answered {
        report.judged += 1;
    } else {
        report.unknown += 1;
    }
}

#[cfg(test)]
mod tests {
    use dynomesh_core::time::Span;

    use super::*;
    use crate::history::invented::{answer, at, exchange};

    fn took(secs: u64, patience: u64, outcome: Outcome) -> Report {
        let history = History {
            exchanges: vec![Exchange {
                begun: at(500),
                ended: at(500 + 1000 * secs),
                deadline: Span::from_secs(patience),
                outcome,
                ..exchange("a")
            }],
            ..History::default()
        };
        check(&history, &Limits { deadline: Span::from_secs(10), late: Span::from_secs(1), ..Limits::default() })
    }

    #[test]
    fn an_answer_or_an_error_by_the_deadline_is_fine() {
        took(10, 20, Outcome::Ok(answer(None))).assert_holds();
        took(11, 20, Outcome::Failed(answer(Some("deadline")))).assert_holds();
    }

    #[test]
    fn one_after_it_is_a_violation_and_so_is_none() {
        assert_eq!(took(12, 20, Outcome::Ok(answer(None))).violations.len(), 1);
        assert_eq!(took(12, 20, Outcome::Failed(answer(Some("deadline")))).violations.len(), 1);
        assert_eq!(took(20, 20, Outcome::Unknown("no complete answer within 20s".into())).violations.len(), 1);
    }

    #[test]
    fn who_was_cut_or_was_impatient_knows_nothing() {
        for report in
            [took(3, 20, Outcome::Unknown("reset".into())), took(5, 5, Outcome::Unknown("5s".into())), took(0, 20, Outcome::Refused)]
        {
            assert_eq!((report.judged, report.unknown, report.violations.len()), (0, 1, 0));
        }
    }
}

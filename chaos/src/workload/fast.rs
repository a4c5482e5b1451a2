//! Very short requests at a high rate, so that very many are seen in a run.

use dynomesh_core::time::Span;
use dynomesh_testkit::client::{Ask, Load};
use serde::Deserialize;

use super::Place;
use super::rounds::Round;

/// How many.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// Requests per second.
    pub(super) rate: f64,
    /// How long a dyno works on one.
    #[serde(default = "service")]
    service: Span,
}

fn service() -> Span {
    Span::from_millis(2)
}

// === impl Spec ===

impl Spec {
    pub(super) fn load(&self, place: &Place) -> Load {
        let service = self.service;
        Round::new(self.rate, place.seed).load(move |n, _| if n % 4 == 3 { Ask::post("/fast") } else { Ask::get("/fast") }.service(service))
    }
}

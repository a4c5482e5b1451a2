//! Very short requests at a high rate, so that very many are seen in a run.

use dynomesh_core::time::Span;
use dynomesh_testkit::client::{Arrivals, Ask, Load};
use serde::Deserialize;

use super::Place;

/// How many.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// Requests per second.
    rate: f64,
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
        let make = move |n: u64| if n % 4 == 3 { Ask::post("/fast") } else { Ask::get("/fast") }.service(service);
        Load { rate: self.rate, arrivals: Arrivals::Poisson(place.seed), make: Box::new(make) }
    }
}

//! Short requests of all methods, as many as a share of the dynos' slots is worth.

use dynomesh_core::time::Span;
use dynomesh_testkit::client::{Ask, Load};
use hyper::Method;
use rand::RngExt;
use serde::Deserialize;

use super::Place;
use super::rounds::Round;

/// Longest wait for an answer: the mesh's own deadline, and some more.
const DEADLINE: Span = Span::from_secs(65);

/// Largest part of a method, beside the others.
const PART_MAX: f64 = 1e6;

/// How much, and of what.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// Share of the dynos' slots that is in use on average.
    pub(super) load: f64,
    /// Parts of each method.
    #[serde(default = "gets")]
    get: f64,
    #[serde(default = "posts")]
    post: f64,
    #[serde(default = "puts")]
    put: f64,
    #[serde(default = "deletes")]
    delete: f64,
    /// Whether clients repeat idempotent requests whose connection to an edge breaks before any of an answer has come, once, as browsers and
    /// libraries do. Nothing else can answer what was on its way through an edge that died.
    #[serde(default)]
    repeats: bool,
}

fn gets() -> f64 {
    0.5
}

fn posts() -> f64 {
    0.25
}

fn puts() -> f64 {
    0.15
}

fn deletes() -> f64 {
    0.1
}

// === impl Spec ===

impl Spec {
    /// Refuses parts that are none.
    pub(super) fn check(&self) -> Result<(), String> {
        let parts = [("get", self.get), ("post", self.post), ("put", self.put), ("delete", self.delete)];
        match parts.iter().find(|(_, part)| !(0.0..=PART_MAX).contains(part)) {
            Some((key, part)) => Err(format!("workload.{key} = {part} must be from 0 to {PART_MAX}: a part of the requests")),
            None if parts.iter().all(|(_, part)| *part == 0.0) => {
                Err("one of workload.get, post, put and delete must be more than 0".into())
            }
            None => Ok(()),
        }
    }

    pub(super) fn load(&self, place: &Place) -> Load {
        let mut round = Round::new(self.load * place.capacity, place.seed);
        let services = round.services(place.floor, place.mean);
        let repeats = self.repeats;
        let methods: Vec<Method> = services.iter().map(|_| self.method(round.rng.random())).collect();
        round.load(move |n, nth| {
            let method = &methods[nth];
            let path = format!("/item/{}", n % 1000);
            let ask = Ask::new(method.clone(), &path).service(services[nth]).deadline(DEADLINE);
            let has_body = *method == Method::POST || *method == Method::PUT;
            let ask = if has_body { ask.body(&format!("what is sent with request {n}")) } else { ask };
            if repeats && method.is_idempotent() { ask.repeated_if_broken() } else { ask }
        })
    }

    fn method(&self, drawn: f64) -> Method {
        let mut left = drawn * (self.get + self.post + self.put + self.delete);
        for (share, method) in [(self.get, Method::GET), (self.post, Method::POST), (self.put, Method::PUT)] {
            if left < share {
                return method;
            }
            left -= share;
        }
        Method::DELETE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_drawn_by_their_parts() {
        let spec = Spec { load: 1.0, get: 1.0, post: 2.0, put: 0.0, delete: 1.0, repeats: false };
        let drawn: Vec<Method> = [0.1, 0.3, 0.7, 0.8].into_iter().map(|drawn| spec.method(drawn)).collect();
        assert_eq!(drawn, [Method::GET, Method::POST, Method::POST, Method::DELETE]);
    }
}

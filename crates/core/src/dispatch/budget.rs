//! How many retries an edge can afford, per app.
//!
//! Retries hide the failure of a part; when everything fails they are extra load on what is left. So they are paid from what the app's
//! own traffic brings in: a share of its requests and a small steady income, saved for a few seconds at most.

use crate::time::{Span, Time};

/// Seconds of income that are saved at most: enough for the retries of a block's death, not for those of an outage.
pub const SAVED_SECONDS: u64 = 10;

/// The unit of account is a billionth of a retry: what a nanosecond brings in at one retry a second. So no income is lost to rounding.
const RETRY: u64 = 1_000_000_000;

/// Income of a retry budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetSettings {
    /// Retries per hundred requests.
    pub percent: u32,
    /// Retries per second beyond those.
    pub per_second: u32,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        BudgetSettings { percent: 20, per_second: 10 }
    }
}

/// The retry budget of one app at one edge.
#[derive(Debug)]
pub struct Budget {
    settings: BudgetSettings,
    /// In billionths of a retry.
    saved: u64,
    paid: Time,
    /// Requests in the second that began at `second`, and in the one before.
    second: Time,
    requests: u64,
    requests_before: u64,
}

impl Budget {
    /// A full budget.
    pub fn new(settings: BudgetSettings, now: Time) -> Self {
        let mut budget = Budget { settings, saved: 0, paid: now, second: now, requests: 0, requests_before: 0 };
        budget.saved = budget.saved_max();
        budget
    }

    /// Pays in for a client's request.
    pub fn request(&mut self, now: Time) {
        self.advance(now);
        self.requests += 1;
        self.saved = self.saved.saturating_add(self.per_request()).min(self.saved_max());
    }

    /// Takes out one retry; false if the budget has none, and then there is no retry.
    pub fn withdraw(&mut self, now: Time) -> bool {
        self.advance(now);
        let affordable = self.saved >= RETRY;
        if affordable {
            self.saved -= RETRY;
        }
        affordable
    }

    /// Whole retries that could be taken out now.
    pub fn saved(&mut self, now: Time) -> u64 {
        self.advance(now);
        self.saved / RETRY
    }

    fn per_request(&self) -> u64 {
        u64::from(self.settings.percent) * RETRY / 100
    }

    /// The most that may be saved grows with the traffic of the last two seconds, as the income does.
    fn saved_max(&self) -> u64 {
        let traffic = self.requests.max(self.requests_before).saturating_mul(self.per_request());
        let steady = u64::from(self.settings.per_second) * RETRY;
        steady.saturating_add(traffic).saturating_mul(SAVED_SECONDS)
    }

    fn advance(&mut self, now: Time) {
        let seconds = now.since(self.second).as_nanos() / Span::from_secs(1).as_nanos();
        if seconds > 0 {
            self.requests_before = if seconds == 1 { self.requests } else { 0 };
            self.requests = 0;
            self.second += Span::from_secs(seconds);
        }
        let income = now.since(self.paid).as_nanos().saturating_mul(u64::from(self.settings.per_second));
        self.paid = self.paid.max(now);
        self.saved = self.saved.saturating_add(income).min(self.saved_max());
    }

    /// Stops the process if more is saved than may be. For tests and simulations, after each change.
    pub fn check_invariants(&self) {
        assert!(self.saved <= self.saved_max(), "{} billionths saved, at most {}", self.saved, self.saved_max());
        assert!(self.paid.since(self.second) < Span::from_secs(1), "the second that is counted has passed");
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::sweep::sweep;

    fn at(millis: u64) -> Time {
        Time::ZERO + Span::from_millis(millis)
    }

    fn spend(budget: &mut Budget, now: Time) -> u64 {
        (0..).take_while(|_| budget.withdraw(now)).count() as u64
    }

    #[test]
    fn an_idle_app_has_ten_seconds_of_the_steady_income_and_no_more() {
        let mut budget = Budget::new(BudgetSettings::default(), at(0));
        assert_eq!(spend(&mut budget, at(0)), 100);
        assert_eq!(spend(&mut budget, at(500)), 5);
        assert_eq!(spend(&mut budget, at(3_600_000)), 100);
    }

    #[test]
    fn a_fifth_of_the_requests_may_be_retried_beyond_that() {
        let mut budget = Budget::new(BudgetSettings { percent: 20, per_second: 0 }, at(0));
        assert!(!budget.withdraw(at(0)));
        for _ in 0..1000 {
            budget.request(at(1));
        }
        assert_eq!(spend(&mut budget, at(1)), 200);
    }

    #[test]
    fn income_is_not_lost_however_often_the_budget_is_asked() {
        let mut budget = Budget::new(BudgetSettings { percent: 0, per_second: 10 }, at(0));
        spend(&mut budget, at(0));
        let spent = (0..=1_000_000u64).filter(|micros| budget.withdraw(Time::ZERO + Span::from_micros(*micros))).count();
        assert_eq!(spent, 10);
    }

    #[test]
    fn when_everything_fails_retries_add_a_fifth_and_ten_a_second() {
        let mut budget = Budget::new(BudgetSettings::default(), at(0));
        let mut retries = 0;
        for millis in 0..60_000 {
            budget.request(at(millis));
            retries += (0..4).filter(|_| budget.withdraw(at(millis))).count();
        }
        assert_eq!(retries, 100 + 60_000 / 5 + 599, "the first savings, a fifth of the requests, ten a second");
    }

    #[test]
    fn no_time_span_sees_more_retries_than_its_income_and_the_savings_before_it() {
        sweep("no_time_span_sees_more_retries_than_its_income", 300, |rng| {
            let settings = BudgetSettings { percent: rng.random_range(0..50), per_second: rng.random_range(0..20) };
            let mut now = at(rng.random_range(0..5_000));
            let mut budget = Budget::new(settings, now);
            let (began, first) = (now, budget.saved(now));
            let (mut requests, mut retries) = (0u64, 0u64);
            for _ in 0..400 {
                now += Span::from_nanos(rng.random_range(0..30_000_000));
                let before = budget.saved(now);
                if rng.random_bool(0.7) {
                    budget.request(now);
                    requests += 1;
                } else {
                    assert_eq!(budget.withdraw(now), before > 0, "a retry is had exactly when one is saved");
                    retries += u64::from(before > 0);
                }
                budget.check_invariants();
                let steady = now.since(began).as_nanos() * u64::from(settings.per_second);
                let income = requests * u64::from(settings.percent) * RETRY / 100 + steady;
                assert!(retries * RETRY <= first * RETRY + income, "{retries} retries for {requests} requests");
            }
        });
    }
}

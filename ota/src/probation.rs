//! When a new program is good enough: it has to be well for a while, by a deadline. Pure; what "well" means is the node's to say.
//! Being offline is no failure: nothing here looks beyond the machine.

use std::time::Duration;

/// A program on probation.
#[derive(Clone, Debug)]
pub struct Probation {
    needed: Duration,
    limit: Duration,
    well_since: Option<Duration>,
    problem: String,
}

/// What follows from a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Wait,
    /// The program is confirmed.
    Commit,
    /// The program is given up; the reason, for people.
    GiveUp(String),
}

impl Probation {
    /// One that has to be well for `needed`, without a break, before `limit` has passed since its start.
    pub fn new(needed: Duration, limit: Duration) -> Self {
        Self { needed, limit, well_since: None, problem: "it was never looked at".to_owned() }
    }

    /// A look, `since_start` after the start: what is wrong, if anything.
    pub fn observe(&mut self, since_start: Duration, problem: Option<String>) -> Verdict {
        match problem {
            None => {
                let since = *self.well_since.get_or_insert(since_start);
                if since_start.saturating_sub(since) >= self.needed {
                    return Verdict::Commit;
                }
            }
            Some(problem) => {
                self.well_since = None;
                self.problem = problem;
            }
        }
        // One that is well so far is not given up at the deadline: it gets as long as it needs, or fails.
        if self.well_since.is_none() && since_start >= self.limit {
            let limit = self.limit.as_secs_f64();
            return Verdict::GiveUp(format!("{} (it had {limit} s to get well)", self.problem));
        }
        Verdict::Wait
    }

    /// What was wrong at the last look; `None`: nothing.
    pub fn problem(&self) -> Option<&str> {
        self.well_since.is_none().then_some(self.problem.as_str())
    }

    /// For how long it has been well, at `since_start`, and for how long it has to be.
    pub fn well_for(&self, since_start: Duration) -> (Duration, Duration) {
        (self.well_since.map_or(Duration::ZERO, |since| since_start.saturating_sub(since)), self.needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn ill() -> Option<String> {
        Some("MQTT does not answer".to_owned())
    }

    #[test]
    fn a_program_that_is_well_long_enough_is_confirmed_and_not_a_moment_sooner() {
        let mut probation = Probation::new(s(60), s(300));
        assert_eq!(probation.observe(s(1), None), Verdict::Wait);
        assert_eq!(probation.observe(s(60), None), Verdict::Wait);
        assert_eq!(probation.well_for(s(60)), (s(59), s(60)));
        assert_eq!(probation.observe(s(61), None), Verdict::Commit);
    }

    #[test]
    fn one_that_falls_ill_begins_again() {
        let mut probation = Probation::new(s(60), s(300));
        probation.observe(s(1), None);
        assert_eq!(probation.observe(s(59), ill()), Verdict::Wait);
        assert_eq!(probation.problem(), Some("MQTT does not answer"));
        assert_eq!(probation.observe(s(62), None), Verdict::Wait);
        assert_eq!(probation.observe(s(122), None), Verdict::Commit);
    }

    #[test]
    fn one_that_never_gets_well_is_given_up_at_the_limit_with_the_last_problem() {
        let mut probation = Probation::new(s(60), s(300));
        assert_eq!(probation.observe(s(299), ill()), Verdict::Wait);
        let reason = "MQTT does not answer (it had 300 s to get well)".to_owned();
        assert_eq!(probation.observe(s(300), ill()), Verdict::GiveUp(reason));
    }

    #[test]
    fn one_that_is_well_at_the_limit_is_waited_for() {
        let mut probation = Probation::new(s(60), s(300));
        assert_eq!(probation.observe(s(299), None), Verdict::Wait);
        assert_eq!(probation.observe(s(310), None), Verdict::Wait);
        assert_eq!(probation.observe(s(359), None), Verdict::Commit);
        let mut probation = Probation::new(s(60), s(300));
        probation.observe(s(299), None);
        assert!(matches!(probation.observe(s(310), ill()), Verdict::GiveUp(_)));
    }
}

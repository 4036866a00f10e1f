//! The alarm of one device: whether it is raised, and when that changes. Pure; where the state is kept is `lib.rs`'s
//! business.

/// At `raise` the alarm is raised, at `raise - hysteresis` it is cleared. In between it stays as it is.
pub struct Thresholds {
    pub raise: f64,
    pub hysteresis: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    Clear,
    Raised,
}

impl Alarm {
    pub fn after(self, celsius: f64, thresholds: &Thresholds) -> Alarm {
        if celsius >= thresholds.raise {
            Alarm::Raised
        } else if celsius <= thresholds.raise - thresholds.hysteresis {
            Alarm::Clear
        } else {
            self
        }
    }

    pub fn as_bytes(self) -> &'static [u8] {
        match self {
            Alarm::Clear => b"clear",
            Alarm::Raised => b"raised",
        }
    }

    /// Whatever is not `raised` counts as clear, so that an unreadable state costs one repeated alarm and no lost one.
    pub fn from_bytes(bytes: &[u8]) -> Alarm {
        if bytes == Alarm::Raised.as_bytes() { Alarm::Raised } else { Alarm::Clear }
    }
}

#[cfg(test)]
mod tests {
    use super::{Alarm, Thresholds};

    #[test]
    fn readings_that_tremble_around_the_threshold_change_the_alarm_once() {
        let thresholds = Thresholds { raise: 60.0, hysteresis: 2.0 };
        let mut alarm = Alarm::Clear;
        let mut states = Vec::new();
        for celsius in [59.9, 60.0, 59.9, 60.1, 58.1, 60.0, 58.0, 58.1, 59.9, 61.0] {
            alarm = alarm.after(celsius, &thresholds);
            states.push(alarm == Alarm::Raised);
        }
        assert_eq!(states, [false, true, true, true, true, true, false, false, false, true]);
    }

    #[test]
    fn what_was_stored_is_read_back() {
        for alarm in [Alarm::Clear, Alarm::Raised] {
            assert_eq!(Alarm::from_bytes(alarm.as_bytes()), alarm);
        }
        assert_eq!(Alarm::from_bytes(b"?"), Alarm::Clear);
    }
}

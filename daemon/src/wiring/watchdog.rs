//! What the service manager is told, in systemd's words (sd_notify(3)): ready, alive, ending. Nobody is told where nobody asked.

use sd_notify::NotifyState;

/// The node takes clients.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Whether somebody waits for signs of life.
pub fn is_asked() -> bool {
    sd_notify::watchdog_enabled().is_some()
}

/// The node does its work.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// The node ends, on purpose.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

//! Ctrl-C, SIGTERM and SIGHUP as something to wait for: `pub` and `sub` say DISCONNECT, so that no will is published, and the
//! node shuts down in order or reads its files again. Not for other signals, and not for more than one waiter.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// An end.
    End,
    /// That files are read again.
    Reload,
}

/// Becomes readable when somebody wants something.
#[derive(Debug)]
pub struct Signals {
    descriptor: OwnedFd,
    taken: &'static [libc::c_int],
}

impl Signals {
    /// From here on SIGINT and SIGTERM do not kill the process. Call before any thread is started: the mask is inherited.
    ///
    /// # Errors
    /// The system refused.
    pub fn new() -> io::Result<Self> {
        Self::of(&[libc::SIGINT, libc::SIGTERM])
    }

    /// As `new`, and SIGHUP is a wish to reload.
    ///
    /// # Errors
    /// The system refused.
    pub fn with_reload() -> io::Result<Self> {
        Self::of(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP])
    }

    fn of(taken: &'static [libc::c_int]) -> io::Result<Self> {
        let set = set_of(taken);
        mask(libc::SIG_BLOCK, taken)?;
        // SAFETY: `set` is initialised; -1 asks for a new descriptor.
        let descriptor = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just gave this descriptor to us alone.
        Ok(Self { descriptor: unsafe { OwnedFd::from_raw_fd(descriptor) }, taken })
    }

    /// Waits for a signal, at most `timeout`; what it means, when there was one, which is then taken.
    ///
    /// # Errors
    /// The system refused.
    pub fn wait(&self, timeout: Duration) -> io::Result<Option<Wish>> {
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        let mut descriptors = [PollFd::new(&self.descriptor, PollFlags::IN)];
        match poll(&mut descriptors, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => Ok(None),
            Ok(_) => {
                let mut taken = [0; size_of::<libc::signalfd_siginfo>()];
                rustix::io::read(&self.descriptor, &mut taken)?;
                // The number of the signal is the first field.
                let number = taken.first_chunk::<4>().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
                let is_reload = i32::try_from(number) == Ok(libc::SIGHUP);
                Ok(Some(if is_reload { Wish::Reload } else { Wish::End }))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// From here on a signal ends the process at once: whoever asks a second time does not want to wait.
    ///
    /// # Errors
    /// The system refused.
    pub fn release(&self) -> io::Result<()> {
        mask(libc::SIG_UNBLOCK, self.taken)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

fn set_of(signals: &[libc::c_int]) -> libc::sigset_t {
    // SAFETY: a zeroed `sigset_t` is a valid argument of `sigemptyset`, which initialises it.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a live local.
    unsafe { libc::sigemptyset(&raw mut set) };
    for signal in signals {
        // SAFETY: `set` is initialised; the signal numbers are valid.
        unsafe { libc::sigaddset(&raw mut set, *signal) };
    }
    set
}

fn mask(how: libc::c_int, signals: &[libc::c_int]) -> io::Result<()> {
    let set = set_of(signals);
    // SAFETY: `set` is initialised; the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

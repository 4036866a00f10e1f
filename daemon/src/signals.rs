//! Ctrl-C and SIGTERM as something to wait for: `pub` and `sub` say DISCONNECT, so that no will is published, and the node
//! shuts down in order. Not for other signals, and not for more than one waiter.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Becomes readable when somebody wants an end.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// From here on SIGINT and SIGTERM do not kill the process. Call before any thread is started: the mask is inherited.
    ///
    /// # Errors
    /// The system refused.
    pub fn new() -> io::Result<Self> {
        let set = both();
        mask(libc::SIG_BLOCK)?;
        // SAFETY: `set` is initialised; -1 asks for a new descriptor.
        let descriptor = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just gave this descriptor to us alone.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// Waits for a signal, at most `timeout`; true when there was one, which is then taken.
    ///
    /// # Errors
    /// The system refused.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        let mut descriptors = [PollFd::new(&self.0, PollFlags::IN)];
        match poll(&mut descriptors, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => Ok(false),
            Ok(_) => {
                let mut taken = [0; size_of::<libc::signalfd_siginfo>()];
                rustix::io::read(&self.0, &mut taken)?;
                Ok(true)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// From here on a signal ends the process at once: whoever asks a second time does not want to wait.
    ///
    /// # Errors
    /// The system refused.
    pub fn release(&self) -> io::Result<()> {
        mask(libc::SIG_UNBLOCK)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn both() -> libc::sigset_t {
    // SAFETY: a zeroed `sigset_t` is a valid argument of `sigemptyset`, which initialises it.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a live local; the signal numbers are valid.
    unsafe {
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGINT);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
    }
    set
}

fn mask(how: libc::c_int) -> io::Result<()> {
    let set = both();
    // SAFETY: `set` is initialised; the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

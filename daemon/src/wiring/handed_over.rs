//! Sockets on which the service manager listens for the node (sd_listen_fds(3)): connections wait in the kernel while no node is
//! there, through a restart, an update and a crash.
//!
//! Where the node listens is said by its configuration all the same; a socket is used where their addresses are the same.
//! Invariant: what was handed over stays open until this process ends, and goes on to the program that it becomes.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::FdFlags;
use socket2::SockRef;
use thiserror::Error;

/// Why what was handed over is of no use.
#[derive(Debug, Error)]
pub enum HandedOverError {
    /// `LISTEN_FDS` or `LISTEN_PID` say nothing that makes sense.
    #[error("take over the sockets of the service manager")]
    Announced(#[source] io::Error),
    /// A file that is not what it should be.
    #[error(
        "file {number} that the service manager hands over is no TCP socket that listens (ListenStream=ADDRESS:PORT makes one)"
    )]
    NoListener {
        /// Its number.
        number: RawFd,
    },
    /// It cannot be used.
    #[error("take over file {number} of the service manager")]
    Unusable {
        /// Its number.
        number: RawFd,
        /// Cause.
        source: io::Error,
    },
}

/// Sockets that wait to be used.
#[derive(Debug, Default)]
pub struct HandedOver(Vec<(SocketAddr, TcpListener)>);

impl HandedOver {
    /// What the service manager handed to this process; to be called once.
    ///
    /// # Errors
    /// Something is there and is no listening socket.
    pub fn take() -> Result<Self, HandedOverError> {
        let numbers = sd_notify::listen_fds().map_err(HandedOverError::Announced)?;
        numbers.map(of_number).collect::<Result<_, _>>().map(Self)
    }

    /// The socket that listens at this address, if there is one.
    pub fn at(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let position = self.0.iter().position(|(of, _)| *of == address)?;
        Some(self.0.swap_remove(position).1)
    }

    /// An address at which the service manager listens and nobody asked for.
    pub fn left(&self) -> Option<SocketAddr> {
        self.0.first().map(|(address, _)| *address)
    }
}

fn of_number(number: RawFd) -> Result<(SocketAddr, TcpListener), HandedOverError> {
    // SAFETY: the service manager opened it before this program began and nothing here closes it; it is borrowed for the copy only.
    let given = unsafe { BorrowedFd::borrow_raw(number) };
    let socket = SockRef::from(&given);
    let address = socket.local_addr().ok().and_then(|address| address.as_socket());
    let Some(address) = address.filter(|_| socket.is_listener().unwrap_or(false)) else {
        return Err(HandedOverError::NoListener { number });
    };
    let copy = given.try_clone_to_owned().map_err(|source| HandedOverError::Unusable { number, source })?;
    Ok((address, copy.into()))
}

/// Leaves the sockets open for the program that this process becomes. Programs that it starts do not get them.
///
/// # Errors
/// As [`HandedOver::take`].
pub fn hand_on() -> Result<(), HandedOverError> {
    for number in sd_notify::listen_fds().map_err(HandedOverError::Announced)? {
        // SAFETY: as in `of_number`.
        let given = unsafe { BorrowedFd::borrow_raw(number) };
        rustix::io::fcntl_setfd(given, FdFlags::empty())
            .map_err(|error| HandedOverError::Unusable { number, source: error.into() })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_listening_socket_is_found_by_its_address() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let mut handed_over = HandedOver(vec![of_number(socket.as_raw_fd()).unwrap()]);
        assert_eq!(handed_over.left(), Some(address));
        assert!(handed_over.at(SocketAddr::new(address.ip(), address.port() ^ 1)).is_none());
        assert_eq!(handed_over.at(address).unwrap().local_addr().unwrap(), address);
        assert_eq!(handed_over.left(), None);
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        let file = File::open("/dev/null").unwrap();
        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for number in [file.as_raw_fd(), datagrams.as_raw_fd()] {
            assert!(matches!(of_number(number), Err(HandedOverError::NoListener { .. })), "{number}");
        }
    }
}

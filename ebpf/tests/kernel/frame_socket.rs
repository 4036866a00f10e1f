//! Sends whole frames on an interface, as they are.

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

/// A packet socket (packet(7)) that is bound to an interface of this namespace.
pub struct FrameSocket(OwnedFd);

impl FrameSocket {
    /// One that gets nothing: protocol 0.
    pub fn open(interface: &str) -> Self {
        let name = CString::new(interface).expect("a name");
        // SAFETY: the name ends with a zero.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        assert_ne!(index, 0, "{interface}: {}", io::Error::last_os_error());
        // SAFETY: no pointers.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        assert!(fd >= 0, "a packet socket: {}", io::Error::last_os_error());
        // SAFETY: a new descriptor that nobody else has.
        let socket = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: 0,
            sll_ifindex: index as i32,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        // SAFETY: an address of that family with its length.
        let bound =
            unsafe { libc::bind(fd, (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as libc::socklen_t) };
        assert_eq!(bound, 0, "bind: {}", io::Error::last_os_error());
        socket
    }

    pub fn send(&self, frame: &[u8]) {
        // SAFETY: the frame lives and has that length.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        assert_eq!(sent, frame.len() as isize, "a frame: {}", io::Error::last_os_error());
    }
}

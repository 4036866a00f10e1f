//! Options of listening sockets. On Linux an accepted socket inherits them, so that accepting costs one system call.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::config::Config;

/// Connections that the kernel completes before they are accepted; it caps them at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// A listening socket that can be bound again at once after a restart.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Options that accepted sockets take over.
pub(crate) fn prepare(listener: &TcpListener, config: &Config) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let socket = SockRef::from(listener);
    socket.set_tcp_nodelay(true)?;
    if let Some(silence) = config.tcp_keep_alive {
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(silence))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{net::TcpStream, time::Duration};

    use super::*;

    #[test]
    fn accepted_sockets_take_the_options_over() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("bind");
        let config = Config { tcp_keep_alive: Some(Duration::from_secs(77)), ..Config::default() };
        prepare(&listener, &config).expect("prepare");
        listener.set_nonblocking(false).expect("blocking");
        let _client = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        let (accepted, _) = listener.accept().expect("accept");
        let accepted = SockRef::from(&accepted);
        assert!(accepted.tcp_nodelay().expect("option"));
        assert!(accepted.keepalive().expect("option"));
        assert_eq!(accepted.tcp_keepalive_time().expect("option"), Duration::from_secs(77));
    }
}

//! Logging in with SCRAM-SHA-256 on a node that has a user with it.

use anyhow::{Context as _, bail, ensure};
use selvedge_tests::client_packet::{Connect, auth, binary, text};
use selvedge_tests::peer::Peer;
use selvedge_tests::scram::{Expected, METHOD, Scram};
use selvedge_tests::server_packet::{Closing, ConnAck, ServerPacket, properties};

use crate::target::Target;

/// The user that [`Target::with_user`] is asked for.
pub const USER: &str = "sam";
/// And the password.
pub const PASSWORD: &str = "correct horse battery staple";

/// One exchange.
#[derive(Debug, Clone)]
pub struct Login {
    target: Target,
    scram: Scram,
}

impl Login {
    /// With the right password.
    pub fn new(target: &Target) -> Self {
        Self::with(target, USER, PASSWORD)
    }

    /// With any.
    pub fn with(target: &Target, user: &str, password: &str) -> Self {
        Self { target: target.clone(), scram: Scram::new(user, password, &target.id("nonce")) }
    }

    /// The CONNECT that begins it.
    pub fn begin(&self, connect: Connect) -> Connect {
        connect.authentication(METHOD, Some(&self.scram.first()))
    }

    /// Connects as far as the server's first message, and gives the answer to it.
    ///
    /// # Errors
    /// The server does not go on.
    pub fn open(&self, connect: Connect) -> anyhow::Result<(Peer, Expected)> {
        let mut peer = self.target.open()?;
        peer.send_connect(&self.begin(connect))?;
        let proof = self.proof(&expect_step(&mut peer)?)?;
        Ok((peer, proof))
    }

    /// Connects; the server has to accept, and to prove that it knows the user.
    ///
    /// # Errors
    /// It does not.
    pub fn connect(&self, connect: Connect) -> anyhow::Result<(Peer, ConnAck)> {
        let (mut peer, proof) = self.open(connect)?;
        peer.send(&step(&proof.message))?;
        let connack = peer.expect_connack()?;
        ensure!(connack.reason == 0, "the login is refused: {connack:?}");
        let last = connack.properties.binary(properties::AUTHENTICATION_DATA).unwrap_or_default();
        ensure!(proof.is_shown_by(last), "the server does not prove that it knows the user: {connack:?}");
        Ok((peer, connack))
    }

    /// The AUTH that begins a re-authentication.
    pub fn begin_again(&self) -> Vec<u8> {
        auth(0x19, &[text(properties::AUTHENTICATION_METHOD, METHOD), data(&self.scram.first())].concat())
    }

    /// Authenticates again; the server has to accept.
    ///
    /// # Errors
    /// It does not.
    pub fn again(&self, peer: &mut Peer) -> anyhow::Result<()> {
        peer.send(&self.begin_again())?;
        let proof = self.proof(&expect_step(peer)?)?;
        peer.send(&step(&proof.message))?;
        let last = expect_auth(peer)?;
        ensure!(last.reason == 0x00, "the re-authentication ends with {last:?}");
        let data = last.properties.binary(properties::AUTHENTICATION_DATA).unwrap_or_default();
        ensure!(proof.is_shown_by(data), "the server does not prove that it knows the user: {last:?}");
        Ok(())
    }

    /// The answer to the server's first message.
    ///
    /// # Errors
    /// It is not one.
    pub fn proof(&self, first: &Closing) -> anyhow::Result<Expected> {
        let data =
            first.properties.binary(properties::AUTHENTICATION_DATA).context("find authentication data in AUTH")?;
        self.scram.proof(data)
    }
}

/// An AUTH that goes on.
pub fn step(message: &[u8]) -> Vec<u8> {
    auth(0x18, &[text(properties::AUTHENTICATION_METHOD, METHOD), data(message)].concat())
}

/// An AUTH of the server that goes on.
///
/// # Errors
/// Something else comes.
pub fn expect_step(peer: &mut Peer) -> anyhow::Result<Closing> {
    let auth = expect_auth(peer)?;
    ensure!(auth.reason == 0x18, "{auth:?} where the exchange has to go on");
    Ok(auth)
}

fn expect_auth(peer: &mut Peer) -> anyhow::Result<Closing> {
    match peer.receive()? {
        ServerPacket::Auth(auth) => Ok(auth),
        other => bail!("expected AUTH, got {other:?}"),
    }
}

fn data(message: &[u8]) -> Vec<u8> {
    binary(properties::AUTHENTICATION_DATA, message)
}

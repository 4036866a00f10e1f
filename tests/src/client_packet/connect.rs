//! CONNECT, with its will and what it allows the server.

use super::{binary, byte, data, four_bytes, packet, section, text, two_bytes};
use crate::client::Version;

/// What a CONNECT says; made into bytes by [`Connect::bytes`].
#[derive(Debug, Clone)]
pub struct Connect {
    /// Protocol of the connection.
    pub version: Version,
    /// Client identifier.
    pub client_id: String,
    /// Clean Start, in 3.1.1 Clean Session.
    pub clean_start: bool,
    /// Seconds; 0 is none.
    pub keep_alive_s: u16,
    /// Encoded properties of MQTT 5.
    pub properties: Vec<u8>,
    /// The will.
    pub will: Option<Will>,
    /// User name.
    pub user: Option<Vec<u8>>,
    /// Password.
    pub password: Option<Vec<u8>>,
    /// What the client told of itself, for [`crate::peer::Peer`] to hold the server to it.
    pub terms: Terms,
}

/// What a client allows the server.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Receive Maximum.
    pub receive_maximum: u16,
    /// Maximum Packet Size, bytes.
    pub packet_bytes_max: u32,
    /// Topic Alias Maximum.
    pub topic_alias_max: u16,
    /// Request Problem Information.
    pub problem_information: bool,
    /// Request Response Information.
    pub response_information: bool,
    /// Authentication Method.
    pub authentication_method: Option<String>,
}

/// A will.
#[derive(Debug, Clone)]
pub struct Will {
    /// Where it goes.
    pub topic: Vec<u8>,
    /// What it says.
    pub payload: Vec<u8>,
    /// 0 to 2; 3 is not allowed.
    pub qos: u8,
    /// The Will Retain flag.
    pub retain: bool,
    /// Encoded will properties of MQTT 5.
    pub properties: Vec<u8>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            receive_maximum: u16::MAX,
            packet_bytes_max: u32::MAX,
            topic_alias_max: 0,
            problem_information: true,
            response_information: false,
            authentication_method: None,
        }
    }
}

impl Connect {
    /// A clean session of MQTT 5 without keep-alive.
    pub fn v5(client_id: impl Into<String>) -> Self {
        Self::new(Version::V5, client_id)
    }

    /// A clean session of MQTT 3.1.1 without keep-alive.
    pub fn v311(client_id: impl Into<String>) -> Self {
        Self::new(Version::V311, client_id)
    }

    /// A clean session without keep-alive.
    pub fn new(version: Version, client_id: impl Into<String>) -> Self {
        Self {
            version,
            client_id: client_id.into(),
            clean_start: true,
            keep_alive_s: 0,
            properties: Vec::new(),
            will: None,
            user: None,
            password: None,
            terms: Terms::default(),
        }
    }

    /// Clean Start 0: goes on with the session that is there.
    #[must_use]
    pub fn resuming(mut self) -> Self {
        self.clean_start = false;
        self
    }

    /// A session that outlives its connection: Clean Session 0 in 3.1.1, a Session Expiry Interval of 100 s in MQTT 5.
    #[must_use]
    pub fn lasting(mut self) -> Self {
        match self.version {
            Version::V5 => self.session_expiry(100),
            Version::V311 => {
                self.clean_start = false;
                self
            }
        }
    }

    /// Session Expiry Interval, seconds.
    #[must_use]
    pub fn session_expiry(self, seconds: u32) -> Self {
        self.property(&four_bytes(0x11, seconds))
    }

    /// Keep-alive, seconds.
    #[must_use]
    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive_s = seconds;
        self
    }

    /// Receive Maximum.
    #[must_use]
    pub fn receive_maximum(mut self, messages: u16) -> Self {
        self.terms.receive_maximum = messages;
        self.property(&two_bytes(0x21, messages))
    }

    /// Maximum Packet Size, bytes.
    #[must_use]
    pub fn packet_bytes_max(mut self, bytes: u32) -> Self {
        self.terms.packet_bytes_max = bytes;
        self.property(&four_bytes(0x27, bytes))
    }

    /// Topic Alias Maximum.
    #[must_use]
    pub fn topic_alias_max(mut self, maximum: u16) -> Self {
        self.terms.topic_alias_max = maximum;
        self.property(&two_bytes(0x22, maximum))
    }

    /// Request Problem Information.
    #[must_use]
    pub fn problem_information(mut self, wanted: bool) -> Self {
        self.terms.problem_information = wanted;
        self.property(&byte(0x17, u8::from(wanted)))
    }

    /// Request Response Information.
    #[must_use]
    pub fn response_information(mut self, wanted: bool) -> Self {
        self.terms.response_information = wanted;
        self.property(&byte(0x19, u8::from(wanted)))
    }

    /// Authentication Method, and data if there is any.
    #[must_use]
    pub fn authentication(mut self, method: &str, data: Option<&[u8]>) -> Self {
        self.terms.authentication_method = Some(method.to_owned());
        let with_method = self.property(&text(0x15, method));
        match data {
            Some(data) => with_method.property(&binary(0x16, data)),
            None => with_method,
        }
    }

    /// Any property, encoded.
    #[must_use]
    pub fn property(mut self, encoded: &[u8]) -> Self {
        self.properties.extend(encoded);
        self
    }

    /// A will.
    #[must_use]
    pub fn will(mut self, will: Will) -> Self {
        self.will = Some(will);
        self
    }

    /// A user name.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.user = Some(user.as_bytes().to_vec());
        self
    }

    /// A password.
    #[must_use]
    pub fn password(mut self, password: &[u8]) -> Self {
        self.password = Some(password.to_vec());
        self
    }

    /// The connect flags that belong to what is there.
    pub fn flags(&self) -> u8 {
        let will = self.will.as_ref().map_or(0, |will| 0x04 | will.qos << 3 | u8::from(will.retain) << 5);
        let user = u8::from(self.user.is_some()) << 7;
        let password = u8::from(self.password.is_some()) << 6;
        u8::from(self.clean_start) << 1 | will | user | password
    }

    /// The whole packet.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes_with(b"MQTT", u8::from(self.version), self.flags())
    }

    /// The whole packet with another protocol name, version or connect flags.
    pub fn bytes_with(&self, name: &[u8], level: u8, flags: u8) -> Vec<u8> {
        let mut body = data(name);
        body.extend([level, flags]);
        body.extend(self.keep_alive_s.to_be_bytes());
        body.extend(self.section(&self.properties));
        body.extend(self.payload());
        packet(0x10, &body)
    }

    /// The payload: client identifier, will, user name, password.
    pub fn payload(&self) -> Vec<u8> {
        let mut payload = data(self.client_id.as_bytes());
        if let Some(will) = &self.will {
            payload.extend(self.section(&will.properties));
            payload.extend(data(&will.topic));
            payload.extend(data(&will.payload));
        }
        for field in [&self.user, &self.password].into_iter().flatten() {
            payload.extend(data(field));
        }
        payload
    }

    fn section(&self, properties: &[u8]) -> Vec<u8> {
        section(self.version, properties)
    }
}

impl Will {
    /// A will of QoS 0.
    pub fn new(topic: &str, payload: &[u8]) -> Self {
        Self {
            topic: topic.as_bytes().to_vec(),
            payload: payload.to_vec(),
            qos: 0,
            retain: false,
            properties: Vec::new(),
        }
    }

    /// Another QoS.
    #[must_use]
    pub fn qos(mut self, qos: u8) -> Self {
        self.qos = qos;
        self
    }

    /// To be retained.
    #[must_use]
    pub fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// Will Delay Interval, seconds.
    #[must_use]
    pub fn delay(self, seconds: u32) -> Self {
        self.property(&four_bytes(0x18, seconds))
    }

    /// Any will property, encoded.
    #[must_use]
    pub fn property(mut self, encoded: &[u8]) -> Self {
        self.properties.extend(encoded);
        self
    }
}

//! From the flags of `pub` and `sub` to one description of the connection, with the rules between them.

use std::net::IpAddr;

use selvedge_codec::{Connect, ProtocolVersion, QoS, UserProperties, Will, topic};
use thiserror::Error;

use super::encryption::EncryptionOptions;
use super::properties::{self, PropertyError, PropertySet};
use crate::arguments::ConnectionArguments;
use crate::arguments::broker_client::ProtocolVersion as VersionName;

/// Of MQTT.
const PLAIN_PORT: u16 = 1883;
/// Of MQTT over TLS.
const SECURE_PORT: u16 = 8883;

/// Everything about the connection.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// TLS; none is without.
    pub encryption: Option<EncryptionOptions>,
    /// Address to connect from.
    pub bind: Option<IpAddr>,
    /// Protocol of the connection.
    pub version: ProtocolVersion,
    /// Client identifier.
    pub client_id: String,
    /// User.
    pub username: Option<String>,
    /// Password.
    pub password: Option<String>,
    /// Keep-alive in seconds; 0 is none.
    pub keep_alive_s: u16,
    /// Whether to begin a new session.
    pub clean_start: bool,
    /// Session expiry in seconds, MQTT 5.
    pub session_expiry_s: Option<u32>,
    /// The will.
    pub will: Option<WillOptions>,
    /// Properties of all packets.
    pub properties: PropertySet,
    /// Print each packet.
    pub debug: bool,
    /// Say nothing about errors that are overcome.
    pub quiet: bool,
}

/// The will.
#[derive(Clone, Debug)]
pub struct WillOptions {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// Quality of service.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
}

/// Flags that contradict each other or the protocol: wrong usage.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum OptionsError {
    /// A `-D` is wrong.
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// Not an MQTT URL.
    #[error("-L {0}: expected mqtt://[user[:password]@]host[:port]/topic, or mqtts://…")]
    Url(String),
    /// Kept sessions have names.
    #[error("-c keeps the session, which needs a client identifier: add -i ID")]
    ClientIdMissing,
    /// 3.1.1 has no properties.
    #[error("-D and -x need MQTT 5: leave out -V 311")]
    NeedsVersion5,
    /// Not 0 to 4294967295, nor -1.
    #[error("-x {0}: expected seconds from 0 to 4294967295, or -1 for never")]
    SessionExpiry(i64),
    /// Topics of messages name one place each.
    #[error(
        "the topic {0:?} has a wildcard: + and # are for subscriptions (selvedge sub), a message goes to one topic"
    )]
    WildcardInTopic(String),
    /// Half a login.
    #[error("--cert and --key belong together")]
    CertificateWithoutKey,
    /// 3.1.1 cannot say it.
    #[error("-P needs a user in MQTT 3.1.1: add -u USER")]
    UserMissing,
}

/// The description, and the topic of the URL if there is one. `role` and `random` make up a client identifier where none is given.
///
/// # Errors
/// The flags contradict each other.
pub fn from_arguments(
    arguments: &ConnectionArguments,
    role: &str,
    random: u64,
) -> Result<(ConnectOptions, Option<String>), OptionsError> {
    let version = match arguments.version {
        VersionName::V5 => ProtocolVersion::V5,
        VersionName::V311 => ProtocolVersion::V311,
    };
    let old = version == ProtocolVersion::V311;
    if old && (!arguments.properties.list.is_empty() || arguments.session_expiry_s.is_some()) {
        return Err(OptionsError::NeedsVersion5);
    }
    let client_id = match (&arguments.client_id, &arguments.client_id_prefix) {
        (Some(client_id), _) => client_id.clone(),
        (None, Some(prefix)) => format!("{prefix}{}", std::process::id()),
        (None, None) if arguments.disable_clean_session => return Err(OptionsError::ClientIdMissing),
        (None, None) => format!("selvedge-{role}-{random:016x}"),
    };
    let properties = properties::parse(&arguments.properties.list)?;
    arguments.will_topic.as_deref().map_or(Ok(()), check_topic_name)?;
    let will = arguments.will_topic.as_ref().map(|topic| WillOptions {
        topic: topic.clone(),
        payload: arguments.will_payload.clone().unwrap_or_default().into_bytes(),
        qos: qos(arguments.will_qos),
        retain: arguments.will_retain,
    });
    let mut options = ConnectOptions {
        host: arguments.host.clone(),
        port: 0,
        encryption: encryption(arguments)?,
        bind: arguments.bind,
        version,
        client_id,
        username: arguments.username.clone(),
        password: arguments.password.clone(),
        keep_alive_s: arguments.keep_alive_s,
        clean_start: !arguments.disable_clean_session,
        session_expiry_s: session_expiry(arguments, properties.connect.session_expiry_s)?,
        will,
        properties,
        debug: arguments.debug,
        quiet: arguments.quiet,
    };
    let topic = match &arguments.url {
        Some(url) => Some(options.take_url(url).ok_or_else(|| OptionsError::Url(url.clone()))?),
        None => None,
    };
    if options.port == 0 {
        let usual = if options.encryption.is_some() { SECURE_PORT } else { PLAIN_PORT };
        options.port = arguments.port.unwrap_or(usual);
    }
    if old && options.password.is_some() && options.username.is_none() {
        return Err(OptionsError::UserMissing);
    }
    Ok((options, topic))
}

/// TLS, if one of its flags is there.
fn encryption(arguments: &ConnectionArguments) -> Result<Option<EncryptionOptions>, OptionsError> {
    let options = EncryptionOptions {
        authorities: arguments.cafile.clone(),
        certificate: arguments.cert.clone(),
        key: arguments.key.clone(),
        insecure: arguments.insecure,
    };
    if options.certificate.is_some() != options.key.is_some() {
        return Err(OptionsError::CertificateWithoutKey);
    }
    Ok((arguments.tls || options != EncryptionOptions::default()).then_some(options))
}

/// Refuses wildcards in the topic of a message.
///
/// # Errors
/// There is one.
pub fn check_topic_name(topic: &str) -> Result<(), OptionsError> {
    if topic::has_wildcard(topic) { Err(OptionsError::WildcardInTopic(topic.to_owned())) } else { Ok(()) }
}

/// From 0, 1 or 2, which is all that the command line lets through.
pub fn qos(number: u8) -> QoS {
    QoS::from_bits(number).unwrap_or(QoS::AtMostOnce)
}

/// A kept session lasts for ever unless something else is said, as mosquitto_sub has it.
fn session_expiry(arguments: &ConnectionArguments, property: Option<u32>) -> Result<Option<u32>, OptionsError> {
    match arguments.session_expiry_s {
        Some(-1) => Ok(Some(u32::MAX)),
        Some(seconds) => u32::try_from(seconds).map(Some).map_err(|_| OptionsError::SessionExpiry(seconds)),
        None => Ok(property.or(arguments.disable_clean_session.then_some(u32::MAX))),
    }
}

impl ConnectOptions {
    /// Takes host, port and credentials out of `url`; gives its topic.
    fn take_url(&mut self, url: &str) -> Option<String> {
        let rest = match (url.strip_prefix("mqtt://"), url.strip_prefix("mqtts://")) {
            (Some(rest), _) => rest,
            (None, Some(rest)) => {
                self.encryption.get_or_insert_default();
                rest
            }
            (None, None) => return None,
        };
        let (authority, topic) = rest.split_once('/')?;
        let address = match authority.rsplit_once('@') {
            Some((credentials, address)) => {
                let (user, password) = match credentials.split_once(':') {
                    Some((user, password)) => (user, Some(password.to_owned())),
                    None => (credentials, None),
                };
                self.username = Some(user.to_owned());
                self.password = password;
                address
            }
            None => authority,
        };
        let (host, port) = match address.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']')?;
                (host, after.strip_prefix(':'))
            }
            None => address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() || topic.is_empty() {
            return None;
        }
        self.host = host.to_owned();
        let usual = if self.encryption.is_some() { SECURE_PORT } else { PLAIN_PORT };
        self.port = port.map_or(Some(usual), |port| port.parse().ok())?;
        Some(topic.to_owned())
    }

    /// A new session without a name, a user or encryption.
    pub fn plain(host: &str, port: u16, version: ProtocolVersion) -> Self {
        Self {
            host: host.to_owned(),
            port,
            encryption: None,
            bind: None,
            version,
            client_id: String::new(),
            username: None,
            password: None,
            keep_alive_s: 60,
            clean_start: true,
            session_expiry_s: None,
            will: None,
            properties: PropertySet::default(),
            debug: false,
            quiet: true,
        }
    }

    /// Calls `use_it` with the CONNECT that says all this.
    pub fn with_connect<R>(&self, use_it: impl FnOnce(&Connect<'_>) -> R) -> R {
        let user: Vec<_> = borrowed(&self.properties.connect.user);
        let mut connect = Connect::new(self.version, &self.client_id, self.clean_start);
        connect.keep_alive_s = self.keep_alive_s;
        connect.username = self.username.as_deref();
        connect.password = self.password.as_deref().map(str::as_bytes);
        connect.session_expiry_s = self.session_expiry_s;
        connect.receive_maximum = self.properties.connect.receive_maximum;
        connect.maximum_packet_size = self.properties.connect.maximum_packet_size;
        connect.topic_alias_maximum = self.properties.connect.topic_alias_maximum;
        connect.request_response_information = self.properties.connect.request_response_information;
        connect.request_problem_information = self.properties.connect.request_problem_information.unwrap_or(true);
        connect.user_properties = UserProperties::from_pairs(&user);
        connect.will = self.will.as_ref().map(|will| Will {
            qos: will.qos,
            retain: will.retain,
            topic: &will.topic,
            payload: &will.payload,
            delay_s: self.properties.will_delay_s,
            properties: self.properties.will.as_properties(),
        });
        use_it(&connect)
    }
}

/// Pairs as the codec takes them.
pub fn borrowed(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Cli, Command};

    fn read(line: &str) -> Result<(ConnectOptions, Option<String>), OptionsError> {
        let words = ["selvedge", "pub", "-n"].into_iter().chain(line.split_whitespace()).map(Into::into);
        let Ok(Cli { command: Command::Pub(arguments) }) = Cli::from_arguments(words) else { panic!("{line}") };
        from_arguments(&arguments.connection, "pub", 0xab)
    }

    #[test]
    fn a_url_stands_for_host_port_credentials_and_topic() {
        let (options, topic) = read("-L mqtt://joe:se:cret@gw:1884/a/b").unwrap();
        assert_eq!((options.host.as_str(), options.port), ("gw", 1884));
        assert_eq!((options.username.as_deref(), options.password.as_deref()), (Some("joe"), Some("se:cret")));
        assert_eq!(topic.as_deref(), Some("a/b"));
        let (options, _) = read("-L mqtt://[::1]/t").unwrap();
        assert_eq!((options.host.as_str(), options.port), ("::1", 1883));
        for url in ["http://gw/t", "mqtt://gw", "mqtt://gw/", "mqtt:///t", "mqtt://gw:x/t"] {
            assert!(matches!(read(&format!("-L {url}")), Err(OptionsError::Url(_))), "{url}");
        }
    }

    #[test]
    fn each_flag_of_tls_turns_it_on_and_changes_the_usual_port() {
        let plain = read("-t a").unwrap().0;
        assert_eq!((plain.encryption, plain.port), (None, 1883));
        for flags in ["--tls", "--insecure", "--cafile f", "--cert c --key k"] {
            let (options, _) = read(&format!("-t a {flags}")).unwrap();
            assert!(options.encryption.is_some() && options.port == 8883, "{flags}");
        }
        assert_eq!(read("-t a --tls -p 5").unwrap().0.port, 5);
        let (options, _) = read("-L mqtts://gw/t").unwrap();
        assert!(options.encryption.is_some() && options.port == 8883);
        assert_eq!(read("-L mqtts://gw:7/t").unwrap().0.port, 7);
        assert_eq!(read("-t a --cert c").unwrap_err(), OptionsError::CertificateWithoutKey);
    }

    #[test]
    fn a_kept_session_needs_a_name_and_lasts() {
        assert_eq!(read("-t a -c").unwrap_err(), OptionsError::ClientIdMissing);
        let (options, _) = read("-t a -c -i me").unwrap();
        assert!(!options.clean_start);
        assert_eq!(options.session_expiry_s, Some(u32::MAX));
        assert_eq!(read("-t a -c -i me -x 60").unwrap().0.session_expiry_s, Some(60));
        assert_eq!(read("-t a").unwrap().0.session_expiry_s, None);
        assert_eq!(read("-t a -x 4294967296").unwrap_err(), OptionsError::SessionExpiry(4_294_967_296));
    }

    #[test]
    fn what_3_1_1_cannot_say_is_refused() {
        assert_eq!(read("-t a -V 311 -x 1").unwrap_err(), OptionsError::NeedsVersion5);
        assert_eq!(read("-t a -V 311 -D publish content-type x").unwrap_err(), OptionsError::NeedsVersion5);
        assert_eq!(read("-t a -V 311 -P x").unwrap_err(), OptionsError::UserMissing);
        assert!(read("-t a -P x").is_ok());
    }

    #[test]
    fn messages_do_not_go_to_wildcards() {
        for topic in ["a/#", "+/b", "#", "a+"] {
            assert_eq!(check_topic_name(topic), Err(OptionsError::WildcardInTopic(topic.to_owned())));
            assert!(matches!(read(&format!("-t a --will-topic {topic}")), Err(OptionsError::WildcardInTopic(_))));
        }
        assert_eq!(check_topic_name("a/b"), Ok(()));
        assert!(read("-t a --will-topic a/b").is_ok());
    }

    #[test]
    fn a_client_identifier_is_made_up_where_none_is_given() {
        assert_eq!(read("-t a").unwrap().0.client_id, "selvedge-pub-00000000000000ab");
        assert_eq!(read("-t a -I x-").unwrap().0.client_id, format!("x-{}", std::process::id()));
    }
}

//! Why a login is refused: in full for the log, and what a client may know of it.

use thiserror::Error;

use crate::{certificate::CertificateError, scram::ServerError, token::TokenRefusal};

/// Why a login is refused. For the log: the client gets [`Refusal::answer`] and nothing else.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// No credentials, where they are needed.
    #[error("clients without a user are not let in here")]
    Anonymous,
    /// Unknown user, wrong password, disabled: which one is not told, and takes the same time.
    #[error("user or password is wrong")]
    Credentials,
    /// The user is switched off; only said of credentials that were right.
    #[error("the user is disabled")]
    Disabled,
    /// A token that is not good.
    #[error(transparent)]
    Token(#[from] TokenRefusal),
    /// A token for another client identifier.
    #[error("the token is for another client identifier")]
    OtherClient,
    /// The user name beside a token, certificate or SCRAM is another one.
    #[error("the user name is not the one of the credentials")]
    OtherUser,
    /// A certificate without a usable name.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A withdrawn certificate.
    #[error("the certificate was revoked")]
    Revoked,
    /// An exchange that went wrong.
    #[error(transparent)]
    Scram(#[from] ServerError),
    /// A file that this login needs is missing or broken.
    #[error("{0} cannot be used now, so that nobody is let in by them")]
    Unavailable(Needed),
    /// Too many failures from this address.
    #[error("too many failed logins from this address; refused for {retry_in_ms} ms more")]
    Throttled {
        /// Milliseconds until an attempt is looked at again.
        retry_in_ms: u64,
    },
    /// Too many passwords to compute.
    #[error("too many passwords had to be checked lately")]
    Busy,
}

/// What a login would have needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// The users file.
    Users,
    /// The rules file.
    Rules,
    /// Keys of tokens.
    Keys,
    /// The revocation list.
    Revoked,
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// MQTT 5 0x86, MQTT 3.1.1 code 4, HTTP 401.
    BadCredentials,
    /// 0x87, code 5, HTTP 401 without credentials and 403 with.
    NotAuthorized,
    /// 0x88, code 3, HTTP 503.
    Unavailable,
    /// 0x89, code 3, HTTP 503.
    Busy,
    /// 0x9F, code 5, HTTP 429.
    TooManyAttempts,
    /// 0x8C, code 5.
    BadMethod,
    /// 0x82, code 5.
    Malformed,
}

impl Refusal {
    /// What the client is told.
    pub fn answer(&self) -> Answer {
        match self {
            Self::Credentials | Self::Token(_) | Self::OtherUser | Self::OtherClient => Answer::BadCredentials,
            Self::Anonymous | Self::Disabled | Self::Certificate(_) | Self::Revoked => Answer::NotAuthorized,
            Self::Scram(ServerError::Malformed) => Answer::Malformed,
            Self::Scram(ServerError::Unsupported) => Answer::BadMethod,
            Self::Scram(_) => Answer::NotAuthorized,
            Self::Unavailable(_) => Answer::Unavailable,
            Self::Throttled { .. } => Answer::TooManyAttempts,
            Self::Busy => Answer::Busy,
        }
    }

    /// Whether newer keys could make the token good: time to fetch them again, within reason.
    pub fn wants_newer_keys(&self) -> bool {
        *self == Self::Token(TokenRefusal::UnknownKey)
    }

    /// Whether it counts as a guess. What was right once or lacks only something else does not: a fleet with expired tokens
    /// behind one router must not lock out the others there.
    pub(super) fn is_guess(&self) -> bool {
        match self {
            Self::Credentials | Self::Scram(_) | Self::OtherUser => true,
            Self::Token(refusal) => matches!(
                refusal,
                TokenRefusal::TooLong
                    | TokenRefusal::Malformed
                    | TokenRefusal::Critical
                    | TokenRefusal::Algorithm
                    | TokenRefusal::Signature
            ),
            _ => false,
        }
    }
}

impl std::fmt::Display for Needed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Users => "the users file",
            Self::Rules => "the rules file",
            Self::Keys => "the keys of tokens",
            Self::Revoked => "the revocation list",
        })
    }
}

//! The Authorization header of HTTP: Basic (RFC 7617) and Bearer (RFC 6750).

use std::net::IpAddr;

use base64::{Engine, engine::general_purpose::STANDARD};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{access::Login, token::TOKEN_BYTES_MAX};

/// Credentials of a request.
pub enum HttpCredentials {
    /// User and password.
    Basic {
        /// Name.
        user: String,
        /// As it was sent.
        password: Zeroizing<Vec<u8>>,
    },
    /// A token.
    Bearer {
        /// As it was sent.
        token: Zeroizing<String>,
    },
}

/// Why a header holds no credentials. The answer is 401 with both schemes in `WWW-Authenticate`.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum HttpCredentialsError {
    /// Neither Basic nor Bearer.
    #[error("the scheme of the Authorization header is neither Basic nor Bearer")]
    Scheme,
    /// Too long, no base64, or no colon in it.
    #[error("the Authorization header is malformed")]
    Malformed,
}

/// Reads the value of an Authorization header.
///
/// # Errors
/// If the scheme is another or what follows is not what the scheme wants.
pub fn parse(header: &str) -> Result<HttpCredentials, HttpCredentialsError> {
    let (scheme, credentials) = header.trim().split_once(' ').ok_or(HttpCredentialsError::Malformed)?;
    let credentials = credentials.trim_start();
    if scheme.eq_ignore_ascii_case("bearer") {
        if credentials.is_empty() || credentials.len() > TOKEN_BYTES_MAX {
            return Err(HttpCredentialsError::Malformed);
        }
        return Ok(HttpCredentials::Bearer { token: Zeroizing::new(credentials.to_owned()) });
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(HttpCredentialsError::Scheme);
    }
    if credentials.len() > 2 * TOKEN_BYTES_MAX {
        return Err(HttpCredentialsError::Malformed);
    }
    let decoded = STANDARD.decode(credentials).map(Zeroizing::new).map_err(|_| HttpCredentialsError::Malformed)?;
    let colon = decoded.iter().position(|&byte| byte == b':').ok_or(HttpCredentialsError::Malformed)?;
    let (user, password) = decoded.split_at(colon);
    let user = std::str::from_utf8(user).map_err(|_| HttpCredentialsError::Malformed)?;
    let password = password.get(1..).unwrap_or_default();
    Ok(HttpCredentials::Basic { user: user.to_owned(), password: Zeroizing::new(password.to_vec()) })
}

impl HttpCredentials {
    /// The login that these credentials ask for.
    pub fn login(&self, address: IpAddr) -> Login<'_> {
        let (username, password) = match self {
            Self::Basic { user, password } => (Some(user.as_str()), password.as_slice()),
            Self::Bearer { token } => (None, token.as_bytes()),
        };
        Login {
            address,
            client_id: None,
            username,
            password: Some(password),
            certificate: None,
            anonymous_allowed: false,
        }
    }
}

impl std::fmt::Debug for HttpCredentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Basic { user, .. } => formatter.debug_struct("Basic").field("user", user).finish_non_exhaustive(),
            Self::Bearer { .. } => formatter.debug_struct("Bearer").finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn basic_credentials_are_split_at_the_first_colon() {
        let Ok(HttpCredentials::Basic { user, password }) = parse(&basic("alice:a:b")) else { panic!("not basic") };
        assert_eq!((user.as_str(), password.as_slice()), ("alice", b"a:b".as_slice()));
        assert!(matches!(parse(&basic("alice")), Err(HttpCredentialsError::Malformed)));
        assert!(matches!(parse("Basic ***"), Err(HttpCredentialsError::Malformed)));
    }

    #[test]
    fn a_bearer_token_is_the_password_of_nobody_in_particular() {
        let credentials = parse("bearer a.b.c").unwrap();
        let login = credentials.login(IpAddr::from([127, 0, 0, 1]));
        assert_eq!((login.username, login.password), (None, Some(b"a.b.c".as_slice())));
    }

    #[test]
    fn other_schemes_and_endless_headers_are_refused() {
        assert_eq!(parse("Digest x").unwrap_err(), HttpCredentialsError::Scheme);
        assert_eq!(parse("Bearer").unwrap_err(), HttpCredentialsError::Malformed);
        let long = "x".repeat(TOKEN_BYTES_MAX + 1);
        assert!(parse(&format!("Bearer {}", &long[1..])).is_ok());
        assert_eq!(parse(&format!("Bearer {long}")).unwrap_err(), HttpCredentialsError::Malformed);
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let shown = format!("{:?} {:?}", parse(&basic("alice:hunter2")).unwrap(), parse("Bearer hunter2").unwrap());
        assert!(shown.contains("alice") && !shown.contains("hunter2"));
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_the_parser_panic(header in "(Basic|bearer|)? ?\\PC{0,60}") {
            let _ = parse(&header);
        }
    }
}

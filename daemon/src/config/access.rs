//! Where users, rules and the keys of tokens are, and what is asked of tokens.

use serde::{Deserialize, Serialize};

use super::quantity::Period;

/// Signature of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenAlgorithm {
    /// Ed25519.
    EdDSA,
    /// ECDSA with P-256 and SHA-256.
    ES256,
    /// RSA PKCS #1 1.5 with SHA-256.
    RS256,
    /// HMAC with SHA-256: whoever checks can also make them.
    HS256,
}

/// How the file with the keys is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeysFormat {
    /// `pem` or `jwks`, as it looks.
    Auto,
    /// Public keys or certificates.
    Pem,
    /// A JSON web key set.
    Jwks,
    /// A secret for HS256, as it is.
    Secret,
}

/// Users and rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessConfig {
    /// The users. Empty: `access/users.toml` in the data directory, once it was there.
    pub users: String,
    /// What they may do. Empty: `access/rules.toml` in the data directory.
    pub rules: String,
    /// Failed logins from one address within `failure_window` after which it is refused for a while.
    pub failures_max: u32,
    /// From the first of them.
    pub failure_window: Period,
    /// First time of being refused; doubles each time.
    pub penalty: Period,
    /// Longest time of being refused, and how long one is remembered.
    pub penalty_max: Period,
    /// Addresses whose failures are remembered.
    pub addresses_max: u32,
    /// Users whose password was right and need not be computed again.
    pub passwords_remembered_max: u32,
    /// Password hashes computed per second in the long run, for all addresses together.
    pub computations_per_s: u32,
    /// Password hashes computed at once.
    pub computations_burst: u32,
    /// Tokens as passwords and as HTTP bearer.
    pub tokens: TokensConfig,
}

/// JSON web tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokensConfig {
    /// File with the keys. Empty: none.
    pub keys: String,
    /// How it is written.
    pub keys_format: KeysFormat,
    /// Address of the keys, `https://…`. Empty: none.
    pub jwks_url: String,
    /// Certificates that this address is checked with. Empty: those of the system.
    pub jwks_ca: String,
    /// Time between two looks at that address.
    pub jwks_refresh: Period,
    /// Keys older than this count no more when the address does not answer.
    pub jwks_age_max: Period,
    /// Accepted signatures.
    pub algorithms: Vec<TokenAlgorithm>,
    /// Wanted in `iss`. Empty: any.
    pub issuer: String,
    /// Wanted in `aud`. Empty: any.
    pub audience: String,
    /// Claim that names the user.
    pub user_claim: String,
    /// Claim that the client identifier must be equal to, where a token has it.
    pub client_id_claim: String,
    /// Claim with the filters that may be published.
    pub publish_claim: String,
    /// Claim with the filters that may be subscribed.
    pub subscribe_claim: String,
    /// Claim with the filters for retained messages; without it those of publish and will.
    pub retain_claim: String,
    /// Claim with the filters for wills; without it those of publish.
    pub will_claim: String,
    /// Claim with the rights to HTTP, `"read"`.
    pub api_claim: String,
    /// Whether a token must expire.
    pub expiry_required: bool,
    /// How far the clocks of issuer and node may be apart.
    pub leeway: Period,
    /// Longest time that a token is good for, from when it is shown, whatever it says; zero is as it says.
    pub lifetime_max: Period,
}

impl Default for AccessConfig {
    fn default() -> Self {
        Self {
            users: String::new(),
            rules: String::new(),
            failures_max: 10,
            failure_window: Period::seconds(60),
            penalty: Period::seconds(60),
            penalty_max: Period::seconds(900),
            addresses_max: 10_000,
            passwords_remembered_max: 10_000,
            computations_per_s: 20,
            computations_burst: 200,
            tokens: TokensConfig::default(),
        }
    }
}

impl Default for TokensConfig {
    fn default() -> Self {
        Self {
            keys: String::new(),
            keys_format: KeysFormat::Auto,
            jwks_url: String::new(),
            jwks_ca: String::new(),
            jwks_refresh: Period::seconds(3600),
            jwks_age_max: Period::seconds(7 * 24 * 3600),
            algorithms: vec![TokenAlgorithm::EdDSA, TokenAlgorithm::ES256, TokenAlgorithm::RS256],
            issuer: String::new(),
            audience: String::new(),
            user_claim: "sub".to_owned(),
            client_id_claim: "client_id".to_owned(),
            publish_claim: "publish".to_owned(),
            subscribe_claim: "subscribe".to_owned(),
            retain_claim: "retain".to_owned(),
            will_claim: "will".to_owned(),
            api_claim: "api".to_owned(),
            expiry_required: true,
            leeway: Period::seconds(60),
            lifetime_max: Period::seconds(0),
        }
    }
}

impl AccessConfig {
    /// Whether the configuration itself names a source of logins.
    pub fn is_configured(&self) -> bool {
        !self.users.is_empty() || self.tokens.are_on()
    }
}

impl TokensConfig {
    /// Whether there are keys to check tokens with.
    pub fn are_on(&self) -> bool {
        !self.keys.is_empty() || !self.jwks_url.is_empty()
    }
}

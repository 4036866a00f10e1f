//! What a token says, after its signature was found right.

use serde_json::{Map, Value};

use super::{ClaimProblem, TokenRefusal, TokenRules, VerifiedToken};
use crate::{
    filter::{Filter, Subject},
    name::check_outside_name,
    rules::{ApiRight, Grants, Operation, Rules},
};

/// What a token allows itself.
#[derive(Clone, Debug)]
pub(crate) struct TokenGrants {
    topics: Rules,
    pub read: bool,
    pub write: bool,
}

impl TokenGrants {
    pub fn allows(&self, subject: Subject<'_>, operation: Operation, topic: &str) -> bool {
        self.topics.allows(subject, operation, topic)
    }

    pub fn allows_api(&self, right: ApiRight) -> bool {
        match right {
            ApiRight::Read => self.read,
            ApiRight::Write => self.write,
        }
    }
}

/// The claims of a token.
struct Claims<'a> {
    all: &'a Map<String, Value>,
}

pub(super) fn check(
    claims: &Map<String, Value>,
    rules: &TokenRules,
    now_ms: Option<u64>,
    key: [u8; 32],
) -> Result<VerifiedToken, TokenRefusal> {
    let claims = Claims { all: claims };
    let expires_at_ms = claims.check_times(rules, now_ms)?;
    claims.check_issuer(rules)?;
    let user = claims.name(&rules.user_claim)?.ok_or_else(|| refusal(&rules.user_claim, ClaimProblem::Missing))?;
    let client_id = claims.name(&rules.client_id_claim)?;
    Ok(VerifiedToken { user, client_id, expires_at_ms, grants: claims.grants(rules)?, key })
}

impl Claims<'_> {
    /// When the token ends, leeway included.
    fn check_times(&self, rules: &TokenRules, now_ms: Option<u64>) -> Result<Option<u64>, TokenRefusal> {
        let [expires, not_before, issued] = ["exp", "nbf", "iat"].map(|claim| self.date_ms(claim));
        let (expires, not_before, issued) = (expires?, not_before?, issued?);
        if expires.is_none() && rules.expiry_required {
            return Err(refusal("exp", ClaimProblem::Missing));
        }
        let leeway_ms = rules.leeway_s.saturating_mul(1000);
        let expires = expires.map(|expires| expires.saturating_add(leeway_ms));
        let limit_ms = rules.lifetime_max_s.map(|limit| limit.saturating_mul(1000));
        let is_dated = expires.or(not_before).or(issued).is_some() || limit_ms.is_some();
        let Some(now) = now_ms else {
            return if is_dated { Err(TokenRefusal::ClockNotTrusted) } else { Ok(None) };
        };
        if expires.is_some_and(|expires| now >= expires) {
            return Err(TokenRefusal::Expired); // RFC 7519, 4.1.4: on or after
        }
        let latest = now.saturating_add(leeway_ms);
        if not_before.is_some_and(|not_before| not_before > latest) || issued.is_some_and(|issued| issued > latest) {
            return Err(TokenRefusal::NotYetValid);
        }
        Ok([expires, limit_ms.map(|limit| now.saturating_add(limit))].into_iter().flatten().min())
    }

    fn check_issuer(&self, rules: &TokenRules) -> Result<(), TokenRefusal> {
        if let Some(issuer) = &rules.issuer
            && self.all.get("iss").and_then(Value::as_str) != Some(issuer)
        {
            return Err(TokenRefusal::Issuer);
        }
        let Some(wanted) = &rules.audience else { return Ok(()) };
        let is_for_us = match self.all.get("aud") {
            Some(Value::String(audience)) => audience == wanted,
            Some(Value::Array(audiences)) => audiences.iter().any(|audience| audience.as_str() == Some(wanted)),
            _ => false,
        };
        if is_for_us { Ok(()) } else { Err(TokenRefusal::Audience) }
    }

    /// None where no claim is about what may be done.
    fn grants(&self, rules: &TokenRules) -> Result<Option<Box<TokenGrants>>, TokenRefusal> {
        let publish = self.filters(&rules.publish_claim)?;
        let subscribe = self.filters(&rules.subscribe_claim)?;
        let retain = self.filters(&rules.retain_claim)?;
        let will = self.filters(&rules.will_claim)?;
        let api = self.strings(&rules.api_claim)?;
        let says_nothing = [&publish, &subscribe, &retain, &will].iter().all(|list| list.is_none()) && api.is_none();
        if says_nothing {
            return Ok(None);
        }
        let api = api.unwrap_or_default();
        if api.iter().any(|right| !matches!(*right, "read" | "write")) {
            return Err(refusal(&rules.api_claim, ClaimProblem::Entry));
        }
        let grants = Grants {
            publish: publish.unwrap_or_default(),
            subscribe: subscribe.unwrap_or_default(),
            retain,
            will,
            ..Grants::default()
        };
        let (read, write) = (api.contains(&"read"), api.contains(&"write"));
        Ok(Some(Box::new(TokenGrants { topics: Rules::for_everyone(grants), read, write })))
    }

    fn filters(&self, claim: &str) -> Result<Option<Vec<Filter>>, TokenRefusal> {
        let Some(texts) = self.strings(claim)? else { return Ok(None) };
        let filters = texts.into_iter().map(Filter::parse).collect::<Result<Vec<_>, _>>();
        filters.map(Some).map_err(|_| refusal(claim, ClaimProblem::Entry))
    }

    fn strings(&self, claim: &str) -> Result<Option<Vec<&str>>, TokenRefusal> {
        let Some(value) = self.all.get(claim) else { return Ok(None) };
        let strings = value.as_array().and_then(|values| values.iter().map(Value::as_str).collect());
        strings.map(Some).ok_or_else(|| refusal(claim, ClaimProblem::Type))
    }

    fn name(&self, claim: &str) -> Result<Option<String>, TokenRefusal> {
        let Some(value) = self.all.get(claim) else { return Ok(None) };
        let name = value.as_str().ok_or_else(|| refusal(claim, ClaimProblem::Type))?;
        check_outside_name(name).map_err(|problem| refusal(claim, ClaimProblem::Name(problem)))?;
        Ok(Some(name.to_owned()))
    }

    /// RFC 7519, 2: NumericDate, seconds, perhaps with a fraction. A text is none, even if it reads like a number.
    fn date_ms(&self, claim: &str) -> Result<Option<u64>, TokenRefusal> {
        let Some(value) = self.all.get(claim) else { return Ok(None) };
        let date = match (value.as_u64(), value.as_f64()) {
            (Some(seconds), _) => seconds.saturating_mul(1000),
            // The cast saturates; beyond 2^53 a millisecond more or less does not matter.
            (None, Some(seconds)) if seconds.is_finite() && seconds >= 0.0 => (seconds * 1000.0) as u64,
            _ => return Err(refusal(claim, ClaimProblem::Type)),
        };
        Ok(Some(date))
    }
}

fn refusal(claim: &str, problem: ClaimProblem) -> TokenRefusal {
    TokenRefusal::Claim { claim: claim.to_owned(), problem }
}

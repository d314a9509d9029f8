//! `POST /token`: a signed assertion in, an access token out. It believes nothing unchecked:
//! signature, algorithm, issuer, audience, scope and times, each with Google's own refusal.
//!
//! <https://developers.google.com/identity/protocols/oauth2/service-account>, RFC 7523

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde::Deserialize;

use super::super::json::quote;
use super::super::reply::{Asked, Reply};
use super::super::seal;
use super::account::{EMAIL, KEY_ID, PUBLIC_KEY};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Clocks may differ by so many seconds.
const SKEW: u64 = 300;

/// An assertion lives at most so many seconds.
const LIFE_MAX: u64 = 3600;

const SCOPES: [&str; 2] = [
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/cloud-platform.read-only",
];

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    scope: Option<String>,
    aud: Option<String>,
    iat: Option<u64>,
    exp: Option<u64>,
}

/// A refusal: its code and its words.
type Refusal = (&'static str, String);

/// The answer of the token endpoint.
pub(crate) fn answer(asked: &Asked<'_>) -> Reply {
    let reply = match exchange(asked) {
        Ok(body) => Reply::json(200, body),
        Err((code, words)) => {
            let words = quote(&words);
            Reply::json(400, format!("{{\"error\":\"{code}\",\"error_description\":{words}}}"))
        }
    };
    reply.with("cache-control: no-cache, no-store, max-age=0, must-revalidate\r\n")
}

fn exchange(asked: &Asked<'_>) -> Result<String, Refusal> {
    let body = std::str::from_utf8(asked.body).unwrap_or_default();
    let field = |name: &str| body.split('&').find_map(|pair| value_of(pair, name));
    match field("grant_type") {
        None => {
            return Err(("invalid_request", "Missing required parameter: grant_type".to_owned()));
        }
        Some(grant) if grant != GRANT => {
            return Err(("unsupported_grant_type", format!("Invalid grant_type: {grant}")));
        }
        Some(_) => {}
    }
    let assertion = field("assertion").filter(|assertion| !assertion.is_empty());
    let missing = || ("invalid_request", "Missing required parameter: assertion".to_owned());
    check(&assertion.ok_or_else(missing)?, asked)?;
    let life = asked.options.token_ttl.as_secs();
    let token = seal::token(asked.now() + life, asked.nonce());
    Ok(format!("{{\"access_token\":\"{token}\",\"expires_in\":{life},\"token_type\":\"Bearer\"}}"))
}

/// The value in `name=value`, decoded.
fn value_of(pair: &str, name: &str) -> Option<String> {
    let (known, value) = pair.split_once('=')?;
    if known != name {
        return None;
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let code = digit()? * 16 + digit()?;
                bytes.push(u8::try_from(code).ok()?);
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

fn check(assertion: &str, asked: &Asked<'_>) -> Result<(), Refusal> {
    let invalid = |words: &str| ("invalid_grant", words.to_owned());
    let malformed = || invalid("Invalid JWT: malformed JWT.");
    let (signed, signature) = assertion.rsplit_once('.').ok_or_else(malformed)?;
    let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let header: Header = decode(header)
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(malformed)?;
    let claims: Claims = decode(claims)
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(malformed)?;
    if header.alg != "RS256" || header.typ.is_some_and(|kind| kind != "JWT") {
        return Err(invalid("Invalid JWT: only RS256 is supported."));
    }
    if claims.iss.as_deref() != Some(EMAIL) {
        return Err(invalid("Invalid grant: account not found"));
    }
    let signature = decode(signature).ok_or_else(malformed)?;
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, PUBLIC_KEY);
    let known = header.kid.is_none_or(|kid| kid == KEY_ID);
    if !known || key.verify(signed.as_bytes(), &signature).is_err() {
        return Err(invalid("Invalid JWT Signature."));
    }
    check_audience(claims.aud.as_deref().unwrap_or_default(), asked)?;
    check_times(&claims, asked.now())?;
    let scope = claims.scope.as_deref().unwrap_or_default();
    let known = |scope: &str| SCOPES.contains(&scope);
    if scope.is_empty() || !scope.split(' ').all(known) {
        let words = "Invalid OAuth scope or ID token audience provided.";
        return Err(("invalid_scope", words.to_owned()));
    }
    Ok(())
}

/// Google's own endpoint. Its libraries sign for it even where the key file names another.
const GOOGLE: &str = "https://oauth2.googleapis.com/token";

/// The audience is the address that was asked, or Google's.
fn check_audience(audience: &str, asked: &Asked<'_>) -> Result<(), Refusal> {
    let host = asked.fields.host.map(String::from_utf8_lossy).unwrap_or_default();
    let bare = audience.strip_prefix("http://").or_else(|| audience.strip_prefix("https://"));
    let expected = format!("{host}{}", asked.path);
    if audience == GOOGLE || bare.is_some_and(|bare| bare.eq_ignore_ascii_case(&expected)) {
        return Ok(());
    }
    let words =
        format!("Invalid JWT: Failed audience check. The right audience is http://{expected}");
    Err(("invalid_grant", words))
}

fn check_times(claims: &Claims, now: u64) -> Result<(), Refusal> {
    let good = match (claims.iat, claims.exp) {
        (Some(from), Some(until)) => {
            from <= now + SKEW && until + SKEW > now && until > from && until - from <= LIFE_MAX
        }
        _ => false,
    };
    if good {
        return Ok(());
    }
    let words = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable \
                 timeframe. Check your iat and exp values in the JWT claim.";
    Err(("invalid_grant", words.to_owned()))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use ring::rand::SystemRandom;
    use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
    use serde_json::{Value, json};

    use super::super::super::reply::Fields;
    use super::super::super::script::Options;
    use super::super::account::service_account;
    use super::*;

    const NOW: u64 = 1_790_000_000;

    /// Signs as a client with the key file does.
    fn sign(header: &Value, claims: &Value) -> String {
        let file: Value = serde_json::from_str(&service_account("http://x")).unwrap();
        let lines = file["private_key"].as_str().unwrap().lines();
        let body: String = lines.filter(|line| !line.starts_with('-')).collect();
        let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(body).unwrap()).unwrap();
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn ask(body: &str) -> (u16, Value) {
        let options = Options::default();
        let asked = Asked {
            get: false,
            path: "/token",
            query: "",
            fields: Fields { host: Some(b"127.0.0.1:4100"), ..Fields::default() },
            body: body.as_bytes(),
            options: &options,
            serial: 3,
            now_ms: NOW * 1000,
        };
        let (status, text) = answer(&asked).shown();
        (status, serde_json::from_str(&text).unwrap())
    }

    fn with(header: &Value, claims: &Value) -> (u16, Value) {
        let grant = GRANT.replace(':', "%3A");
        ask(&format!("grant_type={grant}&assertion={}", sign(header, claims)))
    }

    fn header() -> Value {
        json!({"alg": "RS256", "typ": "JWT", "kid": KEY_ID})
    }

    fn claims() -> Value {
        json!({
            "iss": EMAIL,
            "scope": "https://www.googleapis.com/auth/cloud-platform",
            "aud": "http://127.0.0.1:4100/token",
            "iat": NOW,
            "exp": NOW + 3600,
        })
    }

    #[test]
    fn a_good_assertion_gets_a_token_that_expires() {
        let (status, body) = with(&header(), &claims());
        assert_eq!((status, &body["token_type"]), (200, &"Bearer".into()), "{body}");
        assert_eq!(body["expires_in"], 3599);
        let token = body["access_token"].as_str().unwrap();
        assert_eq!(seal::token_expiry(token), Some(NOW + 3599));
        let mut for_google = claims();
        for_google["aud"] = json!(GOOGLE);
        assert_eq!(with(&header(), &for_google).0, 200);
    }

    #[test]
    fn everything_in_an_assertion_is_checked() {
        for (name, value, code, words) in [
            ("iss", json!("other@example.com"), "invalid_grant", "account not found"),
            ("aud", json!("http://127.0.0.1:4101/token"), "invalid_grant", "audience"),
            ("aud", json!(null), "invalid_grant", "audience"),
            ("scope", json!("everything"), "invalid_scope", "Invalid OAuth scope"),
            ("scope", json!(null), "invalid_scope", "Invalid OAuth scope"),
            ("exp", json!(NOW + 3601), "invalid_grant", "short-lived"),
            ("exp", json!(NOW - 301), "invalid_grant", "short-lived"),
            ("exp", json!(null), "invalid_grant", "short-lived"),
            ("iat", json!(NOW + 301), "invalid_grant", "short-lived"),
        ] {
            let mut changed = claims();
            changed[name] = value;
            let (status, body) = with(&header(), &changed);
            assert_eq!((status, &body["error"]), (400, &code.into()), "{changed}");
            let told = body["error_description"].as_str().unwrap();
            assert!(told.contains(words), "{told}");
        }
        for (name, value, words) in [
            ("alg", "HS256", "only RS256"),
            ("alg", "none", "only RS256"),
            ("kid", "another", "Invalid JWT Signature"),
        ] {
            let mut changed = header();
            changed[name] = json!(value);
            let (_, body) = with(&changed, &claims());
            assert!(body["error_description"].as_str().unwrap().contains(words), "{body}");
        }
    }

    #[test]
    fn signatures_and_forms_are_checked() {
        let good = sign(&header(), &claims());
        let (start, signature) = good.rsplit_once('.').unwrap();
        let mut claimed = claims();
        claimed["exp"] = json!(NOW + 60);
        let other = sign(&header(), &claimed);
        let moved = format!("{}.{signature}", other.rsplit_once('.').unwrap().0);
        let (mine, grant) = (format!("assertion={good}"), format!("grant_type={GRANT}"));
        for (body, code) in [
            (format!("{grant}&assertion={moved}"), "invalid_grant"),
            (format!("{grant}&assertion={start}."), "invalid_grant"),
            (format!("{grant}&assertion=a.b"), "invalid_grant"),
            (format!("{grant}&assertion="), "invalid_request"),
            (grant.clone(), "invalid_request"),
            (mine.clone(), "invalid_request"),
            (format!("grant_type=password&{mine}"), "unsupported_grant_type"),
            (String::new(), "invalid_request"),
        ] {
            let (status, answer) = ask(&body);
            assert_eq!((status, &answer["error"]), (400, &code.into()), "{body}");
        }
        assert_eq!(ask(&format!("{mine}&{grant}")).0, 200);
        assert_eq!(value_of("a=%41+%zz", "a"), None);
        assert_eq!(value_of("a=%41+b", "a").as_deref(), Some("A b"));
    }
}

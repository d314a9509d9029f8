//! Clients' keys in the store, as the command `keys` has them. A secret is in an answer once, when
//! it is made, and never in the audit log.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::base::date::rfc3339;
use crate::chat::{ApiError, Row};
use crate::config::{
    Budget, Period, duration, is_label, is_name, is_pattern, moment_of, nanos_of_usd,
};
use crate::policy::Limits;
use crate::policy::price::usd;
use crate::store::Db;
use crate::store::keys::{self, KeyError, Made, Standing, StoredKey, Wanted};

use super::change::{Change, Refusal, not_found, refusal, wrong};
use super::query::decoded;
use super::store::unavailable;

/// What a body may say of a new key.
const OF_NEW: [&str; 9] = [
    "name",
    "models",
    "routes",
    "requests_per_minute",
    "tokens_per_minute",
    "concurrency",
    "budgets",
    "expires",
    "labels",
];

const COUNT: &str = "a whole number, 1 or more";

/// A budget as it is written in a body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Money {
    usd: String,
    per: String,
}

/// The members of a body, each of which is taken once.
struct Body(Map<String, Value>);

impl Body {
    /// An object with no other members than these. An empty body is one without members.
    fn read(bytes: &[u8], known: &[&str]) -> Result<Self, Refusal> {
        if bytes.is_empty() {
            return Ok(Self(Map::new()));
        }
        // What the parser says repeats the body, which is not for the audit log.
        let no_object = |_error| refusal(Row::INVALID_JSON, "the body must be a JSON object");
        let members: Map<String, Value> = serde_json::from_slice(bytes).map_err(no_object)?;
        match members.keys().find(|name| !known.contains(&name.as_str())) {
            Some(other) => {
                let message = format!("the body's members may be {}", known.join(", "));
                let name: String = other.chars().take(64).collect();
                Err(wrong(&name, &message))
            }
            None => Ok(Self(members)),
        }
    }

    /// A member; none when it is not there or null.
    fn take<T: DeserializeOwned>(
        &mut self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, Refusal> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value)
                .map(Some)
                .map_err(|_other_type| wrong(name, &format!("{name} must be {expected}"))),
        }
    }
}

/// All keys of the store.
pub(super) fn list(db: Option<&Db>, now_ms: u64) -> Result<Value, Refusal> {
    let all = db.map_or(Ok(Vec::new()), keys::list).map_err(|error| unavailable(&error))?;
    Ok(json!({"data": all.iter().map(|key| key_json(key, now_ms)).collect::<Vec<_>>()}))
}

/// One key.
pub(super) fn one(db: Option<&Db>, part: &str, now_ms: u64) -> Result<Value, Refusal> {
    let unknown = || not_found("no key in the store has this name");
    let found = keys::find(db.ok_or_else(unknown)?, &decoded(part));
    found.map(|key| key_json(&key, now_ms)).map_err(refused)
}

/// Makes a key. `taken` are the names that the configuration has given away.
pub(super) fn create(db: &mut Db, taken: &[String], body: &[u8], now_ms: u64) -> Change {
    let mut subject = String::new();
    let done = wanted(body, &mut subject).and_then(|wanted| {
        if taken.contains(&wanted.name) {
            return Err(wrong("name", "the configuration has a key of this name"));
        }
        keys::create(db, &wanted, now_ms).map(|made| fresh(&made, now_ms)).map_err(refused)
    });
    Change { action: "key.create".to_owned(), subject, done }
}

/// Gives a key another secret.
pub(super) fn rotate(db: &mut Db, part: &str, body: &[u8], now_ms: u64) -> Change {
    let name = decoded(part);
    let done = overlap_ms(body).and_then(|overlap_ms| {
        let made = keys::rotate(db, &name, overlap_ms, now_ms).map_err(refused)?;
        Ok(fresh(&made, now_ms))
    });
    Change { action: "key.rotate".to_owned(), subject: kept(name), done }
}

/// Revokes a key, for ever.
pub(super) fn revoke(db: &mut Db, part: &str, now_ms: u64) -> Change {
    let name = decoded(part);
    let done = keys::revoke(db, &name, now_ms);
    let done = done.map(|key| key_json(&key, now_ms)).map_err(refused);
    Change { action: "key.revoke".to_owned(), subject: kept(name), done }
}

/// A name for the audit log: what cannot be one is not worth keeping.
fn kept(name: String) -> String {
    if is_name(&name) { name } else { String::new() }
}

/// Reads how long the old secret opens as well; not at all unless that is said.
fn overlap_ms(body: &[u8]) -> Result<u64, Refusal> {
    let expected = "a duration such as \"15m\"";
    let mut body = Body::read(body, &["overlap"])?;
    let Some(text) = body.take::<String>("overlap", expected)? else { return Ok(0) };
    let time =
        duration(&text).ok_or_else(|| wrong("overlap", "overlap must be such as \"15m\""))?;
    Ok(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// Reads what a key shall be; `subject` becomes its name as soon as that is known.
fn wanted(body: &[u8], subject: &mut String) -> Result<Wanted, Refusal> {
    let mut body = Body::read(body, &OF_NEW)?;
    let expected = "1 to 64 characters of A-Z a-z 0-9 . _ - other than master";
    let name: Option<String> = body.take("name", expected)?;
    let missing =
        || Box::new(ApiError::new(Row::MISSING_FIELD, "name is missing").with_param("name"));
    let name = name.ok_or_else(missing)?;
    if !is_name(&name) || name == "master" {
        return Err(wrong("name", &format!("name must be {expected}")));
    }
    subject.clone_from(&name);
    Ok(Wanted {
        name,
        models: patterns(&mut body, "models")?,
        routes: patterns(&mut body, "routes")?,
        limits: Limits {
            requests_per_minute: body.take("requests_per_minute", COUNT)?.map(NonZeroU64::get),
            tokens_per_minute: body.take("tokens_per_minute", COUNT)?.map(NonZeroU64::get),
            concurrency: body.take("concurrency", COUNT)?.map(NonZeroU32::get),
            budgets: budgets(&mut body)?,
        },
        expires_ms: expires(&mut body)?,
        labels: labels(&mut body)?,
    })
}

fn patterns(body: &mut Body, name: &str) -> Result<Vec<String>, Refusal> {
    let expected = "a list of names, or of prefixes ending in *";
    let given: Vec<String> = body.take(name, expected)?.unwrap_or_default();
    if given.iter().all(|pattern| is_pattern(pattern)) {
        Ok(given)
    } else {
        Err(wrong(name, &format!("{name} must be {expected}")))
    }
}

fn budgets(body: &mut Body) -> Result<Vec<Budget>, Refusal> {
    let expected = "a list of objects such as {\"usd\": \"25.00\", \"per\": \"month\"}: day, week, month, total";
    let given: Vec<Money> = body.take("budgets", expected)?.unwrap_or_default();
    let mut budgets: Vec<Budget> = Vec::new();
    for Money { usd, per } in given {
        let parsed = nanos_of_usd(&usd).zip(Period::of(&per));
        let (nanos, per) =
            parsed.ok_or_else(|| wrong("budgets", &format!("budgets must be {expected}")))?;
        if budgets.iter().any(|known| known.per == per) {
            return Err(wrong("budgets", "budgets has two for one period"));
        }
        budgets.push(Budget { nanos, per });
    }
    Ok(budgets)
}

fn expires(body: &mut Body) -> Result<Option<u64>, Refusal> {
    let expected = "a date such as \"2027-01-31\", or \"2027-01-31T12:00:00Z\"";
    let wrong = || wrong("expires", &format!("expires must be {expected}"));
    let text: Option<String> = body.take("expires", expected)?;
    text.map(|text| moment_of(&text).ok_or_else(wrong)).transpose()
}

fn labels(body: &mut Body) -> Result<Vec<(String, String)>, Refusal> {
    let expected = "an object of names and texts without control characters";
    let given: BTreeMap<String, String> = body.take("labels", expected)?.unwrap_or_default();
    if given.iter().all(|(name, text)| is_label(name, text)) {
        Ok(given.into_iter().collect())
    } else {
        Err(wrong("labels", &format!("labels must be {expected}")))
    }
}

/// A key with the secret that was just made.
fn fresh(made: &Made, now_ms: u64) -> Value {
    let mut value = key_json(&made.key, now_ms);
    value["secret"] = Value::from(made.secret.as_str());
    value
}

/// A key without its secret.
pub fn key_json(key: &StoredKey, now_ms: u64) -> Value {
    let (wanted, limits) = (&key.wanted, &key.wanted.limits);
    let moment = |ms: u64| rfc3339(ms / 1000);
    let budget = |budget: &Budget| json!({"usd": usd(budget.nanos), "per": budget.per.as_str()});
    let secrets = key
        .secrets
        .iter()
        .map(|secret| json!({"shown": secret.shown, "until": secret.until_ms.map(moment)}));
    let labels = wanted.labels.iter().map(|(name, text)| (name.clone(), json!(text)));
    json!({
        "name": wanted.name,
        "state": standing_word(key.standing(now_ms)),
        "created": moment(key.created_ms),
        "revoked": key.revoked_ms.map(moment),
        "expires": wanted.expires_ms.map(moment),
        "secrets": secrets.collect::<Vec<_>>(),
        "models": wanted.models,
        "routes": wanted.routes,
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "concurrency": limits.concurrency,
        "budgets": limits.budgets.iter().map(budget).collect::<Vec<_>>(),
        "labels": labels.collect::<Map<_, _>>(),
    })
}

/// Whether a key opens, as a word.
pub const fn standing_word(standing: Standing) -> &'static str {
    match standing {
        Standing::Good => "good",
        Standing::Expired => "expired",
        Standing::Revoked => "revoked",
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn refused(error: KeyError) -> Refusal {
    match &error {
        KeyError::Store(error) => unavailable(error),
        KeyError::NoRandom => refusal(Row::STORE_UNAVAILABLE, error.to_string()),
        KeyError::Unknown(_) => not_found("no key in the store has this name"),
        KeyError::Taken(_) | KeyError::Revoked(_) => wrong("name", &error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Wanted, (String, Option<String>)> {
        let told = |error: Refusal| (error.message.clone(), error.param.clone());
        wanted(body.as_bytes(), &mut String::new()).map_err(told)
    }

    #[test]
    fn a_body_says_all_that_the_command_line_can() {
        let wanted = read(
            r#"{"name": "team-a", "models": ["gemini-*"], "routes": ["*"],
                "requests_per_minute": 600, "tokens_per_minute": 1000, "concurrency": 5,
                "budgets": [{"usd": "25.00", "per": "month"}, {"usd": "0.5", "per": "day"}],
                "expires": "2027-01-31", "labels": {"owner": "Ms. K"}}"#,
        )
        .expect("it is good");
        assert_eq!((wanted.models.len(), wanted.routes.len()), (1, 1));
        let limits = &wanted.limits;
        assert_eq!((limits.requests_per_minute, limits.concurrency), (Some(600), Some(5)));
        assert_eq!(limits.budgets[0].nanos, 25_000_000_000);
        assert_eq!(wanted.expires_ms, Some(1_801_353_600_000));
        assert_eq!(wanted.labels, [("owner".to_owned(), "Ms. K".to_owned())]);
        let least = read(r#"{"name": "b", "models": null, "expires": null}"#).expect("enough");
        assert_eq!(least, Wanted { name: "b".to_owned(), ..Wanted::default() });
    }

    #[test]
    fn a_bad_body_names_the_member_and_repeats_nothing_of_it() {
        for (body, param) in [
            ("{}", Some("name")),
            ("", Some("name")),
            ("[1]", None),
            ("{", None),
            (r#"{"name": 7}"#, Some("name")),
            (r#"{"name": "a b"}"#, Some("name")),
            (r#"{"name": "master"}"#, Some("name")),
            (r#"{"name": "a", "model": "canary"}"#, Some("model")),
            (r#"{"name": "a", "models": "canary"}"#, Some("models")),
            (r#"{"name": "a", "models": ["canary*y"]}"#, Some("models")),
            (r#"{"name": "a", "routes": [""]}"#, Some("routes")),
            (r#"{"name": "a", "requests_per_minute": 0}"#, Some("requests_per_minute")),
            (r#"{"name": "a", "tokens_per_minute": -1}"#, Some("tokens_per_minute")),
            (r#"{"name": "a", "concurrency": "canary"}"#, Some("concurrency")),
            (r#"{"name": "a", "budgets": [{"usd": "canary", "per": "day"}]}"#, Some("budgets")),
            (r#"{"name": "a", "budgets": [{"usd": "1", "per": "year"}]}"#, Some("budgets")),
            (
                r#"{"name": "a", "budgets": [{"usd": "1", "per": "day"}, {"usd": "2", "per": "day"}]}"#,
                Some("budgets"),
            ),
            (r#"{"name": "a", "expires": "canary"}"#, Some("expires")),
            (r#"{"name": "a", "labels": {"owner": "a\nb"}}"#, Some("labels")),
        ] {
            let (message, told) = read(body).expect_err(body);
            assert_eq!(told.as_deref(), param, "{body}");
            assert!(!message.contains("canary"), "{body}: {message}");
        }
    }
}

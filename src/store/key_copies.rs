//! Keys as they go from one store to another: what several gateways know of them.
//!
//! Two copies of a key become one without asking anybody which came later: whatever closes more
//! holds. A key that either has revoked is revoked, a secret ends when either says so, and one that
//! only one has is the key's too. The rest of a key never changes; where two keys were made with
//! one name, that which was made first is it, and the secrets of the other open nothing.

use rusqlite::{OptionalExtension, Transaction, params};
use serde_json::{Value, json};

use crate::config::{Budget, Period};
use crate::policy::{Limits, hex, unhex};

use super::db::{Db, StoreError};
use super::keys::{self, StoredKey, StoredSecret, Wanted};

/// A key as text.
pub fn write(key: &StoredKey) -> String {
    let StoredKey { wanted, created_ms, revoked_ms, secrets } = key;
    let limits = &wanted.limits;
    let budget = |budget: &Budget| json!([budget.per.as_str(), budget.nanos]);
    let secret = |secret: &StoredSecret| {
        json!([hex(&secret.digest), secret.shown, secret.created_ms, secret.until_ms])
    };
    json!({
        "name": wanted.name,
        "created_ms": created_ms,
        "revoked_ms": revoked_ms,
        "expires_ms": wanted.expires_ms,
        "models": wanted.models,
        "routes": wanted.routes,
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "concurrency": limits.concurrency,
        "budgets": limits.budgets.iter().map(budget).collect::<Vec<_>>(),
        "labels": wanted.labels,
        "secrets": secrets.iter().map(secret).collect::<Vec<_>>(),
    })
    .to_string()
}

/// Reads what [`write`] has written; none where it makes no sense.
pub fn read(text: &str) -> Option<StoredKey> {
    let value: Value = serde_json::from_str(text).ok()?;
    let number = |name: &str| value.get(name).and_then(Value::as_u64);
    let words = |name: &str| -> Option<Vec<String>> {
        value.get(name)?.as_array()?.iter().map(|word| Some(word.as_str()?.to_owned())).collect()
    };
    let budget = |value: &Value| {
        let per = Period::of(value.get(0)?.as_str()?).unwrap_or(Period::Total);
        Some(Budget { per, nanos: value.get(1)?.as_u64()? })
    };
    let label = |value: &Value| {
        Some((value.get(0)?.as_str()?.to_owned(), value.get(1)?.as_str()?.to_owned()))
    };
    let secret = |value: &Value| {
        Some(StoredSecret {
            digest: unhex(value.get(0)?.as_str()?)?,
            shown: value.get(1)?.as_str()?.to_owned(),
            created_ms: value.get(2)?.as_u64()?,
            until_ms: value.get(3).and_then(Value::as_u64),
        })
    };
    Some(StoredKey {
        wanted: Wanted {
            name: value.get("name")?.as_str()?.to_owned(),
            models: words("models")?,
            routes: words("routes")?,
            limits: Limits {
                requests_per_minute: number("requests_per_minute"),
                tokens_per_minute: number("tokens_per_minute"),
                concurrency: number("concurrency").and_then(|most| u32::try_from(most).ok()),
                budgets: value
                    .get("budgets")?
                    .as_array()?
                    .iter()
                    .map(budget)
                    .collect::<Option<_>>()?,
            },
            expires_ms: number("expires_ms"),
            labels: value.get("labels")?.as_array()?.iter().map(label).collect::<Option<_>>()?,
        },
        created_ms: number("created_ms")?,
        revoked_ms: number("revoked_ms"),
        secrets: value.get("secrets")?.as_array()?.iter().map(secret).collect::<Option<_>>()?,
    })
}

/// Two copies of one key as one.
#[must_use]
pub fn join(one: &StoredKey, other: &StoredKey) -> StoredKey {
    if one.created_ms != other.created_ms {
        // Two keys with one name.
        let (first, late) =
            if one.created_ms < other.created_ms { (one, other) } else { (other, one) };
        // Whoever revokes a name means whatever it opens.
        let revoked_ms = earlier(first.revoked_ms, late.revoked_ms);
        return in_order(StoredKey { revoked_ms, ..first.clone() });
    }
    let mut joined = one.clone();
    joined.revoked_ms = earlier(one.revoked_ms, other.revoked_ms);
    for secret in &other.secrets {
        match joined.secrets.iter_mut().find(|known| known.digest == secret.digest) {
            Some(known) => known.until_ms = earlier(known.until_ms, secret.until_ms),
            None => joined.secrets.push(secret.clone()),
        }
    }
    in_order(joined)
}

/// Takes what others know of keys into the store; does that change anything here?
///
/// # Errors
/// The store cannot be written.
pub fn take(db: &mut Db, copies: &[StoredKey]) -> Result<bool, StoreError> {
    let known = keys::list(db)?;
    let news: Vec<_> = copies.iter().filter_map(|copy| news(&known, copy)).collect();
    if news.is_empty() {
        return Ok(false);
    }
    keys::write_all(db, |db| news.iter().try_for_each(|(is_new, key)| put(db, *is_new, key)))?;
    Ok(true)
}

/// What others do not know of these keys: names and texts.
pub fn unknown_to(own: &[StoredKey], others: &[StoredKey]) -> Vec<(String, String)> {
    let news = own.iter().filter_map(|key| news(others, key));
    news.map(|(_, key)| (key.wanted.name.clone(), write(&key))).collect()
}

/// What a copy says that is not known here; is the key new?
fn news(known: &[StoredKey], copy: &StoredKey) -> Option<(bool, StoredKey)> {
    let here = known.iter().find(|key| key.wanted.name == copy.wanted.name);
    let Some(here) = here else { return Some((true, copy.clone())) };
    let (joined, here) = (join(here, copy), in_order(here.clone()));
    (joined != here).then_some((false, joined))
}

fn in_order(mut key: StoredKey) -> StoredKey {
    key.secrets.sort_by_key(|secret| (secret.created_ms, secret.digest));
    key
}

fn put(db: &Transaction<'_>, is_new: bool, key: &StoredKey) -> rusqlite::Result<()> {
    let name = &key.wanted.name;
    let n = if is_new {
        keys::insert(db, &key.wanted, key.created_ms)?
    } else {
        let select = "SELECT n FROM client_key WHERE name = ?1";
        db.query_row(select, [name], |row| row.get(0)).optional()?.unwrap_or_default()
    };
    let revoke = "UPDATE client_key SET revoked_ms = ?2, created_ms = ?3 WHERE n = ?1";
    db.execute(revoke, params![n, key.revoked_ms.map(keys::signed), keys::signed(key.created_ms)])?;
    db.execute("DELETE FROM client_key_secret WHERE key = ?1", [n])?;
    for secret in &key.secrets {
        keys::insert_secret(db, n, secret)?;
    }
    Ok(())
}

fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(number: u8, until_ms: Option<u64>) -> StoredSecret {
        let created_ms = u64::from(number);
        StoredSecret {
            digest: [number; 32],
            shown: format!("sk-vb-{number}"),
            created_ms,
            until_ms,
        }
    }

    fn key(created_ms: u64, secrets: Vec<StoredSecret>) -> StoredKey {
        let limits = Limits {
            requests_per_minute: Some(5),
            budgets: vec![Budget { nanos: 7, per: Period::Day }],
            ..Limits::default()
        };
        let labels = vec![("team".to_owned(), "a \"b\"".to_owned())];
        let wanted = Wanted { name: "k".to_owned(), limits, labels, ..Wanted::default() };
        StoredKey { wanted, created_ms, revoked_ms: None, secrets }
    }

    #[test]
    fn a_key_is_the_same_behind_its_text() {
        let mut key = key(3, vec![secret(1, Some(9)), secret(2, None)]);
        key.revoked_ms = Some(12);
        assert_eq!(read(&write(&key)), Some(key));
        for text in ["", "{}", "[]", "{\"name\":\"k\"}"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn whatever_closes_more_holds_and_the_order_does_not_matter() {
        let mut revoked = key(3, vec![secret(1, Some(9))]);
        revoked.revoked_ms = Some(50);
        let rotated = key(3, vec![secret(1, Some(20)), secret(2, None)]);
        let joined = join(&revoked, &rotated);
        assert_eq!(joined, join(&rotated, &revoked));
        assert_eq!(joined.revoked_ms, Some(50));
        assert_eq!(joined.secrets, [secret(1, Some(9)), secret(2, None)]);
        assert_eq!(join(&joined, &rotated), joined);
    }

    #[test]
    fn of_two_keys_with_one_name_the_first_is_it() {
        let (first, late) = (key(3, vec![secret(1, None)]), key(4, vec![secret(2, None)]));
        assert_eq!(join(&first, &late), first);
        assert_eq!(join(&late, &first), first);
        let mut revoked = late;
        revoked.revoked_ms = Some(9);
        assert_eq!(join(&first, &revoked).revoked_ms, Some(9));
    }
}

//! A service account's key file, as Google Cloud hands it out: JSON with a private key in it.
//!
//! The key is taken as text; whether it can sign is found out where it signs, also at the start.

use serde::Deserialize;

use super::origin::{Base, Origin, is_loopback};
use super::secret::Secret;

/// What would be right, for an error.
pub(super) const EXPECTED: &str =
    "the path of a service account's key file (JSON with client_email, private_key, token_uri)";

/// Google's own token endpoint, which old key files leave out.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// The only universe whose hosts we know.
const UNIVERSE: &str = "googleapis.com";

/// Who we are to Google Cloud.
#[derive(Clone, Debug)]
pub struct ServiceAccount {
    /// The file, as it was given.
    pub path: String,
    /// Who signs.
    pub client_email: String,
    /// RSA, PEM. Empty after [`super::Config::take_accounts`].
    pub private_key: Secret,
    /// Which of the account's keys it is.
    pub private_key_id: Option<String>,
    /// Where a signature becomes a token, to the letter: the signature covers it.
    pub token_uri: String,
    /// The project that the account belongs to.
    pub project_id: Option<String>,
}

/// As it stands in the file. Unknown fields are of no use to us.
#[derive(Deserialize)]
struct Written {
    #[serde(rename = "type")]
    kind: Option<String>,
    client_email: Option<String>,
    private_key: Option<String>,
    private_key_id: Option<String>,
    token_uri: Option<String>,
    project_id: Option<String>,
    universe_domain: Option<String>,
}

impl ServiceAccount {
    /// Reads the content of the file `path`. The error says which field is wrong, and never
    /// repeats what stands in it beyond its kind.
    pub(super) fn parse(path: &str, text: &Secret) -> Result<Self, String> {
        // The parser's own message may quote the file.
        let written: Written = serde_json::from_str(text.expose()).map_err(|error| {
            format!("which is no JSON object with text fields (line {})", error.line())
        })?;
        let private_key = written.private_key.map(Secret::new);
        let kind = written.kind.ok_or("whose field type is missing")?;
        if kind != "service_account" {
            let known = ["authorized_user", "external_account", "impersonated_service_account"];
            let kind = known.iter().find(|known| **known == kind).copied().unwrap_or("unknown");
            return Err(format!("whose type is {kind}, not service_account"));
        }
        let client_email = present(written.client_email, "client_email")?;
        let private_key = private_key.ok_or("whose field private_key is missing")?;
        if !private_key.expose().contains("-----BEGIN ") {
            return Err("whose field private_key is no PEM text".to_owned());
        }
        let token_uri = written.token_uri.unwrap_or_else(|| TOKEN_URI.to_owned());
        check_token_uri(&token_uri)?;
        if written.universe_domain.is_some_and(|domain| domain != UNIVERSE) {
            return Err(format!("whose universe_domain is not {UNIVERSE}"));
        }
        let private_key_id = written.private_key_id.map(|id| present(Some(id), "private_key_id"));
        let project_id =
            written.project_id.map(|id| present(Some(id), "project_id")).transpose()?;
        let is_safe =
            |id: &String| id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:".contains(&b));
        // It becomes part of a path.
        if !project_id.iter().all(is_safe) {
            return Err("whose field project_id is no project of Google Cloud".to_owned());
        }
        Ok(Self {
            path: path.to_owned(),
            client_email,
            private_key,
            private_key_id: private_key_id.transpose()?,
            token_uri,
            project_id,
        })
    }
}

/// A field with a short text in it. It becomes part of a signed text, so controls are refused.
fn present(field: Option<String>, name: &str) -> Result<String, String> {
    let text = field.ok_or_else(|| format!("whose field {name} is missing"))?;
    if text.is_empty() || text.len() > 512 || text.contains(|c: char| !c.is_ascii_graphic()) {
        return Err(format!("whose field {name} is empty, too long or not plain ASCII"));
    }
    Ok(text)
}

/// A signature is as good as the key for an hour, so it leaves this machine encrypted only.
fn check_token_uri(uri: &str) -> Result<(), String> {
    let wrong = |why: &str| format!("whose field token_uri is {why}");
    let origin = Origin::parse(uri, Base::Versioned).map_err(wrong)?;
    if !origin.tls && !is_loopback(&origin.host) {
        return Err(wrong("neither https:// nor on loopback"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"type":"service_account","project_id":"p-1","private_key_id":"k1",
        "private_key":"-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n",
        "client_email":"bridge@p-1.iam.gserviceaccount.com","client_id":"1",
        "token_uri":"https://oauth2.googleapis.com/token","universe_domain":"googleapis.com"}"#;

    fn parse(text: &str) -> Result<ServiceAccount, String> {
        ServiceAccount::parse("/sa.json", &Secret::new(text.to_owned()))
    }

    #[test]
    fn a_file_of_google_cloud_is_understood_and_shows_no_key() {
        let account = parse(FILE).expect("an account");
        assert_eq!(account.client_email, "bridge@p-1.iam.gserviceaccount.com");
        assert_eq!(account.private_key_id.as_deref(), Some("k1"));
        assert_eq!(account.project_id.as_deref(), Some("p-1"));
        assert_eq!(account.token_uri, TOKEN_URI);
        assert!(!format!("{account:?}").contains("canary"));
        let least = r#"{"type":"service_account","client_email":"a@b","private_key":
            "-----BEGIN RSA PRIVATE KEY-----"}"#;
        let account = parse(least).expect("an account");
        assert_eq!((account.token_uri.as_str(), account.project_id), (TOKEN_URI, None));
    }

    #[test]
    fn mistakes_name_the_field_and_not_its_content() {
        let cases = [
            ("canary", "", "which is no JSON object with text fields (line 1)"),
            ("\"type\":\"service_account\",", "", "whose field type is missing"),
            ("\"service_account\"", "\"canary\"", "whose type is unknown, not service_account"),
            (
                "\"service_account\"",
                "\"authorized_user\"",
                "whose type is authorized_user, not service_account",
            ),
            ("\"client_email\"", "\"mail\"", "whose field client_email is missing"),
            ("\"private_key\"", "\"key\"", "whose field private_key is missing"),
            ("-----BEGIN ", "", "whose field private_key is no PEM text"),
            ("bridge@", "canary \\n", "whose field client_email is empty, too long or not plain"),
            ("\"k1\"", "\"\"", "whose field private_key_id is empty"),
            ("\"p-1\"", "7", "which is no JSON object with text fields"),
            (TOKEN_URI, "http://canary/token", "whose field token_uri is neither https://"),
            (TOKEN_URI, "https://u:canary@h/", "whose field token_uri is a URL with a user name"),
            ("\"googleapis.com\"", "\"canary.example\"", "whose universe_domain is not google"),
        ];
        for (part, instead, want) in cases {
            let text =
                if part == "canary" { "canary".to_owned() } else { FILE.replace(part, instead) };
            let wrong = parse(&text).expect_err(want);
            assert!(wrong.starts_with(want), "{wrong}");
            assert!(!wrong.contains("canary"), "{wrong}");
        }
        assert!(parse(&FILE.replace(TOKEN_URI, "http://127.0.0.1:9/token")).is_ok());
    }
}

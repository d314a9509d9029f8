//! The one service account of the simulator. Its private key is in this repository for everybody
//! to read: it opens nothing but simulators.

use super::super::json::quote;

/// Who signs.
pub(super) const EMAIL: &str = "simulated@simulated-project.iam.gserviceaccount.com";

/// The name of its key.
pub(super) const KEY_ID: &str = "5ca1ab1e0000000000000000000000000000feed";

/// The project that the account belongs to.
const PROJECT: &str = "simulated-project";

const PRIVATE_KEY: &str = include_str!("public_worthless_key.pem");

/// The public half, as PKCS #1.
pub(super) const PUBLIC_KEY: &[u8] = include_bytes!("public_worthless_key.der");

/// The key file of the account, for a simulator at `origin` such as `http://127.0.0.1:4100`.
pub fn service_account(origin: &str) -> String {
    let origin = origin.trim_end_matches('/');
    format!(
        "{{\n  \"type\": \"service_account\",\n  \"project_id\": \"{PROJECT}\",\n  \"private_key_id\": \"{KEY_ID}\",\n  \"private_key\": {},\n  \"client_email\": \"{EMAIL}\",\n  \"client_id\": \"100000000000000000000\",\n  \"auth_uri\": \"{origin}/auth\",\n  \"token_uri\": \"{origin}/token\",\n  \"universe_domain\": \"googleapis.com\"\n}}\n",
        quote(PRIVATE_KEY)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_file_is_googles_kind_and_points_at_the_simulator() {
        let file: serde_json::Value =
            serde_json::from_str(&service_account("http://127.0.0.1:4100/")).unwrap();
        assert_eq!(file["type"], "service_account");
        assert_eq!(file["token_uri"], "http://127.0.0.1:4100/token");
        assert_eq!(
            (&file["client_email"], &file["private_key_id"]),
            (&EMAIL.into(), &KEY_ID.into())
        );
        let key = file["private_key"].as_str().unwrap();
        assert!(key.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{key}");
    }
}

//! Tests of credentials and their file.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::Duration;

use super::*;
use crate::{Issue, Permissions, UserStatement};

fn some_credentials(lifetime: Option<Duration>) -> Credentials {
    let (account, user) = (
        Keys::generate(KeyKind::Account).unwrap(),
        Keys::generate(KeyKind::User).unwrap(),
    );
    let issue = Issue {
        subject: &user.public_key(),
        name: "someone",
        now: std::time::UNIX_EPOCH,
        lifetime,
    };
    let statement = UserStatement::new(Permissions::default());
    Credentials::issued(
        issue.sign(Statement::User(Box::new(statement)), &account),
        &user,
    )
}

fn assert_same(one: &Credentials, other: &Credentials) {
    assert_eq!(one.jwt(), other.jwt());
    assert_eq!(one.seed().expose(), other.seed().expose());
    assert_eq!(one.public_key(), other.public_key());
}

#[test]
fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("someone.creds");
    let credentials = some_credentials(None);
    credentials.write(&path).unwrap();
    assert_same(&Credentials::read(&path).unwrap(), &credentials);
    let again = some_credentials(None);
    again.write(&path).unwrap();
    assert_same(&Credentials::read(&path).unwrap(), &again);
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing else is left"
    );
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_read_is_refused_with_the_remedy() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("someone.creds");
    some_credentials(None).write(&path).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        0o600
    );
    for mode in [0o640, 0o604, 0o620, 0o601] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let Err(CredentialsError::File(error)) = Credentials::read(&path) else {
            panic!("read with mode {mode:o}");
        };
        let path = path.display();
        assert_eq!(
            error.to_string(),
            format!("others can read {path} (mode {mode:04o}); run: chmod 600 {path}")
        );
    }
}

#[test]
fn what_is_no_file_is_refused_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Credentials::read(&folder.path().join("missing.creds"));
    assert!(matches!(
        missing,
        Err(CredentialsError::File(PrivateFileError::Missing { .. }))
    ));
    let is_folder = Credentials::read(folder.path());
    assert!(matches!(
        is_folder,
        Err(CredentialsError::File(PrivateFileError::Unfit { .. }))
    ));
    let huge = folder.path().join("huge.creds");
    private_file::write(&huge, &"x".repeat(300 * 1024)).unwrap();
    let huge = Credentials::read(&huge);
    assert!(matches!(
        huge,
        Err(CredentialsError::File(PrivateFileError::Unfit { .. }))
    ));
}

#[test]
fn files_of_the_nats_tools_are_read() {
    let credentials = some_credentials(None);
    let (jwt, seed) = (credentials.jwt(), credentials.seed().expose());
    let text = format!(
        "-----BEGIN NATS USER JWT-----\r\n{jwt}\r\n------END NATS USER JWT------\r\n\r\n\
         ************************* IMPORTANT *************************\r\n\
         Some words about the seed.\r\n\r\n\
         -----BEGIN USER NKEY SEED-----\r\n{seed}\r\n------END USER NKEY SEED------\r\n\r\n\
         *************************************************************\r\n"
    );
    assert_same(&Credentials::parse(&text).unwrap(), &credentials);
    assert_same(
        &Credentials::parse(&text.replace('\r', "")).unwrap(),
        &credentials,
    );
}

#[test]
fn a_part_that_is_missing_or_wrong_is_named() {
    let credentials = some_credentials(None);
    let text = credentials.to_text();
    let text = text.expose();
    let without_seed = &text[..text.find("-----BEGIN USER").unwrap()];
    assert!(matches!(
        Credentials::parse(without_seed),
        Err(CredentialsError::Form { missing: "seed" })
    ));
    assert!(matches!(
        Credentials::parse(""),
        Err(CredentialsError::Form {
            missing: "user token"
        })
    ));
    let other = some_credentials(None);
    let mixed = text.replace(credentials.seed().expose(), other.seed().expose());
    assert!(matches!(
        Credentials::parse(&mixed),
        Err(CredentialsError::Mismatch { .. })
    ));
    let account = Keys::generate(KeyKind::Account).unwrap();
    let wrong = text.replace(credentials.seed().expose(), account.seed().expose());
    assert!(matches!(
        Credentials::parse(&wrong),
        Err(CredentialsError::Seed(_))
    ));
    for length in 0..text.len() - "------END USER NKEY SEED------\n".len() {
        if let Err(error) = Credentials::parse(&text[..length]) {
            let printed = format!("{error} {error:?}");
            assert!(!printed.contains(credentials.seed().expose()));
        }
    }
}

#[test]
fn expired_credentials_are_read_and_say_so_to_the_server() {
    let expired = some_credentials(Some(Duration::from_secs(1)));
    assert_same(
        &Credentials::parse(expired.to_text().expose()).unwrap(),
        &expired,
    );
}

#[test]
fn credentials_print_no_seed() {
    let credentials = some_credentials(None);
    assert!(!format!("{credentials:?}").contains(credentials.seed().expose()));
}

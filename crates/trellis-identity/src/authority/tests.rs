//! Tests of the credentials of a lattice and of the folder they are kept in.

#![allow(clippy::unwrap_used)]

use std::fs;

use trellis_core::{ComponentId, with_causes};

use super::*;

fn shop() -> LatticeName {
    LatticeName::new("shop").unwrap()
}

struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join("state/lattice")
    }

    fn authority(&self) -> Authority {
        Authority::open_or_create(&self.folder(), &shop()).unwrap()
    }
}

fn enter(authority: &Authority, credentials: &Credentials) -> Result<User, AuthenticationError> {
    authority.authenticate(credentials.jwt(), b"nonce", &credentials.sign(b"nonce"))
}

#[test]
fn every_standing_role_enters_with_its_permissions() {
    let place = Place::new();
    let authority = place.authority();
    for role in STANDING_ROLES {
        let user = enter(&authority, &authority.credentials(&role)).unwrap();
        assert_eq!(user.name, role.to_string());
        assert_eq!(user.permissions, permissions(&role, &shop()));
        assert_eq!(user.expires, None);
        let file = Credentials::read(&authority.credentials_path(&role).unwrap()).unwrap();
        assert_eq!(file.jwt(), authority.credentials(&role).jwt());
    }
}

#[test]
fn a_provider_gets_a_user_of_its_own() {
    let place = Place::new();
    let authority = place.authority();
    let role = Role::Provider {
        id: ComponentId::new("shop-kv").unwrap(),
        link_key: None,
    };
    let (one, other) = (authority.credentials(&role), authority.credentials(&role));
    assert_ne!(one.public_key(), other.public_key());
    let user = enter(&authority, &one).unwrap();
    assert_eq!(
        (user.name.as_str(), user.permissions),
        ("provider shop-kv", permissions(&role, &shop()))
    );
    assert_eq!(authority.credentials_path(&role), None);
    let short = authority.issue(&role, Some(Duration::from_secs(3600)));
    assert!(enter(&authority, &short).unwrap().expires.is_some());
}

#[test]
fn credentials_stay_the_same_from_start_to_start() {
    let place = Place::new();
    let first = place.authority().credentials(&Role::Host);
    let second = place.authority().credentials(&Role::Host);
    let third = Authority::open(&place.folder(), &shop())
        .unwrap()
        .credentials(&Role::Host);
    assert_eq!(first.jwt(), second.jwt());
    assert_eq!(first.jwt(), third.jwt());
    assert_eq!(first.seed().expose(), third.seed().expose());
}

#[test]
fn who_does_not_hold_the_key_stays_outside() {
    let (place, elsewhere) = (Place::new(), Place::new());
    let (authority, other) = (place.authority(), elsewhere.authority());
    let (operator, viewer) = (
        authority.credentials(&Role::Operator),
        authority.credentials(&Role::Viewer),
    );
    for signature in [
        viewer.sign(b"nonce"),
        operator.sign(b"earlier nonce"),
        Vec::new(),
        vec![0; 64],
        vec![0; 4096],
    ] {
        let refused = authority.authenticate(operator.jwt(), b"nonce", &signature);
        assert!(matches!(
            refused,
            Err(AuthenticationError::Signature { .. })
        ));
    }
    let refused = enter(&authority, &other.credentials(&Role::Operator));
    assert!(matches!(
        refused,
        Err(AuthenticationError::Token(TokenError::Issuer { .. }))
    ));
    let refused = authority.authenticate("", b"nonce", &[]);
    assert!(matches!(
        refused,
        Err(AuthenticationError::Token(TokenError::Malformed { .. }))
    ));
}

#[test]
fn the_tokens_of_standing_roles_fit_into_the_control_line_of_a_server() {
    let place = Place::new();
    let name = LatticeName::new("a-lattice-with-a-very-long-name1").unwrap();
    let authority = Authority::open_or_create(&place.folder(), &name).unwrap();
    for role in STANDING_ROLES {
        let length = authority.credentials(&role).jwt().len();
        // 4,096 bytes less what else CONNECT says: a signature, names and versions, under 400.
        assert!(length < 3_700, "{role}: {length} bytes");
    }
}

#[cfg(unix)]
#[test]
fn nothing_is_open_to_other_users() {
    use std::os::unix::fs::PermissionsExt;
    fn check(path: &Path) {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        if path.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            for entry in fs::read_dir(path).unwrap() {
                check(&entry.unwrap().path());
            }
        } else {
            assert_eq!(mode, 0o600, "{}", path.display());
        }
    }
    let place = Place::new();
    drop(place.authority());
    check(&place.root.path().join("state"));

    let seed = place.folder().join(ACCOUNT_SEED);
    fs::set_permissions(&seed, fs::Permissions::from_mode(0o644)).unwrap();
    let error = with_causes(&Authority::open(&place.folder(), &shop()).unwrap_err());
    assert!(
        error.ends_with(&format!("run: chmod 600 {}", seed.display())),
        "{error}"
    );
    fs::set_permissions(&seed, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(place.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    let error = with_causes(&Authority::open(&place.folder(), &shop()).unwrap_err());
    assert!(
        error.ends_with(&format!("run: chmod 700 {}", place.folder().display())),
        "{error}"
    );
}

#[test]
fn what_a_killed_process_left_is_cleared_away() {
    let place = Place::new();
    let staged = place.root.path().join("state/.lattice.new");
    private_file::create_folder(&staged).unwrap();
    fs::write(staged.join(OPERATOR_TOKEN), "half a tok").unwrap();
    // Before the rename there is nothing, and opening says so.
    let error = Authority::open(&place.folder(), &shop()).unwrap_err();
    assert!(matches!(error, AuthorityError::Absent { .. }));
    assert!(
        enter(
            &place.authority(),
            &place.authority().credentials(&Role::Host)
        )
        .is_ok()
    );
    assert!(!staged.exists());
}

#[test]
fn users_that_were_not_written_yet_are_made_again() {
    let place = Place::new();
    let before = place.authority();
    fs::remove_file(before.credentials_path(&Role::Viewer).unwrap()).unwrap();
    fs::write(
        before.credentials_path(&Role::Host).unwrap(),
        "-----BEGIN NATS",
    )
    .unwrap();
    let after = Authority::open(&place.folder(), &shop()).unwrap();
    assert!(enter(&after, &after.credentials(&Role::Viewer)).is_ok());
    assert!(enter(&after, &after.credentials(&Role::Host)).is_ok());
    assert_eq!(
        after.credentials(&Role::Operator).jwt(),
        before.credentials(&Role::Operator).jwt()
    );
    fs::remove_dir_all(place.folder().join("users")).unwrap();
    let after = place.authority();
    assert!(enter(&after, &after.credentials(&Role::Operator)).is_ok());
}

#[test]
fn a_user_with_the_permissions_of_another_version_is_renewed_and_keeps_its_key() {
    let place = Place::new();
    let authority = place.authority();
    let old = authority.credentials(&Role::Operator);
    let keys = Keys::from_seed(old.seed()).unwrap();
    let outdated = authority.issue_to(&keys, &Role::Viewer, None);
    outdated
        .write(&authority.credentials_path(&Role::Operator).unwrap())
        .unwrap();
    let renewed = place.authority();
    let user = enter(&renewed, &renewed.credentials(&Role::Operator)).unwrap();
    assert_eq!(user.permissions, permissions(&Role::Operator, &shop()));
    assert_eq!(&user.public_key, old.public_key());
}

#[test]
fn what_cannot_be_made_again_is_named_with_the_remedy() {
    for part in [OPERATOR_TOKEN, ACCOUNT_TOKEN, ACCOUNT_SEED, SYSTEM_TOKEN] {
        let place = Place::new();
        drop(place.authority());
        for damage in [None, Some(""), Some("garbage"), Some("a.b.c")] {
            match damage {
                None => fs::remove_file(place.folder().join(part)).unwrap(),
                Some(text) => private_file::write(&place.folder().join(part), text).unwrap(),
            }
            let error = Authority::open_or_create(&place.folder(), &shop()).unwrap_err();
            assert!(
                matches!(error, AuthorityError::Damaged { .. }),
                "{part}: {}",
                with_causes(&error)
            );
            assert!(error.to_string().contains("delete the folder"), "{error}");
        }
    }
}

#[test]
fn the_seed_of_another_account_is_noticed() {
    let (place, elsewhere) = (Place::new(), Place::new());
    drop((place.authority(), elsewhere.authority()));
    fs::copy(
        elsewhere.folder().join(ACCOUNT_SEED),
        place.folder().join(ACCOUNT_SEED),
    )
    .unwrap();
    let error = Authority::open(&place.folder(), &shop()).unwrap_err();
    let AuthorityError::Damaged { source, .. } = error else {
        panic!("{error}")
    };
    assert!(
        matches!(source, DamageError::OtherAccount { .. }),
        "{source}"
    );
}

#[test]
fn the_folder_of_another_lattice_is_refused() {
    let place = Place::new();
    drop(place.authority());
    let error =
        Authority::open_or_create(&place.folder(), &LatticeName::new("farm").unwrap()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("are of lattice shop, not of farm"),
        "{error}"
    );
}

#[test]
fn many_that_start_at_once_share_one_authority() {
    let place = Place::new();
    let folder = place.folder();
    let start = std::sync::Barrier::new(8);
    let tokens: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    let authority = Authority::open_or_create(&folder, &shop()).unwrap();
                    authority.credentials(&Role::Host).jwt().to_owned()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(tokens.iter().all(|token| *token == tokens[0]));
}

#[test]
fn an_empty_folder_is_filled() {
    let place = Place::new();
    private_file::create_folder(&place.folder()).unwrap();
    assert!(
        enter(
            &place.authority(),
            &place.authority().credentials(&Role::Host)
        )
        .is_ok()
    );
}

#[test]
fn printing_an_authority_shows_no_seed() {
    let place = Place::new();
    let authority = place.authority();
    let printed = format!("{authority:?}");
    assert!(!printed.contains(authority.account.seed().expose()));
    assert!(!printed.contains(authority.credentials(&Role::Host).seed().expose()));
}

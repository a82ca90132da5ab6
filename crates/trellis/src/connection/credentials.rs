//! Who connects: a credentials file, or a JWT and its seed. Secrets come from files or the
//! environment, never from the command line, which every user of the machine can see.

use std::path::{Path, PathBuf};

use trellis_identity::{Role, Secret, Statement, token};
use trellis_lattice::Credentials;

use super::ConnectionOptions;
use super::resolve::{Origin, Setting, Sources};
use crate::failure::Failure;

/// Longest file of a JWT, a seed or both.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// The prefix of inboxes of tools that are told none.
const INBOX_DEFAULT: &str = "_INBOX";

/// Who connects, before any file is read.
#[derive(Clone, Debug)]
pub(crate) enum Login {
    /// A `.creds` file.
    CredsFile(PathBuf),
    /// A user JWT and its seed.
    JwtAndSeed { jwt: Text, seed: Text },
    /// A seed whose key the server knows.
    Nkey(Text),
}

/// A text in a file, or given as it is.
#[derive(Clone, Debug)]
pub(crate) enum Text {
    File(PathBuf),
    Given(Secret<String>),
}

/// Names the login without what is secret.
impl std::fmt::Display for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CredsFile(path) => write!(f, "{}", path.display()),
            Self::JwtAndSeed { .. } => f.write_str("a JWT and its seed"),
            Self::Nkey(_) => f.write_str("a seed"),
        }
    }
}

/// Finds who connects. The first place that says anything decides; a JWT may have its seed in a
/// later one.
pub(super) fn choose(
    options: &ConnectionOptions,
    sources: &Sources<'_>,
) -> Result<Option<Setting<Login>>, Failure> {
    let flag = |path: &Option<PathBuf>, name: &'static str| -> Result<_, Failure> {
        let Some(path) = path else { return Ok(None) };
        if is_secret(&path.to_string_lossy()) {
            let message = format!("{name} takes a file: what is typed can be seen by every user");
            let hint = "write it to a file that only you can read, or set NATS_JWT and NATS_SEED";
            return Err(Failure::usage(&message, Some(hint)));
        }
        let value = Text::File(path.clone());
        let origin = Origin::Flag(name);
        Ok(Some(Setting { value, origin }))
    };
    let variable = |name| {
        let told = sources.variable(name)?;
        let value = match is_secret(&told.value) {
            true => Text::Given(Secret::new(told.value)),
            false => Text::File(PathBuf::from(told.value)),
        };
        Some(Setting {
            value,
            origin: told.origin,
        })
    };
    let creds_variable = sources.variable("NATS_CREDS").map(|it| Setting {
        value: PathBuf::from(it.value),
        origin: it.origin,
    });
    let creds_flag = options.creds.clone().map(|value| Setting {
        value,
        origin: Origin::Flag("--creds"),
    });
    let file = |get: fn(&crate::context::Context) -> &Option<PathBuf>| {
        sources.context(|it| get(it).clone().map(Text::File))
    };
    let levels = [
        Level {
            creds: creds_flag,
            jwt: flag(&options.jwt, "--jwt")?,
            seed: flag(&options.seed, "--seed")?,
        },
        Level {
            creds: creds_variable,
            jwt: variable("NATS_JWT"),
            seed: variable("NATS_SEED"),
        },
        Level {
            creds: sources.context(|it| it.credentials.clone()),
            jwt: file(|it| &it.jwt),
            seed: file(|it| &it.seed),
        },
    ];
    first_login(levels)
}

/// What one place says.
struct Level {
    creds: Option<Setting<PathBuf>>,
    jwt: Option<Setting<Text>>,
    seed: Option<Setting<Text>>,
}

fn first_login(levels: [Level; 3]) -> Result<Option<Setting<Login>>, Failure> {
    let mut levels = levels.into_iter();
    while let Some(level) = levels.next() {
        if let Some(Setting { value, origin }) = level.creds {
            let value = Login::CredsFile(value);
            return Ok(Some(Setting { value, origin }));
        }
        match (level.jwt, level.seed) {
            (None, None) => {}
            (None, Some(seed)) => {
                let (value, origin) = (Login::Nkey(seed.value), seed.origin);
                return Ok(Some(Setting { value, origin }));
            }
            (Some(Setting { value: jwt, origin }), seed) => {
                let Some(seed) = seed.or_else(|| levels.find_map(|it| it.seed)) else {
                    let message = format!("the JWT ({origin}) has no seed");
                    let hint = "give it with `--seed FILE` or NATS_SEED";
                    return Err(Failure::usage(&message, Some(hint)));
                };
                let seed = seed.value;
                let value = Login::JwtAndSeed { jwt, seed };
                return Ok(Some(Setting { value, origin }));
            }
        }
    }
    Ok(None)
}

/// Tells a JWT or a seed from the path of a file that holds one.
fn is_secret(text: &str) -> bool {
    let text = text.trim();
    let base32 = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    let is_jwt = text.starts_with("eyJ") && text.matches('.').count() == 2;
    let is_seed = text.len() > 50 && text.starts_with('S') && text.chars().all(base32);
    is_jwt || is_seed
}

/// What a connection needs of a login.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    /// Who connects.
    pub(crate) credentials: Credentials,
    /// Where answers come to.
    pub(crate) inbox_prefix: String,
}

impl Login {
    /// Returns the token, where there is one that can be read.
    pub(crate) fn jwt(&self) -> Option<String> {
        match self {
            Self::CredsFile(path) => jwt_of_creds(&read_file(path).ok()?),
            Self::JwtAndSeed { jwt, .. } => Some(jwt.read("JWT").ok()?.expose().trim().to_owned()),
            Self::Nkey(_) => None,
        }
    }

    /// Reads what is in files.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn read(&self) -> Result<Ready, Failure> {
        let credentials = match self {
            // That it cannot be read is said by who connects.
            Self::CredsFile(path) => Credentials::CredsFile(path.clone()),
            Self::JwtAndSeed { jwt, seed } => Credentials::JwtAndSeed {
                jwt: jwt.read("JWT")?.expose().trim().to_owned(),
                seed: seed.read("seed")?,
            },
            Self::Nkey(seed) => Credentials::Nkey(seed.read("seed")?),
        };
        Ok(Ready {
            credentials,
            inbox_prefix: inbox_prefix(self.jwt().as_deref()),
        })
    }
}

impl Text {
    fn read(&self, what: &str) -> Result<Secret<String>, Failure> {
        match self {
            Self::Given(text) => Ok(text.clone()),
            Self::File(path) => match read_file(path) {
                Ok(text) => Ok(Secret::new(text.trim().to_owned())),
                Err(error) => {
                    let message = format!("cannot read the {what} in {}: {error}", path.display());
                    Err(Failure::message(
                        &message,
                        Some("check the path and who may read it"),
                    ))
                }
            },
        }
    }
}

fn read_file(path: &Path) -> std::io::Result<String> {
    if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
        let reason = "it is far larger than such a file";
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, reason));
    }
    std::fs::read_to_string(path)
}

/// Returns the token of a `.creds` file: its first line that is one.
fn jwt_of_creds(text: &str) -> Option<String> {
    let line = text
        .lines()
        .map(str::trim)
        .find(|it| it.starts_with("eyJ"))?;
    Some(line.to_owned())
}

/// Returns the prefix of inboxes that the token binds its user to: that of a role of ours, where it
/// names one. Users of other makers have the usual one.
fn inbox_prefix(jwt: Option<&str>) -> String {
    let claims = jwt.and_then(|jwt| token::decode(jwt, std::time::SystemTime::now()).ok());
    let Some(Statement::User(user)) = claims.map(|it| it.nats) else {
        return INBOX_DEFAULT.to_owned();
    };
    let allowed = &user.subscribe.allow;
    let roles = [Role::Operator, Role::Viewer, Role::Dashboard, Role::Host];
    let mut prefixes = roles.iter().map(Role::inbox_prefix);
    let named = prefixes.find(|prefix| allowed.iter().any(|it| *it == format!("{prefix}.>")));
    named.unwrap_or_else(|| INBOX_DEFAULT.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use trellis_core::LatticeName;
    use trellis_identity::Authority;

    use super::*;

    #[test]
    fn answers_come_where_the_role_may_read_them() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("credentials");
        let authority = Authority::open_or_create(&folder, &LatticeName::default()).unwrap();
        for role in [Role::Operator, Role::Viewer, Role::Host, Role::Dashboard] {
            let path = authority.credentials_path(&role).unwrap();
            let ready = Login::CredsFile(path).read().unwrap();
            assert_eq!(ready.inbox_prefix, role.inbox_prefix());
        }
        assert_eq!(inbox_prefix(None), "_INBOX");
        assert_eq!(inbox_prefix(Some("eyJ.no.token")), "_INBOX");
    }

    #[test]
    fn a_secret_is_told_from_a_path() {
        let seed = format!("SUA{}", "B".repeat(55));
        for secret in ["eyJ0.eyJ1.abc", seed.as_str()] {
            assert!(is_secret(secret), "{secret}");
        }
        for path in ["/etc/nats/seed", "seed.nk", "S", "eyJ.txt"] {
            assert!(!is_secret(path), "{path}");
        }
    }
}

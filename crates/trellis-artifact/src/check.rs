//! Tells whether bytes are a sound component, and if not, what they are instead.
//!
//! Knows bytes only: no paths, no files.

use std::fmt;

use wasmparser::{Chunk, Parser, Payload, Validator, WasmFeatures};

const MAGIC: &[u8] = b"\0asm";
/// Layer 0, version 1.
const CORE_MODULE: [u8; 4] = [1, 0, 0, 0];
/// Layer 1, version 13: the component encoding that every released toolchain writes.
const COMPONENT: [u8; 4] = [13, 0, 1, 0];

/// What is wrong with bytes that were to be a component.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes are no WebAssembly at all.
    #[error("it is {kind}, not WebAssembly (it begins with {first_bytes})")]
    NotWasm {
        /// What the bytes look like.
        kind: Kind,
        /// The first bytes, escaped for a terminal.
        first_bytes: String,
    },
    /// The bytes are a core module.
    #[error("it is a core WebAssembly module, not a component")]
    CoreModule,
    /// The header names an encoding that is neither the core module nor the component one.
    #[error("it is WebAssembly of an unknown encoding (layer {layer}, version {version})")]
    UnknownEncoding {
        /// The layer field of the header: 0 for modules, 1 for components.
        layer: u16,
        /// The version field of the header.
        version: u16,
    },
    /// The bytes end too early.
    #[error("it is truncated: it ends at byte {size}, at least {missing} more must follow")]
    Truncated {
        /// The number of bytes there are.
        size: usize,
        /// How many more the unfinished part needs at least.
        missing: u64,
    },
    /// The bytes are a component with a mistake in it.
    #[error("it is corrupt at byte {offset}: {message}")]
    Corrupt {
        /// Where the mistake is.
        offset: usize,
        /// What the validator says.
        message: String,
    },
}

impl Fault {
    /// Returns what to do about the fault.
    pub fn hint(&self) -> String {
        match self {
            Self::NotWasm { kind, .. } => kind.hint().to_owned(),
            Self::CoreModule => "build for the target `wasm32-wasip2`, or make a component of it: \
                 `wasm-tools component new module.wasm -o component.wasm` \
                 (with `--adapt` for a wasip1 module)"
                .to_owned(),
            Self::UnknownEncoding { .. } => {
                "build it again with a current toolchain; encodings from before \
                 the component model was released are not read"
                    .to_owned()
            }
            Self::Truncated { .. } => {
                "the download or the build was cut short, fetch or build it again".to_owned()
            }
            Self::Corrupt { .. } => {
                "fetch or build it again; `wasm-tools validate --features all` shows the details"
                    .to_owned()
            }
        }
    }
}

/// What a file that is not WebAssembly looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing in it.
    Empty,
    /// A Linux program or library.
    Elf,
    /// A macOS program or library.
    MachO,
    /// A Windows program or library.
    Windows,
    /// A gzip archive.
    Gzip,
    /// A Zstandard archive.
    Zstd,
    /// A zip archive.
    Zip,
    /// The stand-in that git stores for a large file.
    GitLfsPointer,
    /// WebAssembly in its text form.
    Wat,
    /// WIT source.
    Wit,
    /// Some other text, such as a manifest or source code.
    Text,
    /// None of the others.
    Unknown,
}

impl Kind {
    /// Tells what `bytes` look like.
    fn of(bytes: &[u8]) -> Self {
        match bytes {
            [] => Self::Empty,
            [0x7f, b'E', b'L', b'F', ..] => Self::Elf,
            [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, ..] => Self::MachO,
            [b'M', b'Z', ..] => Self::Windows,
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [b'P', b'K', 3 | 5, 4 | 6, ..] => Self::Zip,
            _ => Self::of_text(bytes),
        }
    }

    fn of_text(bytes: &[u8]) -> Self {
        // A few hundred bytes tell; a large binary need not be scanned.
        let head = &bytes[..bytes.len().min(512)];
        let text = match std::str::from_utf8(head) {
            Ok(text) => text,
            // A character cut by our own bound is no sign of a binary.
            Err(error) if error.error_len().is_none() => {
                std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
            }
            Err(_) => return Self::Unknown,
        };
        if text.contains(|c: char| c.is_control() && !c.is_whitespace()) {
            return Self::Unknown;
        }
        let text = text.trim_start_matches('\u{feff}').trim_start();
        if text.starts_with("version https://git-lfs") {
            Self::GitLfsPointer
        } else if ["(module", "(component", "(;", ";;"]
            .iter()
            .any(|it| text.starts_with(it))
        {
            Self::Wat
        } else if text.starts_with("package ") && text.contains(':') && text.contains(';') {
            Self::Wit
        } else {
            Self::Text
        }
    }

    /// Returns what to do with such a file.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Empty => "the build or download that made it failed, run it again",
            Self::Elf | Self::MachO | Self::Windows => {
                "this is a program for one machine; build for the target `wasm32-wasip2` \
                 and name the `.wasm` file"
            }
            Self::Gzip => "unpack it first: `gunzip` or `tar -xzf`",
            Self::Zstd => "unpack it first: `unzstd`",
            Self::Zip => "unpack it first: `unzip`",
            Self::GitLfsPointer => "fetch the real file: `git lfs pull`",
            Self::Wat => "turn the text into a binary: `wasm-tools parse file.wat -o file.wasm`",
            Self::Wit => "WIT only describes interfaces; name the `.wasm` file that was built",
            Self::Text | Self::Unknown => {
                "name a WebAssembly component, such as \
                 `target/wasm32-wasip2/release/NAME.wasm`"
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty file",
            Self::Elf => "a Linux program or library (ELF)",
            Self::MachO => "a macOS program or library (Mach-O)",
            Self::Windows => "a Windows program or library (PE)",
            Self::Gzip => "a gzip archive",
            Self::Zstd => "a Zstandard archive",
            Self::Zip => "a zip archive",
            Self::GitLfsPointer => "a Git LFS pointer",
            Self::Wat => "WebAssembly text (WAT)",
            Self::Wit => "WIT source",
            Self::Text => "text",
            Self::Unknown => "an unknown kind of file",
        })
    }
}

/// Checks that `bytes` are one whole and valid component.
///
/// Every feature that the parser knows is let through: which of them an engine runs is for the
/// engine to say.
///
/// # Errors
/// Says what the bytes are instead, or where they are wrong.
pub fn check_component(bytes: &[u8]) -> Result<(), Fault> {
    check_header(bytes)?;
    if let Some(missing) = find_cut(bytes) {
        return Err(Fault::Truncated {
            size: bytes.len(),
            missing,
        });
    }
    match Validator::new_with_features(WasmFeatures::all()).validate_all(bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err(Fault::Corrupt {
            offset: error.offset(),
            message: error.message().to_owned(),
        }),
    }
}

fn check_header(bytes: &[u8]) -> Result<(), Fault> {
    let whole_magic = bytes.len().min(MAGIC.len());
    if bytes.is_empty() || bytes[..whole_magic] != MAGIC[..whole_magic] {
        let head = &bytes[..bytes.len().min(16)];
        return Err(Fault::NotWasm {
            kind: Kind::of(bytes),
            first_bytes: format!("\"{}\"", head.escape_ascii()),
        });
    }
    let Some(encoding) = bytes.get(4..8) else {
        let missing = 8 - bytes.len() as u64;
        return Err(Fault::Truncated {
            size: bytes.len(),
            missing,
        });
    };
    if encoding == COMPONENT {
        Ok(())
    } else if encoding == CORE_MODULE {
        Err(Fault::CoreModule)
    } else {
        Err(Fault::UnknownEncoding {
            version: u16::from_le_bytes([encoding[0], encoding[1]]),
            layer: u16::from_le_bytes([encoding[2], encoding[3]]),
        })
    }
}

/// Walks the sections and returns how many bytes are missing at the end, if any are.
///
/// A cut exactly between two sections cannot be seen here; then the validator misses what the lost
/// sections held, or the component is valid without them.
fn find_cut(bytes: &[u8]) -> Option<u64> {
    let mut parser = Parser::new(0);
    let mut parents = Vec::new();
    // Where the modules and components end that are not over yet.
    let mut ends: Vec<usize> = Vec::new();
    let mut rest = bytes;
    loop {
        match parser.parse(rest, false) {
            Ok(Chunk::NeedMoreData(missing)) => {
                // What is nested in the last section ends where the bytes end.
                let finished = rest.is_empty() && ends.iter().all(|end| *end == bytes.len());
                return (!finished).then_some(missing);
            }
            Ok(Chunk::Parsed { consumed, payload }) => {
                rest = &rest[consumed..];
                match payload {
                    Payload::ModuleSection {
                        parser: inner,
                        unchecked_range,
                    }
                    | Payload::ComponentSection {
                        parser: inner,
                        unchecked_range,
                    } => {
                        ends.push(unchecked_range.end);
                        parents.push(std::mem::replace(&mut parser, inner));
                    }
                    Payload::End(_) => {
                        ends.pop();
                        parser = parents.pop()?;
                    }
                    _ => {}
                }
            }
            // Not a cut but a mistake; the validator words it.
            Err(_) => return None,
        }
    }
}

//! A small file for the tests: notes of text under numbers.

use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

use redb::{
    Database, ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction,
};
use trellis_storage::{
    Bounds, Changes, Failure, OpenError, Schema, SchemaError, StorageFile, WriteError, Writer,
};

const NOTES: TableDefinition<'static, u64, &str> = TableDefinition::new("notes");

const SCHEMA: Schema = Schema {
    name: "notes",
    ensure: |database| make_table(database),
};

const BOUNDS: Bounds = Bounds {
    changes_queued_max: 64,
    bytes_queued_max: 1 << 20,
    changes_committed_max: 16,
    bytes_committed_max: 1 << 20,
};

fn make_table(database: &Database) -> Result<(), SchemaError> {
    let transaction = database.begin_write()?;
    transaction.open_table(NOTES)?;
    transaction.commit()?;
    Ok(())
}

/// One change of the notes.
pub(crate) enum Change {
    /// Puts `text` under the number; a note that is there stays.
    Note(u64, String),
    /// Says that it is being made, and waits until the other end of the second is dropped.
    Wait(mpsc::Sender<()>, mpsc::Receiver<()>),
    /// Fails as the storage does.
    Fail(Failure),
    /// Panics as the storage does over a damaged file.
    Panic(&'static str),
}

/// Why a note was not put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken;

/// How many notes there were after a change.
pub(crate) type Outcome = Result<u64, Taken>;

/// The changes, and what was told of those that were committed.
struct Notes(Arc<Mutex<Vec<Outcome>>>);

impl Changes for Notes {
    type Change = Change;
    type Outcome = Outcome;
    type Tables<'t> = Table<'t, u64, &'static str>;

    fn bytes(change: &Change) -> usize {
        match change {
            Change::Note(_, text) => text.len(),
            _ => 0,
        }
    }

    fn open(transaction: &WriteTransaction) -> Result<Self::Tables<'_>, Failure> {
        Ok(transaction.open_table(NOTES)?)
    }

    fn apply(notes: &mut Self::Tables<'_>, change: &Change) -> Result<Outcome, Failure> {
        match change {
            Change::Note(at, _) if notes.get(at)?.is_some() => return Ok(Err(Taken)),
            Change::Note(at, text) => drop(notes.insert(at, &text[..])?),
            Change::Wait(here, go) => {
                here.send(()).unwrap();
                assert!(go.recv().is_err(), "nobody sends");
            }
            Change::Fail(failure) => return Err(failure.clone()),
            Change::Panic(reason) => panic!("{reason}"),
        }
        Ok(Ok(notes.len()?))
    }

    fn committed(&self, _change: &Change, outcome: &Outcome) {
        self.0.lock().unwrap().push(*outcome);
    }
}

/// An open file of notes.
pub(crate) struct Notebook {
    writer: Writer<Notes>,
    file: Arc<StorageFile>,
    told: Arc<Mutex<Vec<Outcome>>>,
}

impl Notebook {
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let file = StorageFile::open(path.to_owned(), 1 << 20, SCHEMA)?;
        let file = Arc::new(file);
        let told = Arc::default();
        let writer = Writer::start(Arc::clone(&file), Notes(Arc::clone(&told)), BOUNDS)?;
        Ok(Self { writer, file, told })
    }

    pub(crate) async fn write(&self, change: Change) -> Result<Outcome, WriteError> {
        self.writer.write(change).await
    }

    pub(crate) async fn note(&self, at: u64, text: &str) -> Result<Outcome, WriteError> {
        self.write(Change::Note(at, text.to_owned())).await
    }

    /// Returns what was told until now.
    pub(crate) fn told(&self) -> Vec<Outcome> {
        self.told.lock().unwrap().clone()
    }

    pub(crate) fn get(&self, at: u64) -> Result<Option<String>, Failure> {
        self.file.read(|snapshot| {
            let note = snapshot.open_table(NOTES)?.get(at)?;
            Ok(note.map(|note| note.value().to_owned()))
        })
    }
}

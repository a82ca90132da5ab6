//! Who subscribed to what: a trie of subject tokens, and the generations that tell caches what
//! changed. Knows subscriptions by their number and queue group only.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::limits::SUBJECT_TOKENS_MAX;

/// Groups of first tokens that share a generation. A subscription to `_INBOX.…`, made for one call,
/// must not spoil what is remembered about the subjects of everything else.
const GENERATIONS: usize = 64;

/// Something that can be listed under a pattern.
pub(crate) trait Entry {
    /// A number no other entry has.
    fn number(&self) -> u64;
    /// The queue group it belongs to.
    fn queue(&self) -> Option<&str>;
}

/// Who gets a message.
#[derive(Debug)]
pub(crate) struct Matched<E> {
    /// Each of these.
    pub(crate) plain: Vec<Arc<E>>,
    /// One of each of these groups.
    pub(crate) queues: Vec<Vec<Arc<E>>>,
}

impl<E> Default for Matched<E> {
    fn default() -> Self {
        Self {
            plain: Vec::new(),
            queues: Vec::new(),
        }
    }
}

/// The table of subscriptions of a broker.
#[derive(Debug)]
pub(crate) struct Sublist<E> {
    root: RwLock<Node<E>>,
    generations: [AtomicU64; GENERATIONS],
    hasher: RandomState,
}

#[derive(Debug)]
struct Node<E> {
    here: Entries<E>,
    /// Entries whose pattern ends in `>` at this place.
    below: Entries<E>,
    star: Option<Box<Node<E>>>,
    children: HashMap<Box<str>, Node<E>>,
}

#[derive(Debug)]
struct Entries<E> {
    plain: BTreeMap<u64, Arc<E>>,
    queues: HashMap<Box<str>, BTreeMap<u64, Arc<E>>>,
}

impl<E: Entry> Sublist<E> {
    /// A table without entries.
    pub(crate) fn new() -> Self {
        Self {
            root: RwLock::new(Node::default()),
            generations: std::array::from_fn(|_| AtomicU64::new(0)),
            hasher: RandomState::new(),
        }
    }

    /// Lists `entry` under `pattern`, which is a valid one ([`is_pattern`]).
    pub(crate) fn insert(&self, pattern: &str, entry: Arc<E>) {
        let mut root = self.root.write().unwrap_or_else(PoisonError::into_inner);
        let mut node = &mut *root;
        let mut tokens = pattern.split('.').peekable();
        let mut below = false;
        while let Some(token) = tokens.next() {
            if token == ">" && tokens.peek().is_none() {
                below = true;
                break;
            }
            node = node.child_or_new(token);
        }
        let entries = if below {
            &mut node.below
        } else {
            &mut node.here
        };
        entries.insert(entry);
        self.touch(pattern);
    }

    /// Takes `entry` from under `pattern`. Does nothing when it is not there.
    pub(crate) fn remove(&self, pattern: &str, entry: &E) {
        let mut root = self.root.write().unwrap_or_else(PoisonError::into_inner);
        let tokens: Vec<&str> = pattern.split('.').collect();
        root.remove(&tokens, entry);
        self.touch(pattern);
    }

    /// Returns who gets a message to `subject`.
    pub(crate) fn find(&self, subject: &str) -> Matched<E> {
        let mut matched = Matched::default();
        let mut tokens = [""; SUBJECT_TOKENS_MAX];
        let mut count = 0;
        for token in subject.split('.') {
            if token.is_empty() || count == SUBJECT_TOKENS_MAX {
                return matched;
            }
            tokens[count] = token;
            count += 1;
        }
        let mut queues = Vec::new();
        let root = self.root.read().unwrap_or_else(PoisonError::into_inner);
        root.collect(&tokens[..count], &mut matched.plain, &mut queues);
        matched.queues = queues.into_iter().map(|(_, members)| members).collect();
        matched
    }

    /// Returns the number that changes whenever the receivers of `subject` may have changed.
    ///
    /// Read before [`Sublist::find`], it can only be too old, never too new.
    pub(crate) fn generation(&self, subject: &[u8]) -> u64 {
        self.generations[self.group(subject)].load(Ordering::SeqCst)
    }

    fn group(&self, subject: &[u8]) -> usize {
        let first = memchr::memchr(b'.', subject).map_or(subject, |end| &subject[..end]);
        self.hasher.hash_one(first) as usize % GENERATIONS
    }

    /// Called while the table is locked, so that who sees the new number sees the new table.
    fn touch(&self, pattern: &str) {
        let everything = matches!(pattern.split('.').next(), Some("*" | ">"));
        if everything {
            for generation in &self.generations {
                generation.fetch_add(1, Ordering::SeqCst);
            }
        } else {
            self.generations[self.group(pattern.as_bytes())].fetch_add(1, Ordering::SeqCst);
        }
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.root.read().expect("no panic").is_empty()
    }
}

impl<E> Default for Node<E> {
    fn default() -> Self {
        Self {
            here: Entries::default(),
            below: Entries::default(),
            star: None,
            children: HashMap::new(),
        }
    }
}

impl<E> Default for Entries<E> {
    fn default() -> Self {
        Self {
            plain: BTreeMap::new(),
            queues: HashMap::new(),
        }
    }
}

/// The members of queue groups by name. One group is asked once, under whatever patterns its
/// members subscribed; there are few groups to a subject.
type Queues<E> = Vec<(String, Vec<Arc<E>>)>;

impl<E: Entry> Node<E> {
    fn child_or_new(&mut self, token: &str) -> &mut Self {
        if token == "*" {
            return self.star.get_or_insert_default();
        }
        self.children.entry(token.into()).or_default()
    }

    fn remove(&mut self, tokens: &[&str], entry: &E) {
        match tokens {
            [] => self.here.remove(entry),
            [">"] => self.below.remove(entry),
            ["*", rest @ ..] => {
                if let Some(star) = &mut self.star {
                    star.remove(rest, entry);
                    if star.is_empty() {
                        self.star = None;
                    }
                }
            }
            [token, rest @ ..] => {
                if let Some(child) = self.children.get_mut(*token) {
                    child.remove(rest, entry);
                    if child.is_empty() {
                        self.children.remove(*token);
                    }
                }
            }
        }
    }

    fn collect(&self, tokens: &[&str], plain: &mut Vec<Arc<E>>, queues: &mut Queues<E>) {
        let [token, rest @ ..] = tokens else {
            return self.here.collect(plain, queues);
        };
        self.below.collect(plain, queues);
        if let Some(star) = &self.star {
            star.collect(rest, plain, queues);
        }
        if let Some(child) = self.children.get(*token) {
            child.collect(rest, plain, queues);
        }
    }

    fn is_empty(&self) -> bool {
        self.here.is_empty()
            && self.below.is_empty()
            && self.star.is_none()
            && self.children.is_empty()
    }
}

impl<E: Entry> Entries<E> {
    fn insert(&mut self, entry: Arc<E>) {
        let number = entry.number();
        let place = match entry.queue() {
            None => &mut self.plain,
            Some(queue) => self.queues.entry(queue.into()).or_default(),
        };
        place.insert(number, entry);
    }

    fn remove(&mut self, entry: &E) {
        let Some(queue) = entry.queue() else {
            self.plain.remove(&entry.number());
            return;
        };
        if let Some(members) = self.queues.get_mut(queue) {
            members.remove(&entry.number());
            if members.is_empty() {
                self.queues.remove(queue);
            }
        }
    }

    fn collect(&self, plain: &mut Vec<Arc<E>>, queues: &mut Queues<E>) {
        plain.extend(self.plain.values().cloned());
        for (name, members) in &self.queues {
            let members = members.values().cloned();
            match queues.iter_mut().find(|(known, _)| **known == **name) {
                Some((_, known)) => known.extend(members),
                None => queues.push((name.to_string(), members.collect())),
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.queues.is_empty()
    }
}

/// Returns whether `pattern` can be subscribed to: no empty token, `>` at the end only.
pub(crate) fn is_pattern(pattern: &str) -> bool {
    let mut tokens = pattern.split('.').enumerate().peekable();
    while let Some((index, token)) = tokens.next() {
        let last = tokens.peek().is_none();
        if token.is_empty() || (token == ">" && !last) || index >= SUBJECT_TOKENS_MAX {
            return false;
        }
    }
    true
}

/// Returns whether a pedantic client may publish to `subject`: no empty token, no wildcard.
pub(crate) fn is_literal(subject: &str) -> bool {
    is_pattern(subject) && !trellis_identity::subject::has_wildcard(subject)
}

#[cfg(test)]
mod tests;

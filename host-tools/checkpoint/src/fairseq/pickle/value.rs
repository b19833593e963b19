//! What a pickle describes, as data.

/// Index of a [`Value`] in its [`Pickle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(super) u32);

/// One value. Containers hold indices, so shared and even cyclic structures are plain data, and
/// dropping or printing them needs no recursion.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(i64),
    /// A larger integer, its digits left out: nothing that is read here needs them.
    BigInt,
    /// A float.
    Float(f64),
    /// A string.
    Str(Box<str>),
    /// Bytes, or a string that is not valid UTF-8.
    Bytes(Box<[u8]>),
    /// A list.
    List(Vec<ValueId>),
    /// A tuple.
    Tuple(Vec<ValueId>),
    /// A set or frozen set.
    Set(Vec<ValueId>),
    /// A dict; a later entry overrides an earlier one of the same key.
    Dict(Vec<(ValueId, ValueId)>),
    /// The name of a class or function.
    Global(Box<Global>),
    /// What a class or function would make of its arguments. It is never called.
    Object(Box<Object>),
    /// Something stored outside the pickle, by its description.
    Persistent(ValueId),
}

/// The name of a class or function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// Module it lives in.
    pub module: Box<str>,
    /// Its name there.
    pub name: Box<str>,
}

/// A call that Python would make while unpickling, and what it would do to the result.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// What would be called.
    pub class: ValueId,
    /// With which argument tuple.
    pub args: ValueId,
    /// Attributes set afterwards.
    pub state: Option<ValueId>,
    /// Dict entries added afterwards.
    pub entries: Vec<(ValueId, ValueId)>,
    /// List or set elements added afterwards.
    pub elements: Vec<ValueId>,
}

/// A parsed pickle: all its values and the one that it stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Pickle {
    pub(super) values: Vec<Value>,
    pub(super) root: ValueId,
}

impl Pickle {
    /// The value that the pickle stands for.
    pub fn root(&self) -> Node<'_> {
        self.node(self.root)
    }

    /// A value by its index.
    fn node(&self, id: ValueId) -> Node<'_> {
        Node { pickle: self, id }
    }
}

/// A value together with the pickle it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    pickle: &'a Pickle,
    id: ValueId,
}

impl<'a> Node<'a> {
    /// The value itself.
    pub fn value(self) -> &'a Value {
        &self.pickle.values[self.id.0 as usize]
    }

    fn other(self, id: ValueId) -> Self {
        self.pickle.node(id)
    }

    /// The string, if it is one.
    pub fn str(self) -> Option<&'a str> {
        match self.value() {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, if it is one of at most 64 bits.
    pub fn int(self) -> Option<i64> {
        match self.value() {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The elements of a tuple or list.
    pub fn elements(self) -> Option<impl ExactSizeIterator<Item = Node<'a>>> {
        match self.value() {
            Value::List(ids) | Value::Tuple(ids) => Some(ids.iter().map(move |&id| self.other(id))),
            _ => None,
        }
    }

    /// Module and name, if it is a class or function.
    pub fn global(self) -> Option<(&'a str, &'a str)> {
        match self.value() {
            Value::Global(global) => Some((&global.module, &global.name)),
            _ => None,
        }
    }

    /// Module and name of the class, and the arguments, if it is an object.
    pub fn call(self) -> Option<((&'a str, &'a str), Node<'a>)> {
        match self.value() {
            Value::Object(object) => {
                Some((self.other(object.class).global()?, self.other(object.args)))
            }
            _ => None,
        }
    }

    /// The description of something stored outside, if it is that.
    pub fn persistent(self) -> Option<Node<'a>> {
        match self.value() {
            Value::Persistent(id) => Some(self.other(*id)),
            _ => None,
        }
    }

    /// Keys and values of a dict, a `collections.OrderedDict` or an `argparse.Namespace`. `None` for
    /// anything else: what another class makes of its contents is not known.
    pub fn mapping(self) -> Option<Mapping<'a>> {
        let entries = match self.value() {
            Value::Dict(entries) => entries,
            Value::Object(object) => match self.call()?.0 {
                ("collections", "OrderedDict") if self.call()?.1.elements()?.len() == 0 => {
                    &object.entries
                }
                ("argparse", "Namespace") => match self.other(object.state?).value() {
                    Value::Dict(entries) => entries,
                    _ => return None,
                },
                _ => return None,
            },
            _ => return None,
        };
        let pickle = self.pickle;
        Some(Mapping { pickle, entries })
    }

    /// A few words for error messages.
    pub fn describe(self) -> String {
        match self.value() {
            Value::None => "None".to_owned(),
            Value::Bool(true) => "True".to_owned(),
            Value::Bool(false) => "False".to_owned(),
            Value::Int(number) => number.to_string(),
            Value::BigInt => "a huge integer".to_owned(),
            Value::Float(number) => format!("{number:?}"),
            Value::Str(text) => format!("{:?}", shortened(text)),
            Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Value::List(ids) => format!("a list of {}", ids.len()),
            Value::Tuple(ids) => format!("a tuple of {}", ids.len()),
            Value::Set(ids) => format!("a set of {}", ids.len()),
            Value::Dict(entries) => format!("a dict of {}", entries.len()),
            Value::Global(global) => format!("the name {}", global.path()),
            Value::Object(_) => match self.call() {
                Some(((module, name), _)) => {
                    format!("an object of {}.{}", shortened(module), shortened(name))
                }
                None => "an object of an unnamed class".to_owned(),
            },
            Value::Persistent(_) => "stored data".to_owned(),
        }
    }
}

impl Global {
    fn path(&self) -> String {
        format!("{}.{}", shortened(&self.module), shortened(&self.name))
    }
}

/// At most 60 characters, so that a hostile name cannot flood a terminal.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Keys and values of something dict-like.
#[derive(Clone, Copy, Debug)]
pub struct Mapping<'a> {
    pickle: &'a Pickle,
    entries: &'a [(ValueId, ValueId)],
}

impl<'a> Mapping<'a> {
    /// The value of a string key.
    pub fn get(self, key: &str) -> Option<Node<'a>> {
        let found = self.entries.iter().rev();
        let node = |id| self.pickle.node(id);
        found
            .copied()
            .find(|&(k, _)| node(k).str() == Some(key))
            .map(|(_, v)| node(v))
    }

    /// All entries whose key is a string, in order.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Node<'a>)> {
        let node = move |id| self.pickle.node(id);
        self.entries
            .iter()
            .filter_map(move |&(k, v)| Some((node(k).str()?, node(v))))
    }
}

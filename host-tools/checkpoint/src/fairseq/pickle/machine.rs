//! The stack machine.

use super::cursor::Cursor;
use super::error::{PickleError, PickleErrorKind as Kind};
use super::value::{Global, Object, Pickle, Value, ValueId};
use super::{MAX_BYTES, MAX_VALUES, opcode as op};
use std::collections::HashMap;

type Step<T = ()> = Result<T, Kind>;

/// Runs all instructions.
pub(super) fn run(bytes: &[u8]) -> Result<Pickle, PickleError> {
    let mut machine = Machine {
        cursor: Cursor::new(bytes),
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    if bytes.len() > MAX_BYTES {
        let (bytes, limit) = (bytes.len(), MAX_BYTES);
        let kind = Kind::TooLarge { bytes, limit };
        return Err(PickleError { offset: 0, kind });
    }
    loop {
        let offset = machine.cursor.at();
        let fail = |kind| PickleError { offset, kind };
        let opcode = machine.cursor.u8().map_err(fail)?;
        if opcode == op::STOP {
            let root = machine.pop().map_err(fail)?;
            let values = machine.values;
            return Ok(Pickle { values, root });
        }
        machine.step(opcode).map_err(fail)?;
    }
}

struct Machine<'a> {
    cursor: Cursor<'a>,
    /// All values built so far; the stack, the memo and containers refer to them.
    values: Vec<Value>,
    stack: Vec<ValueId>,
    /// Heights of the stack that MARK noted.
    marks: Vec<usize>,
    memo: HashMap<u32, ValueId>,
}

impl<'a> Machine<'a> {
    fn step(&mut self, opcode: u8) -> Step {
        match opcode {
            op::PROTO => self.protocol(),
            // A hint for buffered readers; every instruction checks its own bytes.
            op::FRAME => self.cursor.u64().map(drop),
            op::NONE | op::NEWTRUE | op::NEWFALSE => self.constant(opcode),
            op::BININT | op::BININT1 | op::BININT2 | op::LONG1 | op::LONG4 => self.integer(opcode),
            op::BINFLOAT => self.float(),
            op::BINUNICODE | op::SHORT_BINUNICODE | op::BINUNICODE8 => self.text(opcode),
            op::BINSTRING | op::SHORT_BINSTRING => self.text(opcode),
            op::BINBYTES | op::SHORT_BINBYTES | op::BINBYTES8 | op::BYTEARRAY8 => {
                self.bytes(opcode)
            }
            op::EMPTY_LIST | op::EMPTY_TUPLE | op::EMPTY_DICT | op::EMPTY_SET => self.empty(opcode),
            op::TUPLE | op::LIST | op::FROZENSET | op::DICT => self.since_mark(opcode),
            op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => self.short_tuple(opcode),
            op::APPEND | op::APPENDS | op::ADDITEMS => self.append(opcode),
            op::SETITEM | op::SETITEMS => self.set_items(opcode),
            op::GLOBAL | op::STACK_GLOBAL => self.global(opcode),
            op::REDUCE | op::NEWOBJ | op::NEWOBJ_EX => self.call(opcode),
            op::BUILD => self.build(),
            op::BINPERSID => self.persistent(),
            op::MARK | op::POP | op::POP_MARK | op::DUP => self.juggle(opcode),
            op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.store(opcode),
            op::BINGET | op::LONG_BINGET => self.load(opcode),
            _ => Err(Kind::Opcode { opcode }),
        }
    }

    fn protocol(&mut self) -> Step {
        match self.cursor.u8()? {
            0..=5 => Ok(()),
            newer => Err(Kind::Protocol(newer)),
        }
    }

    // The stack.

    fn push(&mut self, value: Value) -> Step {
        if self.values.len() >= MAX_VALUES {
            return Err(Kind::TooMany { limit: MAX_VALUES });
        }
        let id = ValueId(self.values.len() as u32); // MAX_VALUES fits
        self.values.push(value);
        self.stack.push(id);
        Ok(())
    }

    /// Takes the topmost value, which must be above the last mark.
    fn pop(&mut self) -> Step<ValueId> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(Kind::EmptyStack);
        }
        self.stack.pop().ok_or(Kind::EmptyStack)
    }

    /// The topmost value, left where it is.
    fn top(&mut self) -> Step<ValueId> {
        let id = self.pop()?;
        self.stack.push(id);
        Ok(id)
    }

    fn pop_to_mark(&mut self) -> Step<Vec<ValueId>> {
        let mark = self.marks.pop().ok_or(Kind::NoMark)?;
        // No instruction takes values from below a mark, so the stack is at least that high.
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn value(&mut self, id: ValueId) -> &mut Value {
        &mut self.values[id.0 as usize]
    }

    fn juggle(&mut self, opcode: u8) -> Step {
        match opcode {
            op::MARK => self.marks.push(self.stack.len()),
            op::POP_MARK => drop(self.pop_to_mark()?),
            op::DUP => {
                let top = self.top()?;
                self.stack.push(top);
            }
            // POP takes the mark itself where nothing stands on it.
            _ if self.marks.last() == Some(&self.stack.len()) => drop(self.marks.pop()),
            _ => drop(self.pop()?),
        }
        Ok(())
    }

    // Plain values.

    fn constant(&mut self, opcode: u8) -> Step {
        self.push(match opcode {
            op::NONE => Value::None,
            other => Value::Bool(other == op::NEWTRUE),
        })
    }

    fn integer(&mut self, opcode: u8) -> Step {
        let value = match opcode {
            op::BININT => Value::Int(i32::from_le_bytes(self.cursor.array()?).into()),
            op::BININT1 => Value::Int(self.cursor.u8()?.into()),
            op::BININT2 => Value::Int(u16::from_le_bytes(self.cursor.array()?).into()),
            op::LONG1 => {
                let len = self.cursor.u8()?;
                long(self.cursor.take(len.into())?)
            }
            _ => {
                // A negative length becomes one that no file has.
                let len = i32::from_le_bytes(self.cursor.array()?) as u64;
                long(self.cursor.take(len)?)
            }
        };
        self.push(value)
    }

    fn float(&mut self) -> Step {
        let value = f64::from_be_bytes(self.cursor.array()?);
        self.push(Value::Float(value))
    }

    fn counted(&mut self, opcode: u8) -> Step<&'a [u8]> {
        let len = match opcode {
            op::SHORT_BINUNICODE | op::SHORT_BINSTRING | op::SHORT_BINBYTES => {
                self.cursor.u8()?.into()
            }
            op::BINUNICODE | op::BINSTRING | op::BINBYTES => self.cursor.u32()?.into(),
            _ => self.cursor.u64()?,
        };
        self.cursor.take(len)
    }

    fn text(&mut self, opcode: u8) -> Step {
        let bytes = self.counted(opcode)?;
        let value = match std::str::from_utf8(bytes) {
            Ok(text) => Value::Str(text.into()),
            Err(_) => Value::Bytes(bytes.into()),
        };
        self.push(value)
    }

    fn bytes(&mut self, opcode: u8) -> Step {
        let value = Value::Bytes(self.counted(opcode)?.into());
        self.push(value)
    }

    // Containers.

    fn empty(&mut self, opcode: u8) -> Step {
        self.push(match opcode {
            op::EMPTY_LIST => Value::List(Vec::new()),
            op::EMPTY_TUPLE => Value::Tuple(Vec::new()),
            op::EMPTY_DICT => Value::Dict(Vec::new()),
            _ => Value::Set(Vec::new()),
        })
    }

    fn since_mark(&mut self, opcode: u8) -> Step {
        let items = self.pop_to_mark()?;
        let value = match opcode {
            op::TUPLE => Value::Tuple(items),
            op::LIST => Value::List(items),
            op::FROZENSET => Value::Set(items),
            _ => Value::Dict(pairs(&items)?),
        };
        self.push(value)
    }

    fn short_tuple(&mut self, opcode: u8) -> Step {
        let mut items = vec![ValueId(0); usize::from(opcode - op::TUPLE1) + 1];
        for item in items.iter_mut().rev() {
            *item = self.pop()?;
        }
        self.push(Value::Tuple(items))
    }

    fn append(&mut self, opcode: u8) -> Step {
        let items = match opcode {
            op::APPEND => vec![self.pop()?],
            _ => self.pop_to_mark()?,
        };
        let target = self.top()?;
        match (self.value(target), opcode) {
            (Value::List(list), op::APPEND | op::APPENDS) => list.extend(items),
            (Value::Set(set), op::ADDITEMS) => set.extend(items),
            (Value::Object(object), _) => object.elements.extend(items),
            (other, _) => return Err(wrong_target("a list or a set", other)),
        }
        Ok(())
    }

    fn set_items(&mut self, opcode: u8) -> Step {
        let items = match opcode {
            op::SETITEM => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_to_mark()?,
        };
        let entries = pairs(&items)?;
        let target = self.top()?;
        match self.value(target) {
            Value::Dict(dict) => dict.extend(entries),
            Value::Object(object) => object.entries.extend(entries),
            other => return Err(wrong_target("a dict", other)),
        }
        Ok(())
    }

    // Objects.

    fn global(&mut self, opcode: u8) -> Step {
        let (module, name): (Box<str>, Box<str>) = if opcode == op::GLOBAL {
            (name(self.cursor.line()?)?, name(self.cursor.line()?)?)
        } else {
            let name = self.pop()?;
            let module = self.pop()?;
            match (
                &self.values[module.0 as usize],
                &self.values[name.0 as usize],
            ) {
                (Value::Str(module), Value::Str(name)) => (module.clone(), name.clone()),
                _ => return Err(Kind::Name),
            }
        };
        self.push(Value::Global(Box::new(Global { module, name })))
    }

    fn call(&mut self, opcode: u8) -> Step {
        if opcode == op::NEWOBJ_EX {
            // Keyword arguments: none of the classes that are interpreted has any.
            self.pop()?;
        }
        let args = self.pop()?;
        let class = self.pop()?;
        self.push(Value::Object(Box::new(Object {
            class,
            args,
            state: None,
            entries: Vec::new(),
            elements: Vec::new(),
        })))
    }

    fn build(&mut self) -> Step {
        let state = self.pop()?;
        let target = self.top()?;
        match self.value(target) {
            Value::Object(object) => object.state = Some(state),
            other => return Err(wrong_target("an object", other)),
        }
        Ok(())
    }

    fn persistent(&mut self) -> Step {
        let description = self.pop()?;
        self.push(Value::Persistent(description))
    }

    // The memo.

    fn store(&mut self, opcode: u8) -> Step {
        let index = match opcode {
            op::BINPUT => self.cursor.u8()?.into(),
            op::LONG_BINPUT => self.cursor.u32()?,
            _ => self.memo.len() as u32, // at most one entry a byte of input
        };
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn load(&mut self, opcode: u8) -> Step {
        let index = match opcode {
            op::BINGET => self.cursor.u8()?.into(),
            _ => self.cursor.u32()?,
        };
        let id = self.memo.get(&index).ok_or(Kind::Memo(index))?;
        self.stack.push(*id);
        Ok(())
    }
}

/// A little-endian two's complement integer of any length.
fn long(bytes: &[u8]) -> Value {
    let sign = match bytes.last() {
        Some(top) if top & 0x80 != 0 => 0xff,
        _ => 0,
    };
    let (low, high) = bytes.split_at(bytes.len().min(8));
    let mut all = [sign; 8];
    all[..low.len()].copy_from_slice(low);
    let number = i64::from_le_bytes(all);
    // Bytes beyond 64 bits must only repeat the sign.
    if high.iter().all(|&b| b == sign) && (number < 0) == (sign != 0) {
        Value::Int(number)
    } else {
        Value::BigInt
    }
}

fn pairs(items: &[ValueId]) -> Step<Vec<(ValueId, ValueId)>> {
    let (pairs, rest) = items.as_chunks::<2>();
    if rest.is_empty() {
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    } else {
        Err(Kind::OddEntries)
    }
}

fn name(bytes: &[u8]) -> Step<Box<str>> {
    std::str::from_utf8(bytes)
        .map(Into::into)
        .map_err(|_| Kind::Name)
}

fn wrong_target(expected: &'static str, found: &Value) -> Kind {
    let found = match found {
        Value::None => "None",
        Value::Bool(_) => "a bool",
        Value::Int(_) | Value::BigInt => "an integer",
        Value::Float(_) => "a float",
        Value::Str(_) => "a string",
        Value::Bytes(_) => "bytes",
        Value::List(_) => "a list",
        Value::Tuple(_) => "a tuple",
        Value::Set(_) => "a set",
        Value::Dict(_) => "a dict",
        Value::Global(_) => "a class name",
        Value::Object(_) => "an object",
        Value::Persistent(_) => "stored data",
    };
    Kind::Target { expected, found }
}

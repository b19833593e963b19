//! Buffers, and scratch that operations share.

use super::machine::{Address, Element, Fault, Machine};
use crate::device::{DeviceError, Result};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The machine, and what is allocated on it.
pub struct Memory {
    pub(super) machine: Box<dyn Machine>,
    used: Cell<usize>,
    most: Cell<usize>,
}

impl Memory {
    pub(super) fn new(machine: Box<dyn Machine>) -> Rc<Self> {
        Rc::new(Self {
            machine,
            used: Cell::new(0),
            most: Cell::new(0),
        })
    }

    /// Bytes allocated at present and at most so far.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.used.get(), self.most.get())
    }

    /// A buffer of `bytes` zeros.
    pub(super) fn allocate(self: &Rc<Self>, bytes: usize) -> Result<Buffer> {
        let full = |fault| match fault {
            Fault::OutOfMemory => DeviceError::OutOfMemory {
                device: self.machine.name(),
                bytes,
                allocated: self.used.get(),
            },
            Fault::Other(reason) => DeviceError::Failed {
                operation: "allocate",
                device: self.machine.name(),
                reason,
            },
        };
        let address = self.machine.allocate(bytes).map_err(full)?;
        self.used.set(self.used.get() + bytes);
        self.most.set(self.most.get().max(self.used.get()));
        let buffer = Buffer {
            memory: Rc::clone(self),
            address,
            bytes,
        };
        // SAFETY: the whole of the new allocation.
        unsafe { self.machine.zero(address, bytes) }.map_err(full)?;
        Ok(buffer)
    }
}

/// Bytes on the device, freed when it goes.
pub struct Buffer {
    memory: Rc<Memory>,
    address: Address,
    bytes: usize,
}

impl Buffer {
    /// Where it begins.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Its size.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.memory.used.set(self.memory.used.get() - self.bytes);
        // SAFETY: the buffer owns the allocation; the driver frees after what was started.
        unsafe { self.memory.machine.free(self.address) };
    }
}

/// Activations, in the precision of the device.
pub struct Act {
    pub(super) buffer: Buffer,
    pub(super) element: Element,
    pub(super) len: usize,
}

impl Act {
    /// Where element `at` lies.
    pub fn address(&self, at: usize) -> Address {
        assert!(at <= self.len, "element {at} of a buffer of {}", self.len);
        self.buffer.address() + (at * self.element.bytes()) as Address
    }

    /// Elements.
    #[allow(clippy::len_without_is_empty, reason = "buffers hold something")]
    pub fn len(&self) -> usize {
        self.len
    }
}

/// Numbers in f32.
pub struct F32 {
    pub(super) buffer: Buffer,
    pub(super) len: usize,
}

impl F32 {
    /// Where element `at` lies.
    pub fn address(&self, at: usize) -> Address {
        assert!(at <= self.len, "element {at} of a buffer of {}", self.len);
        self.buffer.address() + (at * 4) as Address
    }

    /// Elements.
    #[allow(clippy::len_without_is_empty, reason = "buffers hold something")]
    pub fn len(&self) -> usize {
        self.len
    }
}

/// Token identities, then their positions sorted by identity.
pub struct Ids {
    pub(super) buffer: Buffer,
    pub(super) len: usize,
    pub(super) vocabulary: usize,
    /// Whether the positions are kept in the order of identities, for the embedding's gradient.
    pub(super) ordered: bool,
}

impl Ids {
    pub(super) fn ids(&self) -> Address {
        self.buffer.address()
    }

    pub(super) fn order(&self) -> Address {
        self.buffer.address() + (self.len * 4) as Address
    }
}

/// Memory that an operation needs while it runs. It grows when an operation runs for the first
/// time, outside of a recording; what recordings have seen of it stays allocated.
#[derive(Default)]
pub struct Scratch {
    current: RefCell<Option<Buffer>>,
    outgrown: RefCell<Vec<Buffer>>,
}

impl Scratch {
    /// At least `bytes` bytes, holding anything.
    pub(super) fn at_least(
        &self,
        memory: &Rc<Memory>,
        bytes: usize,
        recorded: bool,
        recording: bool,
    ) -> Result<Address> {
        let mut current = self.current.borrow_mut();
        if let Some(buffer) = current.as_ref().filter(|buffer| buffer.bytes() >= bytes) {
            return Ok(buffer.address());
        }
        if recording {
            return Err(DeviceError::Unsupported {
                operation: "recording",
                reason: format!(
                    "an operation needs {bytes} bytes of scratch memory; it must have run once \
                     before it is recorded"
                ),
            });
        }
        let old = current.take();
        if recorded {
            self.outgrown.borrow_mut().extend(old);
        }
        Ok(current.insert(memory.allocate(bytes)?).address())
    }
}

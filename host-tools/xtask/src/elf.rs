//! What is in a linked binary.

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SymbolKind, elf};
use rustc_demangle::demangle;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Parts of the names of functions that only panicking code calls.
const PANICKING: [&str; 9] = [
    "core9panicking",    // core::panicking::*, in both manglings
    "core::panicking",   // as some linkers write it
    "rust_begin_unwind", // the panic handler
    "rust_panic",
    "panic_bounds_check",
    "unwrap_failed",
    "expect_failed",
    "slice_index_fail",
    "_fail_rt",
];

/// Beginnings of the names of functions that compute with floats where there is no FPU: those of
/// the Arm ABI, and those of compiler-rt that RISC-V calls.
const SOFT_FLOAT: [&str; 5] = [
    "__aeabi_f",
    "__aeabi_d",
    "__aeabi_cf",
    "__aeabi_cd",
    "__aeabi_h2",
];
/// What compiler-rt's names of floats end in, the number of operands after it.
const SOFT_FLOAT_ENDS: [&str; 8] = ["sf3", "df3", "sf2", "df2", "sf", "df", "hf2", "tf2"];
/// What its functions from floats to integers have in them.
const SOFT_FLOAT_PARTS: [&str; 4] = ["__fixsf", "__fixdf", "__fixunssf", "__fixunsdf"];

/// Crates whose functions are the runtime's: its own and what it depends on. Functions of `core` that were not
/// inlined are generic ones, whose symbols do not say who uses them: they count, too.
const RUNTIME: [&str; 4] = ["toeplite", "bytemuck", "libm", "core"];

/// A function in a linked binary, or all that a generic function has become.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Path, without a hash; as it is in assembly and in the compiler's library.
    pub name: String,
    /// Bytes of code, constants between them included.
    pub bytes: u64,
}

impl Function {
    /// Whether it is there for the runtime. What was inlined belongs to the function that it was inlined into.
    pub fn is_runtime(&self) -> bool {
        let path = self.name.trim_start_matches(['<', '&', '[']);
        let (krate, _) = path.split_once("::").unwrap_or_default();
        RUNTIME.contains(&krate.trim_start_matches("mut "))
    }
}

/// Bytes that a binary takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Vectors and code, in flash.
    pub code: u64,
    /// Constants, in flash; the model is one of them.
    pub constants: u64,
    /// Variables with an initial value, which is in flash.
    pub data: u64,
    /// All variables, in RAM; without the stack.
    pub ram: u64,
}

impl Sizes {
    /// Bytes stored in flash.
    pub fn flash(&self) -> u64 {
        self.code + self.constants + self.data
    }
}

/// Adds up the sections that are loaded.
///
/// # Errors
/// The file cannot be read as ELF.
pub fn sizes(path: &Path) -> Result<Sizes> {
    let bytes = read(path)?;
    let mut sizes = Sizes::default();
    for section in parse(path, &bytes)?.sections() {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
            continue;
        };
        let name = section.name().unwrap_or_default();
        // Of RISC-V's linker script: what is left of the RAM, not what is taken.
        let left_over = [".stack", ".heap", ".text.dummy"].contains(&name);
        if !sh_flags.contains(elf::SHF_ALLOC) || left_over {
            continue;
        }
        if sh_flags.contains(elf::SHF_WRITE) {
            sizes.ram += section.size();
            sizes.data += if section.kind().is_bss() {
                0
            } else {
                section.size()
            };
        } else if sh_flags.contains(elf::SHF_EXECINSTR) || name == ".vector_table" {
            sizes.code += section.size();
        } else {
            sizes.constants += section.size();
        }
    }
    Ok(sizes)
}

/// All functions, the largest first.
///
/// # Errors
/// The file cannot be read as ELF, or it has no symbols to look at.
pub fn functions(path: &Path) -> Result<Vec<Function>> {
    let bytes = read(path)?;
    let (mut seen, mut sizes) = (BTreeSet::new(), BTreeMap::new());
    for symbol in text_symbols(path, &parse(path, &bytes)?)? {
        // some have several names
        if symbol.size() > 0 && seen.insert(symbol.address()) {
            let name = format!("{:#}", demangle(symbol.name().unwrap_or_default()));
            *sizes.entry(name).or_insert(0) += symbol.size();
        }
    }
    let sizes = sizes.into_iter();
    let mut functions: Vec<_> = sizes
        .map(|(name, bytes)| Function { name, bytes })
        .collect();
    functions.sort_by_key(|function| std::cmp::Reverse(function.bytes));
    Ok(functions)
}

/// Bytes of the variable that stands in crate `krate` under `name`.
///
/// # Errors
/// The file cannot be read as ELF, or it has no such variable.
pub fn variable_bytes(path: &Path, krate: &str, name: &str) -> Result<u64> {
    let bytes = read(path)?;
    // Part of the symbol's name in both manglings.
    let part = format!("{}{krate}{}{name}", krate.len(), name.len());
    let variable = parse(path, &bytes)?
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Data)
        .find(|symbol| symbol.name().is_ok_and(|found| found.contains(&part)))
        .map(|symbol| symbol.size());
    variable.with_context(|| format!("{}: no variable {krate}::{name}", path.display()))
}

/// The address of the symbol `name`, which a linker script may have defined.
///
/// # Errors
/// The file cannot be read as ELF, or it has no such symbol.
pub fn address(path: &Path, name: &str) -> Result<u64> {
    let bytes = read(path)?;
    let file = parse(path, &bytes)?;
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
    let symbol = symbol.with_context(|| format!("{}: no symbol {name}", path.display()))?;
    Ok(symbol.address())
}

/// Functions in the binary that panic; none means that nothing that was linked can panic.
///
/// # Errors
/// The file cannot be read as ELF, or it has no symbols to look at.
pub fn panicking_functions(path: &Path) -> Result<Vec<String>> {
    named(path, |name| {
        PANICKING.iter().any(|part| name.contains(part))
    })
}

/// Functions in the binary of the software float library; none means that no float is computed.
///
/// # Errors
/// The file cannot be read as ELF, or it has no symbols to look at.
pub fn soft_float_functions(path: &Path) -> Result<Vec<String>> {
    named(path, is_soft_float)
}

fn is_soft_float(name: &str) -> bool {
    // hidden symbols of compiler_builtins may stand under their mangled names
    let name = name.rsplit("::").next().unwrap_or(name);
    let is = |beginnings: &[&str]| beginnings.iter().any(|part| name.starts_with(part));
    let ends = SOFT_FLOAT_ENDS.iter().any(|end| name.ends_with(end));
    is(&SOFT_FLOAT)
        || is(&SOFT_FLOAT_PARTS)
        || (name.starts_with("__") && ends)
        || name.contains("compiler_builtins5float")
}

/// Functions in the binary whose names are `wanted`, as they stand there.
fn named(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let bytes = read(path)?;
    let file = parse(path, &bytes)?;
    let symbols = text_symbols(path, &file)?.into_iter();
    let names = symbols.filter_map(|symbol| symbol.name().ok());
    Ok(names
        .filter(|name| wanted(name))
        .map(String::from)
        .collect())
}

/// Symbols of functions, those of the runtime among them.
fn text_symbols<'f, 'b>(
    path: &Path,
    file: &'f object::File<'b>,
) -> Result<Vec<object::Symbol<'b, 'f>>> {
    let symbols = file.symbols();
    let text: Vec<_> = symbols
        .filter(|symbol| symbol.kind() == SymbolKind::Text)
        .collect();
    let is_runtime =
        |symbol: &object::Symbol<'_, '_>| symbol.name().is_ok_and(|name| name.contains("toeplite"));
    if !text.iter().any(is_runtime) {
        bail!(
            "{}: no function of the runtime has a symbol: is it stripped?",
            path.display()
        );
    }
    Ok(text)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<object::File<'a>> {
    object::File::parse(bytes).with_context(|| format!("{} is not ELF", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{Function, is_soft_float};

    #[test]
    fn functions_are_those_of_the_crate_that_their_path_begins_with() {
        let is_runtime = |name: &str| {
            let name = name.into();
            Function { name, bytes: 1 }.is_runtime()
        };
        for name in [
            "toeplite::session::Session::step",
            "<toeplite::error::ModelError as core::fmt::Display>::fmt",
            "<&mut toeplite::session::Token as core::convert::From<u8>>::from",
            "libm::math::sqrtf",
            "core::iter::traits::iterator::Iterator::try_fold",
        ] {
            assert!(is_runtime(name), "{name}");
        }
        for name in [
            "text::generate::run",
            "<boards::Console as toeplite::profile::Clock>::now",
            "compiler_builtins::mem::memcpy",
            "toeplite_other::f",
            "__aeabi_lmul",
        ] {
            assert!(!is_runtime(name), "{name}");
        }
    }

    #[test]
    fn soft_float_is_told_from_integers() {
        for name in [
            "__aeabi_fadd",
            "__aeabi_dmul",
            "__aeabi_cfcmple",
            "__aeabi_f2iz",
            "__addsf3",
            "__muldf3",
            "__ltsf2",
            "__floatunsisf",
            "__fixunssfsi",
            "__extendsfdf2",
        ] {
            assert!(is_soft_float(name), "{name}");
        }
        for name in [
            "__aeabi_lmul",
            "__aeabi_uidivmod",
            "__aeabi_memcpy",
            "__muldi3",
            "__clzsi2",
            "main",
            "_RNv_toeplite_leaf",
        ] {
            assert!(!is_soft_float(name), "{name}");
        }
    }
}

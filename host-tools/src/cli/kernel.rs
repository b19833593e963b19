//! `toeplite convert --kernel`, and kernels in files.

use super::layers::Converted;
use super::output;
use super::report::{Conversion, Wanted};
use super::{files, input, layers};
use crate::blob::Staged;
use crate::convert::bare::convert_table;
use crate::convert::layer::{LayerConversion, Method};
use crate::report;
use anyhow::{Context, Result, bail, ensure};
use half::{bf16, f16};
use ndarray::{Array2, ArrayD, Axis, Ix2, s};
use ndarray_npy::{ReadNpyError, ReadNpyExt, WriteNpyExt};
use safetensors::{Dtype, SafeTensors};
use serde_json::json;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

/// Most numbers of an emitted kernel.
const MOST_NUMBERS: usize = 1 << 28;

/// Where realised kernels go.
#[derive(Clone, Copy, Debug)]
pub struct Emit<'a> {
    /// A file that does not exist yet, or may be replaced.
    pub path: &'a Path,
    /// Lags to write; those that were measured if absent.
    pub lags: Option<usize>,
}

/// Converts the kernel in the file `path` and prints what became of it.
pub fn convert(
    path: &Path,
    method: &Method,
    emit: Option<Emit<'_>>,
    wanted: Option<Wanted<'_>>,
    json: bool,
) -> Result<()> {
    let start = Instant::now();
    let report = wanted.map(|wanted| wanted.output());
    let outputs: Vec<_> = emit.iter().map(emitted).chain(report).collect();
    files::check(&outputs, &[path.into()])?;
    let spinner = output::spinner("converting");
    let kernel = read(path)?;
    let named = || format!("{}", path.display());
    let layer = convert_table(&kernel.table, method).with_context(named)?;
    if let Some(emit) = emit {
        let table = realised(&layer, emit.lags)?;
        if kernel.one_dimensional {
            write(emit.path, &table.index_axis_move(Axis(1), 0).into_dyn())?;
        } else {
            write(emit.path, &table.into_dyn())?;
        }
    }
    if let Some(wanted) = wanted {
        let conversion = Conversion {
            subject: path,
            method,
            allocation: None,
            // a table has no training length
            layers: vec![report::layer(&kernel.table, &layer, 0)],
            warnings: layer.warnings.iter().map(ToString::to_string).collect(),
        };
        wanted
            .about_kernel(conversion, kernel.table.nrows())?
            .commit()?;
    }
    spinner.finish_and_clear();
    for warning in &layer.warnings {
        eprintln!("warning: {warning}");
    }
    let seconds = start.elapsed().as_secs_f64();
    if json {
        return output::json(&json!({
            "layers": [layers::json(&layer)],
            "bound": layers::bound(&layer),
            "lower_bound": layer.lower_bound,
            "lags": kernel.table.nrows(),
            "channels": kernel.table.ncols(),
            "seconds": seconds,
            "warnings": layer.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }));
    }
    let layers = Converted {
        forward: vec![layer],
        backward: Vec::new(),
    };
    layers::print(&layers, None)?;
    let c = &layers.forward[0].certificate;
    let relative = c.relative().map_or(String::new(), |r| {
        format!(" ({:.2e} and {:.2e} of the kernel's own)", r.l1, r.l2)
    });
    Ok(output::line(format!(
        "certified of every channel: l1 {:.2e}, l2 {:.2e} at most{relative}{}; {} lags, {} channels; converted in {seconds:.1} s",
        c.worst_l1(),
        c.worst_l2(),
        c.lags
            .map_or(String::new(), |lags| format!(" over {lags} lags")),
        kernel.table.nrows(),
        kernel.table.ncols(),
    ))?)
}

/// `--emit-kernel` as a file to be written.
pub fn emitted<'a>(emit: &Emit<'a>) -> files::Output<'a> {
    files::Output {
        option: "--emit-kernel",
        path: emit.path,
    }
}

/// Writes the kernels that all layers realise, in f64: `[layers, lags, channels]`, or of two directions
/// `[layers, 2 * lags - 1, channels]` from lag `1 - lags` to `lags - 1`.
pub fn write_layers(layers: &Converted, emit: Emit<'_>) -> Result<()> {
    let all = layers.forward.iter().chain(&layers.backward);
    let lags = emit.lags.or(all.map(|l| l.measured_lags).max());
    let mut tables = Vec::new();
    for (i, layer) in layers.forward.iter().enumerate() {
        let forward = realised(layer, lags)?;
        tables.push(match layers.backward.get(i) {
            None => forward,
            Some(layer) => {
                let backward = realised(layer, Some(forward.nrows() - 1))?;
                let sides = [backward.slice(s![..;-1, ..]), forward.view()];
                ndarray::concatenate(Axis(0), &sides).context("sides of different widths")?
            }
        });
    }
    let views: Vec<_> = tables.iter().map(|t| t.view()).collect();
    let all = ndarray::stack(Axis(0), &views).context("layers of different widths")?;
    write(emit.path, &all.into_dyn())
}

/// The kernel that the recurrence stands for, of a number of lags that can be written.
fn realised(layer: &LayerConversion, lags: Option<usize>) -> Result<Array2<f64>> {
    let lags = lags.unwrap_or(layer.measured_lags);
    let numbers = lags.saturating_mul(layer.modal.channels());
    ensure!(
        numbers <= MOST_NUMBERS,
        "--lags {lags}: a kernel of {numbers} numbers is more than is written; fewer than {} lags are",
        MOST_NUMBERS / layer.modal.channels() + 1
    );
    Ok(layer.realised(0..lags))
}

fn write(path: &Path, array: &ArrayD<f64>) -> Result<()> {
    let mut bytes = Vec::new();
    array.write_npy(&mut bytes)?;
    Ok(Staged::new(path, &bytes)?.commit()?)
}

/// A kernel from a file.
struct Kernel {
    /// `[lags, channels]`.
    table: Array2<f64>,
    /// Whether the file has `[lags]`.
    one_dimensional: bool,
}

/// Reads a `.npy` file, or a safetensors file with one tensor or one named "kernel".
fn read(path: &Path) -> Result<Kernel> {
    let name = path.display();
    input::refuse_empty(path, "a kernel (.npy or .safetensors)")?;
    let array = match path.extension().and_then(|e| e.to_str()) {
        Some("npy") => read_npy(path)?,
        Some("safetensors") => read_safetensors(path)?,
        _ => bail!("{name}: a kernel is read from a file that ends in .npy or .safetensors"),
    };
    let shape = array.shape().to_vec();
    let table = match shape.len() {
        1 => array.insert_axis(Axis(1)),
        _ => array,
    };
    let Ok(table) = table.into_dimensionality::<Ix2>() else {
        bail!("{name} has shape {shape:?}; [lags] or [lags, channels] is expected");
    };
    Ok(Kernel {
        table: table.as_standard_layout().into_owned(),
        one_dimensional: shape.len() == 1,
    })
}

/// Numbers of f64 or f32.
fn read_npy(path: &Path) -> Result<ArrayD<f64>> {
    let name = path.display();
    let open = || File::open(path).with_context(|| format!("cannot read {name}"));
    match ArrayD::<f64>::read_npy(open()?) {
        Err(ReadNpyError::WrongDescriptor(_)) => {}
        other => return other.with_context(|| format!("{name} cannot be read as a .npy file")),
    }
    match ArrayD::<f32>::read_npy(open()?) {
        Err(ReadNpyError::WrongDescriptor(found)) => {
            bail!(
                "{name} holds numbers of type {found}; little-endian f32 or f64 is expected: kernel.astype(\"<f8\")"
            )
        }
        other => Ok(other
            .with_context(|| format!("{name} cannot be read as a .npy file"))?
            .mapv(f64::from)),
    }
}

fn read_safetensors(path: &Path) -> Result<ArrayD<f64>> {
    let name = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let file = SafeTensors::deserialize(&bytes)
        .with_context(|| format!("{name} is not a safetensors file"))?;
    let names = file.names();
    let chosen = match names[..] {
        [only] => only,
        _ if names.contains(&"kernel") => "kernel",
        _ => bail!(
            "{name} has {} tensors; one, or one named \"kernel\", is expected",
            names.len()
        ),
    };
    let tensor = file.tensor(chosen)?;
    let data = tensor.data();
    let numbers: Vec<f64> = match tensor.dtype() {
        Dtype::F64 => input::words(data).map(f64::from_le_bytes).collect(),
        Dtype::F32 => input::words(data)
            .map(|b| f32::from_le_bytes(b).into())
            .collect(),
        Dtype::F16 => input::words(data)
            .map(|b| f16::from_le_bytes(b).into())
            .collect(),
        Dtype::BF16 => input::words(data)
            .map(|b| bf16::from_le_bytes(b).into())
            .collect(),
        other => bail!(
            "{name}: tensor \"{chosen}\" is of type {other:?}; f64, f32, f16 or bf16 is expected"
        ),
    };
    Ok(ArrayD::from_shape_vec(tensor.shape(), numbers)?)
}

//! A case run in one precision and compared with what it should give.

use super::super::gtu::Gtu;
use super::super::layer::Layer;
use super::super::mix::{DenseMix, FftMix, Mix, Trained};
use super::super::toeplitz::Toeplitz;
use super::super::{Params, Real};
use super::args::{ModuleArgs, OperatorArgs};
use super::{Case, CaseError};
use ndarray::{Array2, ArrayD, ArrayView2, ArrayViewD, Axis};
use serde::Serialize;

/// How far one output is from the case's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// `a` or `kernel`, `y (fft)` or `y (dense)`.
    pub output: &'static str,
    /// `max |difference| / max |reference|`; infinite where a number is NaN.
    pub relative_error: f64,
}

/// Runs the case in `T` and compares the coefficients `a` at the case's lags or its `kernel`, and `y` with
/// the Toeplitz product taken by FFT and term by term.
///
/// # Errors
/// A tensor is missing, or shapes contradict the arguments or each other.
pub fn check<T: Real>(case: &Case) -> Result<Vec<Comparison>, CaseError> {
    let module = Built::<T>::new(case)?;
    let (x, y) = (sequences(case, "x")?, sequences(case, "y")?);
    let same_shape = x.len() == y.len() && x.iter().zip(&y).all(|(x, y)| x.dim() == y.dim());
    if !same_shape {
        return Err(shape("y", "the shape of x".into(), case.tensor("y")?));
    }
    let fft = FftMix::new(Trained::new(vec![module.toeplitz()])?);
    let direct = DenseMix::new(Trained::new(vec![module.toeplitz()])?);
    let (name, pairs) = match &case.module {
        ModuleArgs::TnoFD(args) => (
            "kernel",
            circle(case, args, module.toeplitz(), x[0].nrows())?,
        ),
        _ => ("a", coefficients(case, module.toeplitz(), x[0].nrows())?),
    };
    Ok(vec![
        compare(name, &pairs),
        compare("y (fft)", &outputs(&module, &fft, &x, &y)),
        compare("y (dense)", &outputs(&module, &direct, &x, &y)),
    ])
}

/// Pairs of a computed number and the case's.
type Pairs = Vec<(f64, f64)>;

fn compare(output: &'static str, pairs: &[(f64, f64)]) -> Comparison {
    let worse = |worst: f64, x: f64| {
        if x.is_nan() {
            f64::INFINITY
        } else {
            worst.max(x)
        }
    };
    let difference = pairs.iter().map(|(got, want)| (got - want).abs());
    let difference = difference.fold(0.0, worse);
    let size = pairs.iter().map(|(_, want)| want.abs()).fold(0.0, worse);
    Comparison {
        output,
        relative_error: if difference.is_infinite() {
            difference
        } else if size > 0.0 {
            difference / size
        } else {
            // The reference is all zeros: the error is absolute.
            difference
        },
    }
}

enum Built<T> {
    Tno(Box<Toeplitz<T>>),
    Gtu(Box<Gtu<T>>),
    TnnLayer(Box<Layer<T>>),
}

impl<T: Real> Built<T> {
    fn new(case: &Case) -> Result<Self, CaseError> {
        let params = Params::new(&case.tensors, "param.");
        Ok(match &case.module {
            ModuleArgs::Tno(args) | ModuleArgs::TnoFD(args) => {
                let built = Toeplitz::from_params(
                    &args.toeplitz,
                    args.heads,
                    args.head_dim,
                    args.causal,
                    args.bias,
                    &params,
                );
                Self::Tno(built?.into())
            }
            ModuleArgs::Gtu(config) => Self::Gtu(Gtu::from_params(config, &params)?.into()),
            ModuleArgs::TnnLayer(config) => {
                Self::TnnLayer(Layer::from_params(config, &params)?.into())
            }
        })
    }

    fn toeplitz(&self) -> &Toeplitz<T> {
        match self {
            Self::Tno(toeplitz) => toeplitz,
            Self::Gtu(gtu) => gtu.toeplitz(),
            Self::TnnLayer(layer) => layer.toeplitz(),
        }
    }

    fn forward(&self, x: Array2<T>, mix: &dyn Mix<T>) -> Array2<T> {
        let mix = |v: ArrayView2<T>| mix.mix(0, v);
        match self {
            Self::Tno(toeplitz) => toeplitz.apply(x.view(), mix),
            Self::Gtu(gtu) => gtu.forward(&x, mix),
            Self::TnnLayer(layer) => layer.forward(x, mix),
        }
    }
}

/// One sequence `[n, heads * width]` an entry of the batch.
type Sequences = Vec<Array2<f32>>;

/// The sequences of `x` or `y`: `[batch, heads, n, dim]` of an operator, `[batch, n, dim]` of the
/// other modules.
fn sequences(case: &Case, name: &'static str) -> Result<Sequences, CaseError> {
    let tensor = case.tensor(name)?;
    match &case.module {
        ModuleArgs::Tno(args) | ModuleArgs::TnoFD(args) => {
            merge_heads(name, tensor.view(), (args.heads, args.head_dim))
        }
        ModuleArgs::Gtu(config) | ModuleArgs::TnnLayer(config) => {
            if tensor.ndim() != 3 {
                return Err(shape(name, format!("[batch, n, {}]", config.dim), tensor));
            }
            let one_head = tensor.view().insert_axis(Axis(1));
            merge_heads(name, one_head, (1, config.dim))
        }
    }
}

/// `[batch, heads, n, width]` to `[n, heads * width]` for every entry of the batch.
fn merge_heads(
    name: &'static str,
    tensor: ArrayViewD<f32>,
    (heads, width): (usize, usize),
) -> Result<Sequences, CaseError> {
    let fits = |shape: &[usize]| matches!(shape, &[batch, h, n, w] if batch > 0 && n > 0 && (h, w) == (heads, width));
    if !fits(tensor.shape()) {
        let needed = format!("[batch, n, {width}] for each of {heads} heads, nothing empty,");
        return Err(shape(name, needed, &tensor.to_owned()));
    }
    let merge = |entry: ArrayViewD<f32>| {
        let n = entry.shape()[1];
        Array2::from_shape_fn((n, heads * width), |(i, c)| {
            entry[[c / width, i, c % width]]
        })
    };
    Ok(tensor.outer_iter().map(merge).collect())
}

fn shape(name: &'static str, needed: String, found: &ArrayD<f32>) -> CaseError {
    CaseError::Shape {
        name,
        needed,
        found: found.shape().to_vec(),
    }
}

/// The coefficients at the case's lags, beside the case's own.
fn coefficients<T: Real>(
    case: &Case,
    toeplitz: &Toeplitz<T>,
    n: usize,
) -> Result<Pairs, CaseError> {
    let a = case.tensor("a")?;
    let heads = match &case.module {
        ModuleArgs::Tno(args) | ModuleArgs::TnoFD(args) => args.heads,
        ModuleArgs::Gtu(config) | ModuleArgs::TnnLayer(config) => config.num_heads,
    };
    let head_dim = toeplitz.channels() / heads;
    if a.shape() != [heads, case.lags.len(), head_dim] {
        let needed = format!("[{heads}, {}, {head_dim}]", case.lags.len());
        return Err(shape("a", needed, a));
    }
    let want = merge_heads("a", a.view().insert_axis(Axis(0)), (heads, head_dim))?;
    let mut pairs = Pairs::new();
    for (want, &lag) in want[0].rows().into_iter().zip(&case.lags) {
        // A lag at a time: the case may list them in any order, with gaps.
        let got = toeplitz.kernel(lag..lag + 1, n);
        pairs.extend(zip_wide(&got, want.insert_axis(Axis(0))));
    }
    Ok(pairs)
}

/// The kernel beside the case's `kernel` `[heads, points, head_dim]` in circular order, at all lags that are below
/// half the points.
fn circle<T: Real>(
    case: &Case,
    args: &OperatorArgs,
    toeplitz: &Toeplitz<T>,
    n: usize,
) -> Result<Pairs, CaseError> {
    let stored = case.tensor("kernel")?;
    let with_batch = stored.view().insert_axis(Axis(0));
    let want = &merge_heads("kernel", with_batch, (args.heads, args.head_dim))?[0];
    let points = want.nrows() as i64;
    let lags = 1 - points / 2..points / 2;
    let got = toeplitz.kernel(lags.clone(), n);
    let rows = lags.map(|lag| lag.rem_euclid(points) as usize);
    let want = want.select(Axis(0), &rows.collect::<Vec<_>>());
    Ok(zip_wide(&got, want.view()).collect())
}

/// What the module makes of every `x`, beside the case's `y`.
fn outputs<T: Real>(module: &Built<T>, mix: &dyn Mix<T>, x: &Sequences, y: &Sequences) -> Pairs {
    let run = |(x, y): (&Array2<f32>, &Array2<f32>)| {
        let got = module.forward(x.mapv(|x| T::of(x.into())), mix);
        zip_wide(&got, y.view()).collect::<Pairs>()
    };
    x.iter().zip(y).flat_map(run).collect()
}

fn zip_wide<T: Real>(got: &Array2<T>, want: ArrayView2<f32>) -> impl Iterator<Item = (f64, f64)> {
    assert_eq!(got.dim(), want.dim());
    got.iter()
        .zip(want)
        .map(|(got, want)| (got.wide(), f64::from(*want)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::testing;
    use std::path::{Path, PathBuf};

    fn cases() -> Vec<Case> {
        cases_in(&testing::cases())
    }

    fn cases_in(folder: &Path) -> Vec<Case> {
        let index = folder.join("index.json");
        let files = std::fs::read_dir(folder).unwrap();
        let files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        files
            .iter()
            .filter(|file| file.extension().is_some_and(|e| e == "safetensors"))
            .map(|file| Case::open(file, &index).unwrap())
            .collect()
    }

    #[test]
    fn all_cases_of_the_official_modules_are_met() {
        let cases = cases();
        assert_eq!(cases.len(), 16);
        for case in &cases {
            // What is left in f64 is the rounding of the stored f32 numbers.
            for comparison in check::<f64>(case).unwrap() {
                assert!(
                    comparison.relative_error < 7e-8,
                    "{} {comparison:?}",
                    case.name
                );
            }
            for comparison in check::<f32>(case).unwrap() {
                assert!(
                    comparison.relative_error < 2e-6,
                    "{} {comparison:?}",
                    case.name
                );
            }
        }
    }

    /// In f64 what is left is the rounding of the stored numbers; the public code in f32 is 3.7e-7 off.
    #[test]
    fn all_cases_of_the_official_responses_are_met() {
        let cases = cases_in(&testing::cases().with_file_name("fd"));
        assert_eq!(cases.len(), 4);
        for case in &cases {
            let within = |comparisons: Vec<Comparison>, limit: f64| {
                assert_eq!(comparisons[0].output, "kernel");
                for comparison in comparisons {
                    let name = &case.name;
                    assert!(comparison.relative_error < limit, "{name} {comparison:?}");
                }
            };
            within(check::<f64>(case).unwrap(), 7e-8);
            within(check::<f32>(case).unwrap(), 1e-6);
        }
    }

    #[test]
    fn a_changed_number_is_seen_in_every_output_it_reaches() {
        let mut cases = cases();
        let case = cases
            .iter_mut()
            .find(|c| c.name.starts_with("gtu_bidir"))
            .unwrap();
        let bias = case.tensors.get_mut("param.toep.rpe.out.2.bias").unwrap();
        bias[[20]] += 0.01;
        for comparison in check::<f64>(case).unwrap() {
            assert!(comparison.relative_error > 1e-3, "{comparison:?}");
        }
    }

    #[test]
    fn not_a_number_is_never_within_tolerance() {
        let compared = compare("y", &[(1.0, 1.0), (f64::NAN, 2.0)]);
        assert_eq!(compared.relative_error, f64::INFINITY);
        let compared = compare("y", &[(1.0, 1.0), (2.0, f64::NAN)]);
        assert_eq!(compared.relative_error, f64::INFINITY);
    }

    #[test]
    fn what_a_case_lacks_is_named() {
        for (name, tensor) in [
            ("layer_causal_n64", "y"),
            ("gtu_causal_n64", "param.o.bias"),
        ] {
            let mut cases = cases();
            let case = cases.iter_mut().find(|c| c.name.starts_with(name)).unwrap();
            case.tensors.remove(tensor).unwrap();
            let error = check::<f32>(case).unwrap_err().to_string();
            assert!(error.contains(&format!("`{tensor}` is missing")), "{error}");
        }
    }
}

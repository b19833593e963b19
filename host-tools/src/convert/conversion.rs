//! What a layer has become.

use super::certificate::Certificate;
use super::check::check_residues;
use super::error::ConvertError;
use super::layer::{Method, known};
use super::measure::KernelError;
use super::modal::Modal;
use super::source::KernelSource;
use super::warning::Warning;
use ndarray::Array2;
use std::ops::Range;

/// One layer's recurrence.
#[derive(Clone, Debug)]
pub struct LayerConversion {
    /// The recurrence in f64; round it with [`Modal::to_f32_safe`] for a device.
    pub modal: Modal,
    /// The recurrence with its numbers as a contract other than `f32` stores them, see
    /// [`store`](Self::store).
    pub stored: Option<Modal>,
    /// What taps and residues are multiples of: a power of two, 1 for a layer of a network, whose model stores
    /// them as they are.
    pub unit: f64,
    /// How it was found.
    pub method: Method,
    /// Error of the kernel over the first `measured_lags` lags, as f32 arithmetic realises it
    /// ([`Modal::impulse_f32`]); of the `stored` recurrence, if there is one, in exact arithmetic.
    pub kernel_error: KernelError,
    /// Lags that `kernel_error` is about: for the closed form those that it promises, else until
    /// the kernel has died out (at most twice [`MAX_WINDOW`](super::source::MAX_WINDOW)).
    pub measured_lags: usize,
    /// Of the reduced method: what no recurrence with as many taps and states can beat, to compare
    /// with [`Certificate::hinf`].
    pub lower_bound: Option<f64>,
    /// How far the recurrence's kernels are from the true ones at most.
    pub certificate: Certificate,
    /// What the user should know.
    pub warnings: Vec<Warning>,
}

impl LayerConversion {
    /// Judges the recurrence as it is stored, in numbers coarser than f32: error and certificate become those of
    /// `stored`.
    ///
    /// # Errors
    /// The kernel cannot be evaluated.
    pub fn store(
        &mut self,
        source: &(impl KernelSource + ?Sized),
        stored: Modal,
    ) -> Result<(), ConvertError> {
        let truth = known(source, 0..self.measured_lags)?;
        let realised = stored.kernel(0..self.measured_lags);
        self.kernel_error = KernelError::between(realised.view(), truth.view());
        self.certificate = match self.method {
            Method::Etsc { .. } => Certificate::of_stored_window(&stored, truth.view()),
            _ => Certificate::of_stored(&stored, source, truth.view()),
        };
        self.stored = Some(stored);
        Ok(())
    }

    /// The recurrence with its numbers as they are stored, if they were rounded already; else before that.
    pub fn as_stored(&self) -> &Modal {
        self.stored.as_ref().unwrap_or(&self.modal)
    }

    /// The kernel that the recurrence stands for, its numbers rounded as they are stored, `[lags, channels]`.
    pub fn realised(&self, lags: Range<usize>) -> Array2<f64> {
        match &self.stored {
            Some(stored) => stored.kernel(lags) * self.unit,
            None => self.modal.to_f32_safe().kernel(lags) * self.unit,
        }
    }

    /// The error's peak over frequency as a multiple of the lower bound; nothing where there is no bound, or where f32 decides
    /// what is left.
    pub fn ratio(&self) -> Option<f64> {
        let (peak, least) = (self.certificate.hinf, f64::from(f32::EPSILON));
        let bound = self.lower_bound.filter(|bound| *bound > least * peak)?;
        (peak > least * self.certificate.kernel.hinf).then(|| peak / bound)
    }

    /// The conversion of a kernel `unit` times as large.
    ///
    /// # Errors
    /// [`ConvertError::TooLarge`] where f32 cannot hold the residues.
    pub(super) fn in_units_of(self, unit: f64) -> Result<Self, ConvertError> {
        check_residues(&self.modal, f64::from(f32::MAX) / unit)?;
        Ok(Self {
            unit,
            lower_bound: self.lower_bound.map(|bound| bound * unit),
            certificate: self.certificate.in_units_of(unit),
            ..self
        })
    }
}

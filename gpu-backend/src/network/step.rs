//! Training steps and evaluation.

use super::workspace::Workspace;
use super::{Network, NetworkError, Pass};
use crate::data::{Batch, Inputs};
use crate::device::{AdamW, Device, DeviceError, Gemm, IGNORE, Optimiser};
use toeplite_checkpoint::Config;
use toeplite_checkpoint::config::Pooling;

/// Sequences and positions of each, of a batch for a network of `config`.
///
/// # Errors
/// The inputs are of the other kind or not as many as the batch says; the targets are another
/// number.
fn shape(batch: &Batch, config: &Config) -> Result<(usize, usize), NetworkError> {
    let positions = match (&batch.inputs, config.frame_dim()) {
        (Inputs::Tokens(tokens), None) => tokens.len(),
        (Inputs::Frames { width, values }, Some(dim)) if *width == dim => values.len() / dim,
        (Inputs::Tokens(_), Some(frame_dim)) => {
            return Err(NetworkError::Frames {
                found: 0,
                frame_dim,
            });
        }
        (Inputs::Frames { width, .. }, dim) => {
            return Err(NetworkError::Frames {
                found: *width,
                frame_dim: dim.unwrap_or_default(),
            });
        }
    };
    let targets = match &config.classifier {
        // asked at every position, as a stream is
        Some(classifier)
            if classifier.pooling == Pooling::Last && batch.targets.len() == positions =>
        {
            positions
        }
        Some(_) => batch.sequences,
        None => positions,
    };
    if let Some([rows, columns]) = config.toeplitz.image
        && batch.length != rows * columns
    {
        let length = batch.length;
        return Err(NetworkError::Image {
            length,
            rows,
            columns,
        });
    }
    let whole = positions > 0 && positions == batch.positions();
    if whole && batch.targets.len() == targets {
        check_padding(batch)?;
        return Ok((batch.sequences, batch.length));
    }
    Err(NetworkError::Batch {
        positions,
        targets: batch.targets.len(),
        length: batch.length,
    })
}

/// Refuses tokens after padding: what is counted as a sequence's own must be its beginning.
fn check_padding(batch: &Batch) -> Result<(), NetworkError> {
    let Inputs::Tokens(tokens) = &batch.inputs else {
        return Ok(());
    };
    for (sequence, tokens) in tokens.chunks_exact(batch.length).enumerate() {
        let own = own_positions(tokens);
        if let Some(beyond) = tokens[own..].iter().position(|t| *t != IGNORE) {
            let position = own + beyond;
            return Err(NetworkError::Padding { sequence, position });
        }
    }
    Ok(())
}

/// Positions of a sequence before its padding.
pub(super) fn own_positions(tokens: &[u32]) -> usize {
    tokens.iter().take_while(|t| **t != IGNORE).count()
}

/// What was summed since the sums were last taken.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepSums {
    /// Cross entropy in nats.
    pub loss: f64,
    /// Targets that it is summed over.
    pub targets: f64,
    /// Targets that were the largest logit.
    pub correct: f64,
    /// Norm of the last step's gradients before clipping.
    pub gradient_norm: f64,
}

impl<D: Device> Network<D> {
    /// One step of the optimiser on the gradients of all `batches` (micro-batches of one shape)
    /// together, of all processes. `values.gradient_scale` should be one over the number of targets of
    /// all processes; `seed` chooses dropout's masks. This process's loss is added to the sums: see [`Network::take_sums`].
    ///
    /// # Errors
    /// The batches differ in shape or do not fit the network; the device fails.
    pub fn step(
        &mut self,
        batches: &[Batch],
        values: Optimiser,
        seed: u64,
    ) -> Result<(), NetworkError> {
        if self.moments.is_none() {
            self.moments = Some(self.new_moments()?);
        }
        self.accumulate(batches, seed)?;
        self.device
            .write_f32(&mut self.hyper, 0, &values.to_array())?;
        self.update()
    }

    /// The gradients of the summed loss of all `batches`, laid out as [`Network::layout`].
    ///
    /// # Errors
    /// As [`Network::step`].
    pub fn gradients(&mut self, batches: &[Batch], seed: u64) -> Result<Vec<f32>, NetworkError> {
        self.accumulate(batches, seed)?;
        let all = 0..self.layout.len();
        Ok(self.device.read_f32(&self.parameters.gradients, all)?)
    }

    fn accumulate(&mut self, batches: &[Batch], seed: u64) -> Result<(), NetworkError> {
        let trained = self.layout.trained();
        self.device.zero(&mut self.parameters.gradients, trained)?;
        let shard = self.device.shard();
        for (index, batch) in batches.iter().enumerate() {
            // The portion's number in the whole step: processes drop what one alone would drop.
            let portion = index * shard.ranks + shard.rank;
            let seed = seed.wrapping_mul(0x9e37_79b9).wrapping_add(portion as u64);
            let halves = [(seed & 0xff_ffff) as f32, (seed >> 24 & 0xff_ffff) as f32];
            let mut workspace = self.load(batch)?;
            let seeded = self.device.write_f32(&mut workspace.seed, 0, &halves);
            let last = index + 1 == batches.len();
            let done = seeded.and_then(|()| self.train_pass(&mut workspace, last));
            self.workspaces.push(workspace);
            done?;
        }
        Ok(())
    }

    /// The workspace of a batch with its tokens in place.
    pub(super) fn load(&mut self, batch: &Batch) -> Result<Workspace<D>, NetworkError> {
        let shape = shape(batch, &self.config)?;
        let mut workspace = self.take_workspace(shape)?;
        match workspace.write(&self.device, batch) {
            Ok(()) => Ok(workspace),
            Err(error) => {
                self.workspaces.push(workspace);
                Err(error.into())
            }
        }
    }

    /// Adds a micro-batch's gradients, by the recorded pass where there is one. After the `last` one
    /// they are summed over all processes.
    fn train_pass(&mut self, workspace: &mut Workspace<D>, last: bool) -> Result<(), DeviceError> {
        let pass = Pass {
            shape: (workspace.batch, workspace.length),
            last,
        };
        if let Some((_, graph)) = self.recorded.iter().find(|(known, _)| *known == pass) {
            return self.device.replay(graph);
        }
        workspace.prepare_gradients(&self.device, &self.config)?;
        if !self.warm.contains(&pass) {
            self.warm.push(pass);
            return self.pass(workspace, last);
        }
        if !self.device.begin_record()? {
            return self.pass(workspace, last);
        }
        let passed = self.pass(workspace, last);
        let graph = self.device.end_record()?;
        passed?;
        self.device.replay(&graph)?;
        self.recorded.push((pass, graph));
        Ok(())
    }

    fn pass(&mut self, workspace: &mut Workspace<D>, last: bool) -> Result<(), DeviceError> {
        self.kernels(workspace)?;
        self.forward(workspace, self.dropout)?;
        self.backward(workspace, self.dropout, last)
    }

    pub(super) fn update(&mut self) -> Result<(), NetworkError> {
        let (trained, decayed, plain) = (
            self.layout.trained(),
            self.layout.decayed(),
            self.layout.plain(),
        );
        let Some(moments) = &mut self.moments else {
            return Ok(());
        };
        let (device, parameters) = (&self.device, &mut self.parameters);
        let squares = Optimiser::SQUARES;
        device.sum_squares(&parameters.gradients, trained, &mut self.hyper, squares)?;
        for (range, decay) in [(decayed, true), (plain, false)] {
            let state = AdamW {
                parameters: &mut parameters.values,
                copy: &mut parameters.copy,
                gradients: &parameters.gradients,
                first: &mut moments.first,
                second: &mut moments.second,
                hyper: &self.hyper,
            };
            device.adamw(state, range, decay)?;
        }
        Ok(())
    }

    /// Adds a batch's loss to the sums, without training.
    ///
    /// # Errors
    /// The batch does not fit the network; the device fails.
    pub fn evaluate(&mut self, batch: &Batch) -> Result<(), NetworkError> {
        let mut workspace = self.load(batch)?;
        let done = self.judge(&mut workspace);
        self.workspaces.push(workspace);
        Ok(done?)
    }

    /// [`Network::evaluate`] of a classifier, with the logits `[sequences, classes]`.
    ///
    /// # Errors
    /// As [`Network::evaluate`].
    pub fn classify(&mut self, batch: &Batch) -> Result<Vec<f32>, NetworkError> {
        let mut workspace = self.load(batch)?;
        let done = self
            .judge(&mut workspace)
            .and_then(|()| self.class_logits(&workspace));
        self.workspaces.push(workspace);
        Ok(done?)
    }

    /// The logits `[sequences * length, classes]` of a classifier's head at every position of a batch.
    ///
    /// # Errors
    /// As [`Network::evaluate`].
    pub fn position_logits(&mut self, batch: &Batch) -> Result<Vec<f32>, NetworkError> {
        let mut workspace = self.load(batch)?;
        let done = self
            .forward_only(&mut workspace)
            .and_then(|()| self.head(&workspace.last_norm, 0..workspace.positions()));
        self.workspaces.push(workspace);
        Ok(done?)
    }

    fn judge(&mut self, workspace: &mut Workspace<D>) -> Result<(), DeviceError> {
        self.forward_only(workspace)?;
        let (weight_at, classes) = (self.head_at(), self.config.outputs());
        self.device.head_loss(
            &self.parameters.copy,
            weight_at,
            classes,
            workspace.pooled.as_ref().unwrap_or(&workspace.last_norm),
            &workspace.targets,
            &mut self.sums,
            None,
        )
    }

    /// Sequences that are pooled by their last position have their logits there. One product for all
    /// positions is quicker than one for each sequence.
    fn class_logits(&self, workspace: &Workspace<D>) -> Result<Vec<f32>, DeviceError> {
        if let Some(pooled) = &workspace.pooled {
            return self.head(pooled, 0..workspace.batch);
        }
        let logits = self.head(&workspace.last_norm, 0..workspace.positions())?;
        Ok(workspace.last_rows(&logits))
    }

    fn forward_only(&self, workspace: &mut Workspace<D>) -> Result<(), DeviceError> {
        self.kernels(workspace)?;
        self.forward(workspace, 0.0)
    }

    /// The logits `[positions.len(), vocabulary]` of a language model at some positions of one
    /// sequence.
    ///
    /// # Errors
    /// The sequence does not fit the network; the device fails.
    pub fn logits(
        &mut self,
        tokens: &[u32],
        positions: std::ops::Range<usize>,
    ) -> Result<Vec<f32>, NetworkError> {
        let batch = Batch {
            sequences: 1,
            length: tokens.len(),
            inputs: Inputs::Tokens(tokens.to_vec()),
            targets: vec![IGNORE; tokens.len()],
        };
        let mut workspace = self.load(&batch)?;
        let done = self
            .forward_only(&mut workspace)
            .and_then(|()| self.head(&workspace.last_norm, positions));
        self.workspaces.push(workspace);
        Ok(done?)
    }

    /// The logits of some rows of what the head reads.
    fn head(&self, x: &D::Act, positions: std::ops::Range<usize>) -> Result<Vec<f32>, DeviceError> {
        let (rows, classes, dim) = (positions.len(), self.config.outputs(), self.config.dim);
        let mut logits = self.device.new_act(rows * classes)?;
        let shape = Gemm {
            m: rows,
            n: classes,
            k: dim,
            transpose_a: false,
            transpose_b: true,
            accumulate: false,
        };
        let x = (x, positions.start * dim);
        let head = (&self.parameters.copy, self.head_at());
        self.device.gemm(shape, x, head, None, &mut logits)?;
        self.device.read_act(&logits, 0..rows * classes)
    }

    /// What training and evaluation have summed in this process since the last call; waits for the
    /// device.
    ///
    /// # Errors
    /// The device fails.
    pub fn take_sums(&mut self) -> Result<StepSums, NetworkError> {
        let sums = self.device.read_f32(&self.sums, 0..3)?;
        let hyper = self.device.read_f32(&self.hyper, 0..Optimiser::LEN)?;
        self.device.zero(&mut self.sums, 0..3)?;
        let scale = f64::from(hyper[Optimiser::LEN - 2]);
        Ok(StepSums {
            loss: sums[0].into(),
            targets: sums[1].into(),
            correct: sums[2].into(),
            gradient_norm: scale * f64::from(hyper[Optimiser::SQUARES]).sqrt(),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::device::Device;
    use crate::device::cpu::Cpu;
    use crate::network::{Network, testing};

    #[test]
    fn memory_does_not_grow_with_the_number_of_lengths() {
        let used = |lengths: &[usize]| {
            let mut network = Network::new(Cpu::new(), testing::config(), 0.9, 1).unwrap();
            for &length in lengths {
                network
                    .logits(&vec![1; length], length - 1..length)
                    .unwrap();
            }
            network.device().memory()
        };
        let all: Vec<usize> = (1..=60).collect();
        // every thread that takes part has scratch of its own: as many as happen to, so one
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let (many, single) = one.unwrap().install(|| (used(&all), used(&[60])));
        assert_eq!(many.0, single.0);
        assert!(many.1 <= single.1);
    }
}

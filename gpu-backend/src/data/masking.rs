//! How a run hides tokens from a masked language model.

use crate::config::RunConfig;
use toeplite_checkpoint::config::Task;
use toeplite_clips::Masking;

impl RunConfig {
    /// How tokens are hidden; `None` unless the run trains a masked language model.
    pub fn masking(&self) -> Option<Masking> {
        let masked = self.model.task == Task::MaskedLm;
        self.data
            .mask_token
            .filter(|_| masked)
            .map(|token| Masking {
                probability: self.data.mask_probability,
                token,
                seed: self.train.seed,
            })
    }
}

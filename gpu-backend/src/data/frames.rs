//! Clips of frames as batches.

use super::{Batch, FrameSet, Inputs, Pick, Result, Shift, Source};
use crate::device::IGNORE;

/// Clips of frames to learn from or to be judged by.
#[derive(Debug)]
pub struct Frames {
    set: FrameSet,
    /// How training clips are moved, of images.
    shift: Option<Shift>,
}

impl From<FrameSet> for Frames {
    fn from(set: FrameSet) -> Self {
        Self { set, shift: None }
    }
}

impl Frames {
    /// The same, whose training clips are images that are moved, if they are.
    pub fn shifted(self, shift: Option<Shift>) -> Self {
        Self { shift, ..self }
    }

    fn batch(&self, clips: impl Iterator<Item = Option<usize>>, length: usize) -> Batch {
        let (width, mut values, mut targets) = (self.set.frame(), Vec::new(), Vec::new());
        for clip in clips {
            let end = values.len() + length * width;
            let label = clip.map(|clip| self.set.read(clip, length, &mut values));
            targets.push(label.unwrap_or(IGNORE));
            values.resize(end, 0.0);
        }
        Batch {
            sequences: targets.len(),
            length,
            inputs: Inputs::Frames { width, values },
            targets,
        }
    }
}

impl Source for Frames {
    fn sequences(&self) -> u64 {
        self.set.len() as u64
    }

    fn training(&self, picks: &[Pick]) -> Result<Batch> {
        let clips = picks.iter().map(|p| Some(p.index as usize));
        let length = self.set.length();
        let mut batch = self.batch(clips, length);
        if let (Some(shift), Inputs::Frames { width, values }) = (&self.shift, &mut batch.inputs) {
            let clips = values.chunks_exact_mut(length * *width);
            clips
                .zip(picks)
                .for_each(|(clip, pick)| shift.apply(clip, pick.noise));
        }
        Ok(batch)
    }

    fn counted(&self, picks: &[Pick]) -> Result<u64> {
        Ok(picks.len() as u64)
    }

    fn evaluation(&self, index: u64, length: usize, sequences: usize) -> Result<Option<Batch>> {
        let count = self.set.len();
        let sequences = sequences.clamp(1, count);
        let first = usize::try_from(index)
            .ok()
            .and_then(|i| i.checked_mul(sequences));
        let Some(first) = first.filter(|f| *f < count) else {
            return Ok(None);
        };
        let clips = (first..first + sequences).map(|c| (c < count).then_some(c));
        Ok(Some(self.batch(clips, length.max(1))))
    }

    fn front_end(&self) -> Option<toeplite_checkpoint::AnyFrontEnd> {
        self.set.front_end().cloned()
    }

    fn targets(&self) -> u64 {
        self.sequences()
    }

    fn target_bytes(&self) -> Option<u64> {
        None
    }

    fn classes(&self) -> &[String] {
        self.set.classes()
    }

    fn rate(&self) -> Option<u32> {
        self.set.rate()
    }

    fn describe(&self) -> String {
        self.set.describe()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Clips, Reads};
    use super::*;
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    #[test]
    fn batches_hold_every_clip_once_and_are_filled_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.safetensors");
        let numbers: Vec<u8> = (1..=6).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let views = [
            (
                "features",
                TensorView::new(Dtype::F32, vec![3, 2, 1], &numbers),
            ),
            ("labels", TensorView::new(Dtype::U8, vec![3], &[1, 0, 1])),
        ];
        let views = views.map(|(name, view)| (name, view.unwrap()));
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        let clips = Clips {
            reads: Reads::Frames(1),
            classes: 2,
            names: None,
            length: 3,
            image: None,
        };
        let frames = Frames::from(FrameSet::features(&path, &clips).unwrap());
        let values = |batch: &Batch| match &batch.inputs {
            Inputs::Frames { values, .. } => values.clone(),
            Inputs::Tokens(_) => panic!("frames are expected"),
        };
        let first = frames.evaluation(0, 3, 2).unwrap().unwrap();
        assert_eq!(values(&first), [0., 1., 2., 0., 3., 4.]);
        let second = frames.evaluation(1, 3, 2).unwrap().unwrap();
        assert_eq!(values(&second), [0., 5., 6., 0., 0., 0.]);
        assert_eq!(
            (second.targets, first.targets),
            (vec![1, IGNORE], vec![1, 0])
        );
        assert!(frames.evaluation(2, 3, 2).unwrap().is_none());
        let all = frames.evaluation(0, 3, 9).unwrap().unwrap();
        assert_eq!((all.sequences, all.counted()), (3, 3));
    }
}

//! Recordings of a sensor as windows of frames.

use super::Draw;
use rayon::prelude::*;
use thiserror::Error;
use toeplite_checkpoint::{Sensor, SensorChannel};
use toeplite_clips::{ClipFeatures, SensorClip};

/// How recordings become windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Windowing {
    /// Frames of a window.
    pub frames: usize,
    /// Frames from one window's start to the next one's.
    pub hop: usize,
    /// What is changed of copies.
    pub copies: Copies,
    /// Decides the copies.
    pub seed: u64,
}

/// Changed copies of each recording, beside the recording itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Copies {
    /// How many.
    pub count: usize,
    /// Degrees by which a sensor of three axes is turned at most, about any axis; all sensors of a copy alike.
    pub turn: f64,
    /// Share by which a copy is slower or faster at most.
    pub speed: f64,
}

/// Why there are no windows.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WindowsError {
    /// A channel that is always the same.
    #[error(
        "channel {0} is {1} in all recordings: nothing can be learnt of it, leave its column out"
    )]
    Constant(String, i16),
    /// No recordings.
    #[error("no recordings are left: the subjects that are named leave none")]
    Nothing,
    /// Axes that are no threes.
    #[error(
        "{0} channels cannot be turned: sensors of three axes are expected, one after the other, such as ax,ay,az,gx,gy,gz"
    )]
    Axes(usize),
}

/// Offset and scale of each channel, by which `clips` have mean 0 and deviation 1.
///
/// # Errors
/// There are none, or a channel is always the same.
pub fn scaled_by(
    names: &[String],
    clips: &[SensorClip],
    average: u32,
) -> Result<Vec<SensorChannel>, WindowsError> {
    let channel = |(number, name): (usize, &String)| {
        let samples = || {
            let of = |clip| samples_of(clip, number, names.len());
            clips.iter().flat_map(of)
        };
        let first = samples().next().ok_or(WindowsError::Nothing)?;
        if samples().all(|x| x == first) {
            return Err(WindowsError::Constant(name.clone(), first));
        }
        let count = samples().count() as f64;
        let mean = samples().map(f64::from).sum::<f64>() / count;
        let square = |x: i16| (f64::from(x) - mean).powi(2);
        let deviation = (samples().map(square).sum::<f64>() / count).sqrt();
        Ok(SensorChannel {
            name: name.clone(),
            offset: mean.round() as i16,
            scale: (1.0 / (deviation * f64::from(average))) as f32,
        })
    };
    names.iter().enumerate().map(channel).collect()
}

fn samples_of(clip: &SensorClip, channel: usize, channels: usize) -> impl Iterator<Item = i16> {
    clip.samples.chunks_exact(channels).map(move |s| s[channel])
}

impl Windowing {
    /// Windows of all `clips` and of their changed copies, by what a device computes. Of a clip that is shorter than a window there is one, after zeros.
    ///
    /// # Errors
    /// There are no clips, or copies are to be turned and cannot be.
    pub fn windows(
        &self,
        sensor: &Sensor,
        clips: &[SensorClip],
    ) -> Result<ClipFeatures, WindowsError> {
        let channels = sensor.channels.len();
        if clips.is_empty() {
            return Err(WindowsError::Nothing);
        }
        if self.copies.count > 0 && self.copies.turn > 0.0 && !channels.is_multiple_of(3) {
            return Err(WindowsError::Axes(channels));
        }
        let copies = 1 + self.copies.count;
        let made = (0..clips.len() * copies).into_par_iter().map(|i| {
            let clip = &clips[i / copies];
            let mut draw = Draw::of(self.seed, "windows", i as u64);
            let samples = match i % copies {
                0 => clip.samples.clone(),
                _ => self.copies.changed(&clip.samples, channels, &mut draw),
            };
            let frames = sensor.frames(&samples).expect("a sensor that was checked");
            (clip.label as i32, self.cut(&frames, channels))
        });
        let made: Vec<(i32, Vec<f32>)> = made.collect();
        let size = self.frames * channels;
        let labels = made
            .iter()
            .flat_map(|(label, windows)| std::iter::repeat_n(*label, windows.len() / size));
        let labels: Vec<i32> = labels.collect();
        Ok(ClipFeatures {
            shape: [labels.len(), self.frames, channels],
            labels,
            values: made.into_iter().flat_map(|(_, windows)| windows).collect(),
        })
    }

    fn cut(&self, frames: &[f32], channels: usize) -> Vec<f32> {
        let size = self.frames * channels;
        if frames.len() < size {
            let mut window = vec![0.0; size - frames.len()];
            window.extend_from_slice(frames);
            return window;
        }
        frames
            .windows(size)
            .step_by(self.hop * channels)
            .flatten()
            .copied()
            .collect()
    }
}

impl Copies {
    fn changed(&self, samples: &[i16], channels: usize, draw: &mut Draw) -> Vec<i16> {
        let speed = draw.between(1.0 - self.speed, 1.0 + self.speed);
        let rotation = rotation(self.turn, draw);
        let count = samples.len() / channels;
        let last = count.saturating_sub(1) as f64;
        let positions = (0..).map(|i| f64::from(i) * speed);
        let mut changed = Vec::new();
        for position in positions.take_while(|p| count > 0 && *p <= last) {
            let at = position as usize;
            let share = position - at as f64;
            let next = (at + 1).min(count - 1);
            let number = |i: usize, channel: usize| f64::from(samples[i * channels + channel]);
            let mut sample: Vec<f64> = (0..channels)
                .map(|c| number(at, c) * (1.0 - share) + number(next, c) * share)
                .collect();
            if self.turn > 0.0 {
                let axes = sample.as_chunks_mut::<3>().0;
                axes.iter_mut()
                    .for_each(|axes| *axes = turned(rotation, *axes));
            }
            // as the sensor's own converter: rounded, and no farther than its range
            changed.extend(sample.iter().map(|x| x.round() as i16));
        }
        changed
    }
}

/// A rotation by at most `degrees` about an axis that may have any direction.
fn rotation(degrees: f64, draw: &mut Draw) -> [[f64; 3]; 3] {
    let (z, around) = (
        draw.between(-1.0, 1.0),
        draw.between(0.0, 360.0).to_radians(),
    );
    let flat = (1.0 - z * z).sqrt();
    let axis = [flat * libm::cos(around), flat * libm::sin(around), z];
    let angle = draw.between(-degrees, degrees).to_radians();
    let (sine, cosine) = (libm::sin(angle), libm::cos(angle));
    let cross = [
        [0.0, -axis[2], axis[1]],
        [axis[2], 0.0, -axis[0]],
        [-axis[1], axis[0], 0.0],
    ];
    // Rodrigues' formula
    std::array::from_fn(|i| {
        std::array::from_fn(|j| {
            let one = if i == j { cosine } else { 0.0 };
            one + sine * cross[i][j] + (1.0 - cosine) * axis[i] * axis[j]
        })
    })
}

fn turned(rotation: [[f64; 3]; 3], [x, y, z]: [f64; 3]) -> [f64; 3] {
    rotation.map(|[a, b, c]| a * x + b * y + c * z)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("c{i}")).collect()
    }

    fn clip(label: u32, samples: &[i16]) -> SensorClip {
        SensorClip {
            label,
            subject: None,
            samples: samples.to_vec(),
        }
    }

    fn sensor(clips: &[SensorClip], channels: usize) -> Sensor {
        Sensor {
            rate: 50,
            average: 2,
            channels: scaled_by(&names(channels), clips, 2).unwrap(),
            classes: names(2),
            frames: None,
        }
    }

    const PLAIN: Windowing = Windowing {
        frames: 3,
        hop: 2,
        copies: Copies {
            count: 0,
            turn: 0.0,
            speed: 0.0,
        },
        seed: 1,
    };

    #[test]
    fn windows_are_frames_of_the_device() {
        let samples: Vec<i16> = (0..32).map(|i| i * i % 37).collect();
        let clips = [clip(1, &samples), clip(0, &samples[..8])];
        let sensor = sensor(&clips, 2);
        let made = PLAIN.windows(&sensor, &clips).unwrap();
        // 8 frames: windows at 0, 2 and 4; the short clip has 2 frames
        assert_eq!(
            (made.shape, &made.labels[..]),
            ([4, 3, 2], &[1, 1, 1, 0][..])
        );
        let frames = sensor.frames(&samples).unwrap();
        for (at, window) in [0, 2, 4].into_iter().zip(made.values.chunks(6)) {
            assert_eq!(window, &frames[at * 2..at * 2 + 6]);
        }
        assert_eq!(made.values[18..], [&[0.0; 2], &frames[..4]].concat());
    }

    #[test]
    fn training_data_have_mean_0_and_deviation_1() {
        let samples: Vec<i16> = (0..3000i32)
            .map(|i| ((i * 7919) % 1001 + 20 * (i % 2)) as i16)
            .collect();
        let clips = [clip(0, &samples)];
        let sensor = Sensor {
            average: 1,
            channels: scaled_by(&names(2), &clips, 1).unwrap(),
            ..sensor(&clips, 2)
        };
        let frames = sensor.frames(&samples).unwrap();
        for channel in 0..2 {
            let numbers = || frames.iter().skip(channel).step_by(2);
            let mean = numbers().sum::<f32>() / 1500.0;
            let square = numbers().map(|x| x * x).sum::<f32>() / 1500.0;
            assert!(
                mean.abs() < 0.01 && (square - 1.0).abs() < 0.01,
                "{mean}, {square}"
            );
        }
    }

    #[test]
    fn copies_are_turned_and_faster_and_the_same_each_time() {
        let samples: Vec<i16> = (0..300).flat_map(|i| [i, 1000, 3 * i]).collect();
        let clips = [clip(0, &samples)];
        let sensor = sensor(&[clip(0, &[1, 2, 3]), clip(0, &[4, 5, 6])], 3);
        let copies = Copies {
            count: 3,
            turn: 20.0,
            speed: 0.2,
        };
        let windowing = Windowing { copies, ..PLAIN };
        let made = windowing.windows(&sensor, &clips).unwrap();
        assert_eq!(made, windowing.windows(&sensor, &clips).unwrap());
        let plain = PLAIN.windows(&sensor, &clips).unwrap();
        assert_eq!(made.values[..plain.values.len()], plain.values);
        assert!(made.labels.len() > 3 * plain.labels.len());
        let other = Windowing {
            seed: 2,
            ..windowing
        };
        assert_ne!(made, other.windows(&sensor, &clips).unwrap());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let constant = [clip(0, &[1, 7, 2, 7])];
        let refused = scaled_by(&names(2), &constant, 1).unwrap_err();
        assert_eq!(refused, WindowsError::Constant("c1".into(), 7));
        assert_eq!(scaled_by(&names(2), &[], 1), Err(WindowsError::Nothing));
        let two = [clip(0, &[1, 7, 2, 8])];
        let sensor = sensor(&two, 2);
        let copies = Copies {
            count: 1,
            turn: 5.0,
            speed: 0.0,
        };
        let turned = Windowing { copies, ..PLAIN };
        assert_eq!(turned.windows(&sensor, &two), Err(WindowsError::Axes(2)));
        assert_eq!(PLAIN.windows(&sensor, &[]), Err(WindowsError::Nothing));
    }

    proptest! {
        #[test]
        fn rotations_keep_lengths_and_angles(seed: u64, x in -9.0..9.0, y in -9.0..9.0, z in -9.0..9.0) {
            let rotation = rotation(30.0, &mut Draw::of(seed, "x", 0));
            let vector: [f64; 3] = [x, y, z];
            let turned = turned(rotation, vector);
            let dot = |a: [f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
            let square = dot(vector, vector);
            prop_assert!((dot(turned, turned) - square).abs() < 1e-9);
            // by 30 degrees at most
            prop_assert!(dot(turned, vector) >= 30f64.to_radians().cos() * square - 1e-9);
        }
    }
}

//! Frames that another program made, with labels, in one file.

use super::frames::{Clip, FrameSet};
use super::tensor::Numbers;
use super::{ClipError, Clips, Result, npz};
use std::path::Path;

impl FrameSet {
    /// Reads `features` `[clips, frames, width]` and `labels` `[clips]` from an npz or safetensors
    /// file. Where it names its classes (as `toeplite-train data features` does, in the metadata), labels are
    /// those of the network's classes of these names. With it comes the front
    /// end that made the features, if the metadata have one.
    ///
    /// # Errors
    /// The file is neither, lacks one of them, they do not fit each other, or not what `clips` asks.
    pub fn features(path: &Path, clips: &Clips) -> Result<Self> {
        let wrong = |problem: String| ClipError::Features {
            path: path.to_owned(),
            problem,
        };
        let ([features, labels], about) = npz::read(path)?;
        let &[count, frames, width] = &features.shape[..] else {
            return Err(wrong(format!("`features` has shape {:?}", features.shape)));
        };
        if labels.shape != [count] {
            let found = labels.shape;
            return Err(wrong(format!(
                "{count} clips, but `labels` has shape {found:?}"
            )));
        }
        if count == 0 || frames == 0 || width == 0 {
            return Err(wrong(format!("`features` is empty: {:?}", features.shape)));
        }
        clips.check_width(path, width)?;
        let samples = finite(features.numbers, frames * width).map_err(wrong)?;
        let Numbers::Integers(labels) = labels.numbers else {
            return Err(wrong("`labels` are no integers".to_owned()));
        };
        clips.check_image(path, 0, frames)?;
        let classes = match (&clips.names, &about.classes) {
            (None, Some(own)) => {
                clips.check_classes(path, Some(own))?;
                own.clone()
            }
            _ => clips.labels(),
        };
        // A file that names its classes may have others, in another order, than the network.
        let class = |index, label: i64| match (&clips.names, &about.classes) {
            (Some(_), Some(own)) => match usize::try_from(label).ok().and_then(|l| own.get(l)) {
                Some(name) => clips.named(path, name),
                None => Err(wrong(format!(
                    "the label of clip {index} is {label}, the file names {} classes",
                    own.len()
                ))),
            },
            _ => clips.class(path, index, label),
        };
        let front_end = about.front_end;
        let front_end = front_end.map(|made| made.with_classes(classes.clone()));
        let mut set = Self {
            samples,
            clips: Vec::with_capacity(count),
            frame: width,
            hop: width,
            length: clips.length,
            classes,
            rate: None,
            front_end,
            speakers: Vec::new(),
            name: path.display().to_string(),
        };
        for (index, label) in labels.into_iter().enumerate() {
            let start = index * frames * width;
            set.clips.push(Clip {
                samples: start..start + frames * width,
                label: class(index, label)?,
            });
        }
        Ok(set)
    }
}

/// The numbers of clips of `size` as floats, all finite.
fn finite(numbers: Numbers, size: usize) -> Result<Vec<f32>, String> {
    let samples = match numbers {
        Numbers::Floats(floats) => floats,
        Numbers::Integers(integers) => integers.into_iter().map(|i| i as f32).collect(),
    };
    match samples.iter().position(|x| !x.is_finite()) {
        None => Ok(samples),
        Some(at) => Err(format!(
            "`features` holds {} in clip {}",
            samples[at],
            at / size
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::clips::Reads;
    use super::super::npy;
    use super::super::testing::all_frames;
    use super::*;
    use std::fs;
    use std::io::Write;
    use zip::write::SimpleFileOptions;

    fn clips(width: usize, classes: usize) -> Clips {
        Clips {
            reads: Reads::Frames(width),
            classes,
            names: None,
            length: 3,
            image: None,
        }
    }

    fn npz(path: &Path, arrays: &[(&str, Vec<u8>)], deflate: bool) {
        let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
        let method = if deflate {
            zip::CompressionMethod::Deflated
        } else {
            zip::CompressionMethod::Stored
        };
        for (name, bytes) in arrays {
            let options = SimpleFileOptions::default().compression_method(method);
            zip.start_file(format!("{name}.npy"), options).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    /// A file of two clips of one frame, whose labels are `labels` of the classes `names`.
    fn named(path: &Path, labels: [u8; 2], names: &[&str]) {
        let values = floats(&[1., 2.]);
        let view = |d, s: &[usize], b: &'static [u8]| {
            safetensors::tensor::TensorView::new(d, s.to_vec(), b).unwrap()
        };
        let (values, labels) = (values.leak(), labels.to_vec().leak());
        let about = serde_json::json!({ "classes": names }).to_string();
        let file = safetensors::serialize(
            [
                (
                    "features",
                    view(safetensors::Dtype::F32, &[2, 1, 1], values),
                ),
                ("labels", view(safetensors::Dtype::U8, &[2], labels)),
            ],
            Some([("toeplite".to_owned(), about)].into()),
        );
        fs::write(path, file.unwrap()).unwrap();
    }

    #[test]
    fn classes_are_those_of_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        named(&path, [0, 1], &["no", "yes"]);
        let own = FrameSet::features(&path, &clips(1, 2)).unwrap();
        assert_eq!(own.classes(), ["no", "yes"]);
        let of = |names: &[&str]| Clips {
            names: Some(names.iter().map(|n| (*n).to_owned()).collect()),
            ..clips(1, names.len())
        };
        let known = FrameSet::features(&path, &of(&["yes", "maybe", "no"])).unwrap();
        assert_eq!(all_frames(&known, 1).1, [2, 0]);
        let other = FrameSet::features(&path, &of(&["yes", "maybe"])).unwrap_err();
        assert!(other.to_string().contains("\"no\""), "{other}");
        named(&path, [0, 2], &["no", "yes"]);
        let beyond = FrameSet::features(&path, &of(&["yes", "no"])).unwrap_err();
        assert!(beyond.to_string().contains("names 2 classes"), "{beyond}");
    }

    #[test]
    fn clips_of_other_sizes_are_no_images() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        named(&path, [0, 1], &["no", "yes"]);
        let of = |image| Clips {
            image: Some(image),
            ..clips(1, 2)
        };
        assert!(FrameSet::features(&path, &of([1, 1])).is_ok());
        let wrong = FrameSet::features(&path, &of([2, 2])).unwrap_err();
        assert!(
            wrong.to_string().contains("model.toeplitz.image = [2, 2]"),
            "{wrong}"
        );
    }

    #[test]
    fn npz_and_safetensors_hold_the_same_features() {
        let dir = tempfile::tempdir().unwrap();
        let numbers = floats(&[1., 2., 3., 4., 5., 6., 7., 8.]);
        let features = npy::file("<f4", "(2, 2, 2)", &numbers);
        let labels = npy::file("<i8", "(2,)", &[3i64, 0].map(i64::to_le_bytes).concat());
        let path = dir.path().join("x.npz");
        let tensors = dir.path().join("x.safetensors");
        let view =
            |d, s: &[usize], b| safetensors::tensor::TensorView::new(d, s.to_vec(), b).unwrap();
        let labels_u8 = [3u8, 0];
        let file = safetensors::serialize(
            [
                (
                    "features",
                    view(safetensors::Dtype::F32, &[2, 2, 2], &numbers[..]),
                ),
                ("labels", view(safetensors::Dtype::U8, &[2], &labels_u8[..])),
            ],
            None,
        );
        fs::write(&tensors, file.unwrap()).unwrap();
        for deflate in [false, true] {
            npz(
                &path,
                &[("features", features.clone()), ("labels", labels.clone())],
                deflate,
            );
            for file in [&path, &tensors] {
                let set = FrameSet::features(file, &clips(2, 4)).unwrap();
                assert_eq!(set.classes(), ["0", "1", "2", "3"]);
                let (values, labels) = all_frames(&set, 3);
                assert_eq!(labels, [3, 0]);
                assert_eq!(values, [0., 0., 1., 2., 3., 4., 0., 0., 5., 6., 7., 8.]);
            }
        }
    }

    #[test]
    fn features_that_do_not_fit_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.npz");
        let labels = npy::file("|u1", "(1,)", &[0]);
        let good = npy::file("<f4", "(1, 1, 1)", &floats(&[1.0]));
        for (features, labels, expected) in [
            (
                npy::file("<f4", "(1,)", &floats(&[1.0])),
                labels.clone(),
                "shape [1]",
            ),
            (
                npy::file("<f4", "(1, 1, 1)", &floats(&[f32::NAN])),
                labels.clone(),
                "NaN",
            ),
            (
                npy::file("<f4", "(0, 1, 1)", &[]),
                npy::file("|u1", "(0,)", &[]),
                "empty",
            ),
            (good.clone(), npy::file("|u1", "(2,)", &[0, 0]), "shape [2]"),
            (
                good.clone(),
                npy::file("|i1", "(1,)", &[255]),
                "label of clip 0",
            ),
            (
                good.clone(),
                npy::file("<f4", "(1,)", &floats(&[0.0])),
                "no integers",
            ),
            (good[..9].to_vec(), labels.clone(), "truncated"),
            (
                good.clone(),
                npy::file("|u1", "(1,)", &[2]),
                "model.classifier.classes = 2",
            ),
            (
                npy::file("<f4", "(1, 1, 2)", &floats(&[1.0, 2.0])),
                labels.clone(),
                "model.classifier.frame_dim = 1",
            ),
        ] {
            npz(&path, &[("features", features), ("labels", labels)], false);
            let error = FrameSet::features(&path, &clips(1, 2))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(expected) && error.contains("x.npz"),
                "{error}"
            );
        }
        npz(&path, &[("features", good)], false);
        assert!(
            FrameSet::features(&path, &clips(1, 2))
                .unwrap_err()
                .to_string()
                .contains("labels")
        );
        for bytes in [
            &b""[..],
            b"PK",
            b"PK\x03\x04 and no more",
            b"\xff\xff\xff\xff\xff\xff\xff\xff{}",
        ] {
            fs::write(&path, bytes).unwrap();
            let error = FrameSet::features(&path, &clips(1, 2)).unwrap_err();
            assert!(error.to_string().contains("x.npz"), "{error}");
        }
    }
}

//! Classifiers on clips with a class each: what they answer, and how a model's answers differ from those of the
//! network that it came from.

use crate::compare::PerForm;
use crate::quantize::calibrate::{MixedClips, Sample};
use crate::reference::Input;
use crate::reference::evaluate::argmax;
use ndarray::{Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;
use serde::Serialize;
use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use toeplite_clips::{Class, Classes, ClipSet, Speakers};

/// Why a classifier gave no answer.
pub type Cause = Box<dyn Error + Send + Sync>;

/// A classifier: the logits `[classes]` of a clip.
pub type Classifier<'a> = dyn Fn(Input<'_>) -> Result<Vec<f32>, Cause> + Sync + 'a;

/// Why clips gave no figure.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// A set without clips.
    #[error("there are no clips to judge by")]
    NoClips,
    /// A clip that the classifier cannot read.
    #[error("clip {clip}: {source}")]
    Clip {
        /// Its number, from 0.
        clip: usize,
        /// What is wrong.
        source: Cause,
    },
    /// Another number of logits than of classes.
    #[error(
        "the clips are of {classes} classes, the classifier has {logits}: give clips of its own classes"
    )]
    Classes {
        /// Classes of the clips.
        classes: usize,
        /// Logits.
        logits: usize,
    },
    /// Infinite, or no numbers.
    #[error("clip {clip}: the logits of form \"{form}\" are not finite")]
    NotFinite {
        /// Its number, from 0.
        clip: usize,
        /// Which way of running the network.
        form: &'static str,
    },
}

/// Some clips of a set.
#[derive(Clone, Copy)]
pub struct Chosen<'a> {
    set: &'a ClipSet,
    count: usize,
}

impl<'a> Chosen<'a> {
    /// At most `limit` of the clips, evenly spaced: sets are often sorted by class.
    pub fn new(set: &'a ClipSet, limit: Option<usize>) -> Self {
        let count = limit.unwrap_or(usize::MAX).min(set.len());
        Self { set, count }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The number in the set of the `i`-th of them.
    fn number(&self, i: usize) -> usize {
        (i as u128 * self.set.len() as u128 / self.count as u128) as usize
    }

    /// The clips as a sample to measure and to calibrate on; their labels are not looked at.
    ///
    /// # Errors
    /// They are of different kinds, which those of a set are not.
    pub fn sample(&self) -> Result<Sample, MixedClips> {
        let clips: Vec<_> = (0..self.count)
            .map(|i| self.set.clip(self.number(i)).0)
            .collect();
        Sample::of_clips(clips.iter().map(input))
    }

    /// What `judge` makes of each, in order; it is given the clip's number, the clip and its label. `progress` is
    /// told how many are done; both are called from several threads.
    fn each<R: Send>(
        &self,
        judge: impl Fn(usize, Input<'_>, u32) -> Result<R, AnswerError> + Sync,
        progress: impl Fn(usize) + Sync,
    ) -> Result<Vec<R>, AnswerError> {
        if self.is_empty() {
            return Err(AnswerError::NoClips);
        }
        let done = AtomicUsize::new(0);
        let run = |i: usize| {
            let number = self.number(i);
            let (clip, label) = self.set.clip(number);
            let judged = judge(number, input(&clip), label)?;
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
            Ok(judged)
        };
        let clips = (0..self.count).into_par_iter().with_max_len(1);
        clips.map(run).collect()
    }

    /// The logits of one form, as many as there are classes and all finite.
    fn logits(
        &self,
        (form, classifier): (&'static str, &Classifier<'_>),
        clip: usize,
        input: Input<'_>,
    ) -> Result<Vec<f32>, AnswerError> {
        let logits = classifier(input).map_err(|source| AnswerError::Clip { clip, source })?;
        let classes = self.set.classes().len();
        if logits.len() != classes {
            let logits = logits.len();
            return Err(AnswerError::Classes { classes, logits });
        }
        if logits.iter().all(|logit| logit.is_finite()) {
            Ok(logits)
        } else {
            Err(AnswerError::NotFinite { clip, form })
        }
    }
}

/// A clip as networks read it.
fn input(clip: &toeplite_clips::Input) -> Input<'_> {
    match clip {
        toeplite_clips::Input::Tokens(tokens) => Input::Tokens(tokens),
        toeplite_clips::Input::Frames { width, values } => {
            let shape = (values.len() / width, *width);
            let frames = ArrayView2::from_shape(shape, values);
            Input::Frames(frames.expect("whole frames"))
        }
    }
}

/// What a classifier made of clips.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipEvaluation {
    /// Clips that were read.
    pub clips: usize,
    /// Share of them that the classifier took for what they are.
    pub accuracy: f64,
    /// The same class by class, and what they were taken for.
    pub classes: Classes,
    /// The same speaker by speaker, where they are known.
    pub speakers: Option<Vec<Class>>,
    /// `[clips, classes]`.
    pub logits: Array2<f32>,
}

/// Asks `classifier` for the class of each of `clips`. `progress` is told how many are done, from several threads.
///
/// # Errors
/// There are no clips, or the classifier fails on one.
pub fn evaluate_clips(
    clips: &Chosen<'_>,
    classifier: &Classifier<'_>,
    progress: impl Fn(usize) + Sync,
) -> Result<ClipEvaluation, AnswerError> {
    let judge = |clip, input: Input<'_>, label| {
        let logits = clips.logits(("blob", classifier), clip, input)?;
        Ok((clip, label, logits))
    };
    let judged = clips.each(judge, progress)?;
    let mut classes = Classes::new(clips.set.classes());
    let (mut speakers, mut right) = (Speakers::default(), 0);
    for (clip, label, logits) in &judged {
        let answer = answer(logits);
        classes.count(*label as usize, answer as usize);
        right += usize::from(*label == answer);
        if let Some(speaker) = clips.set.speaker(*clip) {
            speakers.count(speaker, *label == answer);
        }
    }
    let shape = (judged.len(), clips.set.classes().len());
    let logits = judged
        .into_iter()
        .flat_map(|(_, _, logits)| logits)
        .collect();
    Ok(ClipEvaluation {
        clips: shape.0,
        accuracy: right as f64 / shape.0 as f64,
        classes,
        speakers: speakers.all(),
        logits: Array2::from_shape_vec(shape, logits).expect("logits are counted"),
    })
}

/// The class with the largest logit, the first among equals.
fn answer(logits: &[f32]) -> u32 {
    argmax(ArrayView1::from(logits))
}

/// Three ways of running a classifier.
#[derive(Clone, Copy)]
pub struct Forms<'a> {
    /// The network as trained, by FFT.
    pub fft: &'a Classifier<'a>,
    /// Its weights in f32 with the blob's recurrences.
    pub recurrence: &'a Classifier<'a>,
    /// The blob, through the runtime.
    pub blob: &'a Classifier<'a>,
}

/// Share of the clips that were taken for what they are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Accuracy {
    /// By the network as trained, by FFT.
    pub fft: f64,
    /// By its weights in f32 with the blob's recurrences.
    pub recurrence: f64,
    /// By the blob, through the runtime.
    pub blob: f64,
}

/// How a model's answers differ from those of the network that it came from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClipComparison {
    /// Positions of a clip, at most.
    pub length: usize,
    /// Clips that were read.
    pub clips: usize,
    /// Share of them that were taken for what they are.
    pub accuracy: Accuracy,
    /// Share of them that were taken for what the network as trained takes them for.
    pub agreement: PerForm,
    /// Largest difference of a logit from that network's.
    pub max_logit_error: PerForm,
    /// Mean of these differences, over clips and classes.
    pub mean_logit_error: PerForm,
}

/// Agreement below which one doubts that the model came from the network.
const SUSPICIOUS: f64 = 0.9;

/// Fewest clips that say something about it.
const ENOUGH: usize = 20;

impl ClipComparison {
    /// What makes one doubt that the model came from the network, if anything does.
    pub fn doubt(&self) -> Option<String> {
        let agreement = self.agreement.blob.min(self.agreement.recurrence);
        (self.clips >= ENOUGH && agreement < SUSPICIOUS).then(|| {
            format!(
                "in clips of {} the model agrees with the network on {:.1}% alone: was this model converted from this \
                 checkpoint? If it was, it needs more states or taps, or weights of more bits",
                self.length,
                100.0 * agreement
            )
        })
    }
}

/// One clip in all forms: those of the network, the recurrence and the blob.
struct Judged {
    right: [bool; 3],
    /// Of the recurrence and the blob.
    deviations: [Deviation; 2],
}

/// How the logits of a clip differ from the network's.
struct Deviation {
    agrees: bool,
    largest: f64,
    sum: f64,
}

impl Deviation {
    fn of(logits: &[f32], reference: &[f32]) -> Self {
        let errors = || {
            let pairs = logits.iter().zip(reference);
            pairs.map(|(a, b)| f64::from((a - b).abs()))
        };
        Self {
            agrees: answer(logits) == answer(reference),
            largest: errors().fold(0.0, f64::max),
            sum: errors().sum(),
        }
    }
}

/// Compares the forms of a classifier on clips of at most `length` positions. `progress` is told how many clips are
/// done, from several threads.
///
/// # Errors
/// There are no clips, or a form fails on one.
pub fn compare_clips(
    clips: &Chosen<'_>,
    forms: &Forms<'_>,
    length: usize,
    progress: impl Fn(usize) + Sync,
) -> Result<ClipComparison, AnswerError> {
    let judge = |clip, input: Input<'_>, label| {
        let logits = |form| clips.logits(form, clip, input);
        let fft = logits(("fft", forms.fft))?;
        let others = [
            logits(("recurrence", forms.recurrence))?,
            logits(("blob", forms.blob))?,
        ];
        let right = |logits: &[f32]| answer(logits) == label;
        Ok(Judged {
            right: [right(&fft), right(&others[0]), right(&others[1])],
            deviations: others.map(|logits| Deviation::of(&logits, &fft)),
        })
    };
    let judged = clips.each(judge, progress)?;
    let count = judged.len() as f64;
    let share = |yes: &dyn Fn(&Judged) -> bool| {
        judged.iter().filter(|clip| yes(clip)).count() as f64 / count
    };
    let both = |f: &dyn Fn(usize) -> f64| PerForm {
        recurrence: f(0),
        blob: f(1),
    };
    let largest = |form: usize| {
        let errors = judged.iter().map(|clip| clip.deviations[form].largest);
        errors.fold(0.0, f64::max)
    };
    let mean = |form: usize| {
        let sum: f64 = judged.iter().map(|clip| clip.deviations[form].sum).sum();
        sum / (count * clips.set.classes().len() as f64)
    };
    Ok(ClipComparison {
        length,
        clips: judged.len(),
        accuracy: Accuracy {
            fft: share(&|clip| clip.right[0]),
            recurrence: share(&|clip| clip.right[1]),
            blob: share(&|clip| clip.right[2]),
        },
        agreement: both(&|form| share(&|clip| clip.deviations[form].agrees)),
        max_logit_error: both(&largest),
        mean_logit_error: both(&mean),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use toeplite_clips::{Cut, TokenClips};

    /// Texts `[label, guess, guess]`: what a form that reads a guess answers.
    fn clips(texts: &[[u8; 3]]) -> ClipSet {
        let texts = texts.iter().map(|text| (u32::from(text[0]), text.to_vec()));
        let names = ["a", "b", "c"].map(String::from).to_vec();
        ClipSet::Tokens(TokenClips::in_memory(
            "clips".into(),
            names,
            texts,
            3,
            Cut::Beginning,
        ))
    }

    /// Answers what stands at `position`, with a logit of `size`.
    fn guess(position: usize, size: f32) -> impl Fn(Input<'_>) -> Result<Vec<f32>, Cause> {
        move |input| {
            let Input::Tokens(tokens) = input else {
                return Err("tokens are expected".into());
            };
            let logit = |class| if tokens[position] == class { size } else { 0.0 };
            Ok((0..3).map(logit).collect())
        }
    }

    #[test]
    fn answers_are_counted_by_class() {
        let set = clips(&[[0, 0, 0], [0, 2, 0], [2, 2, 0], [1, 1, 0]]);
        let chosen = Chosen::new(&set, None);
        let found = evaluate_clips(&chosen, &guess(1, 1.0), |_| {}).unwrap();
        assert_eq!((found.clips, found.accuracy), (4, 0.75));
        let rows: [&[u64]; 3] = [&[1, 0, 1], &[0, 1, 0], &[0, 0, 1]];
        assert_eq!(found.classes.confusion().unwrap(), rows);
        assert_eq!(found.logits.row(1).to_vec(), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn forms_are_judged_by_the_label_and_by_the_network() {
        // label, what the network says, what the blob says
        let set = clips(&[[0, 0, 0], [1, 0, 1], [2, 1, 1], [1, 1, 2]]);
        let forms = Forms {
            fft: &guess(1, 1.0),
            recurrence: &guess(1, 1.5),
            blob: &guess(2, 1.0),
        };
        let told = AtomicUsize::new(0);
        let progress = |done| {
            told.fetch_max(done, Ordering::Relaxed);
        };
        let found = compare_clips(&Chosen::new(&set, None), &forms, 3, progress).unwrap();
        let Accuracy {
            fft,
            recurrence,
            blob,
        } = found.accuracy;
        assert_eq!([fft, recurrence, blob], [0.5, 0.5, 0.5]);
        let pair = |form: PerForm| [form.recurrence, form.blob];
        assert_eq!(pair(found.agreement), [1.0, 0.5]);
        assert_eq!(pair(found.max_logit_error), [0.5, 1.0]);
        // Two of three logits are off by one in two of four clips.
        let means = pair(found.mean_logit_error);
        assert!((means[0] - 0.5 / 3.0).abs() < 1e-12 && (means[1] - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(told.into_inner(), 4);
        assert_eq!(found.doubt(), None, "four clips say nothing");
    }

    #[test]
    fn a_limit_spreads_over_all_clips() {
        let texts: Vec<[u8; 3]> = (0..10).map(|i| [i / 5, 0, 0]).collect();
        let set = clips(&texts);
        let chosen = Chosen::new(&set, Some(4));
        let numbers: Vec<usize> = (0..4).map(|i| chosen.number(i)).collect();
        assert_eq!(numbers, [0, 2, 5, 7]);
        assert_eq!(
            evaluate_clips(&chosen, &guess(1, 1.0), |_| {})
                .unwrap()
                .accuracy,
            0.5
        );
        assert_eq!(Chosen::new(&set, Some(99)).len(), 10);
    }

    #[test]
    fn a_model_of_something_else_is_doubted() {
        let texts: Vec<[u8; 3]> = (0..40).map(|i| [0, 0, u8::from(i % 5 == 0)]).collect();
        let set = clips(&texts);
        let (network, other) = (guess(1, 1.0), guess(2, 1.0));
        let compare = |blob: &Classifier<'_>| {
            let forms = Forms {
                fft: &network,
                recurrence: &network,
                blob,
            };
            let compared = compare_clips(&Chosen::new(&set, None), &forms, 3, |_| {});
            compared.unwrap().doubt()
        };
        assert!(compare(&other).unwrap().contains("80.0%"));
        assert_eq!(compare(&network), None);
    }

    #[test]
    fn what_gives_no_figure_is_named() {
        let set = clips(&[[0, 0, 0], [1, 0, 0]]);
        let evaluate = |classifier: &Classifier<'_>, limit| {
            let chosen = Chosen::new(&set, limit);
            let error = evaluate_clips(&chosen, classifier, |_| {}).unwrap_err();
            error.to_string()
        };
        assert!(evaluate(&guess(1, f32::NAN), None).contains("not finite"));
        assert!(evaluate(&guess(1, 1.0), Some(0)).contains("no clips"));
        assert!(evaluate(&|_| Ok(vec![0.0; 2]), None).contains("3 classes"));
        let fails = |input: Input<'_>| match input {
            Input::Tokens(tokens) if tokens[0] == 1 => Err("it fails".into()),
            _ => Ok(vec![0.0; 3]),
        };
        assert_eq!(evaluate(&fails, None), "clip 1: it fails");
    }
}

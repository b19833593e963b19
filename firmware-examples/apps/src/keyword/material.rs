//! What is heard by whom: model, front end and names, compiled in or of an image.

use super::FrontEnd;
use crate::partition::Refusal;
use toeplite::classifier::{FrameModel, Input};
use toeplite_audio::detect;

#[cfg(feature = "partition")]
pub use stored::choose;
#[cfg(feature = "partition")]
use toeplite::image::Classes;

/// Names of the classes, by number.
#[derive(Clone, Copy, Debug)]
pub enum Names<'a> {
    /// Compiled in.
    BuiltIn(&'a [&'a str]),
    /// Of an image.
    #[cfg(feature = "partition")]
    Stored(Classes<'a>),
}

impl<'a> Names<'a> {
    /// How many there are.
    pub fn count(&self) -> usize {
        match self {
            Self::BuiltIn(names) => names.len(),
            #[cfg(feature = "partition")]
            Self::Stored(names) => names.count(),
        }
    }

    /// The name of a class.
    pub fn get(&self, class: usize) -> Option<&'a str> {
        match *self {
            Self::BuiltIn(names) => names.get(class).copied(),
            #[cfg(feature = "partition")]
            Self::Stored(mut names) => names.nth(class),
        }
    }

    /// A bit for each of the first 64 classes that is a word, not silence or other speech.
    pub fn words(&self) -> u64 {
        let is_word = |class: &usize| self.get(*class).is_some_and(detect::is_word);
        (0..64)
            .filter(is_word)
            .fold(0, |words, class| words | 1 << class)
    }
}

/// A model, the front end that it was trained with, and the names of its classes.
pub struct Material<'a, F: FrontEnd<'a>> {
    /// The classifier.
    pub model: F::Model,
    /// The front end's settings and tables.
    pub tables: F::Tables,
    /// The classes.
    pub names: Names<'a>,
}

impl<'a, F: FrontEnd<'a>> Material<'a, F> {
    /// Refuses parts that do not belong together: other frames or classes than the model has.
    ///
    /// # Errors
    /// [`Refusal::NoFrames`], [`Refusal::OtherFrames`] or [`Refusal::OtherClasses`].
    pub fn check(&self) -> Result<(), Refusal> {
        let Input::Frames { numbers: needed } = self.model.input() else {
            return Err(Refusal::NoFrames);
        };
        let found = F::config(&self.tables).bands;
        if needed != found {
            return Err(Refusal::OtherFrames { needed, found });
        }
        let (needed, found) = (self.model.classes(), self.names.count());
        if needed != found {
            return Err(Refusal::OtherClasses { needed, found });
        }
        Ok(())
    }
}

/// That of an image.
#[cfg(feature = "partition")]
mod stored {
    use super::*;
    use crate::keyword::Memory;
    use crate::partition::{self, Budget, Origin};
    use toeplite::classifier::FrameSession;
    use toeplite::image::{Image, kind};
    use toeplite_audio::stored::Stored;

    impl<'a, F: FrontEnd<'a>> Material<'a, F> {
        /// That of an image.
        fn stored(image: &Image<'a>) -> Result<Self, Refusal> {
            let model = F::Model::from_bytes(image.model())?;
            let stored = image.section(kind::FRONT_END);
            let stored = Stored::from_bytes(stored.ok_or(Refusal::NoFrontEnd)?);
            let stored = stored.map_err(Refusal::FrontEnd)?;
            let names = Names::Stored(image.classes().ok_or(Refusal::NoClasses)?);
            let tables = F::stored(&stored).map_err(Refusal::FrontEnd)?;
            Ok(Self {
                model,
                tables,
                names,
            })
        }

        /// Refuses a rate that the microphone has not.
        fn check_rate(&self, rates: Option<&[u32]>) -> Result<(), Refusal> {
            let needed = F::config(&self.tables).rate;
            match rates {
                Some(rates) if !rates.contains(&needed) => {
                    let found = rates.iter().copied().max().unwrap_or_default();
                    Err(Refusal::Rate { needed, found })
                }
                _ => Ok(()),
            }
        }

        /// Refuses what the memory has no room for.
        fn check_budget(&self, memory: &Memory<'a, F>) -> Result<(), Refusal> {
            let (config, room) = (F::config(&self.tables), F::room(&memory.front_end));
            let kept = self.model.memory_needed() - self.model.scratch_bytes();
            for (of, needed, found) in [
                (
                    Budget::Session,
                    self.model.memory_needed(),
                    memory.session.len(),
                ),
                (Budget::Frame, config.frame, room.frame),
                (
                    Budget::Work,
                    4 * F::work_words(&config),
                    memory.session.len().saturating_sub(kept),
                ),
                (Budget::Bands, config.bands, memory.features.len()),
                (Budget::Bands, config.levels(), room.levels),
                (
                    Budget::Classes,
                    self.model.classes(),
                    memory.posteriors.len(),
                ),
            ] {
                Refusal::unless_enough(of, needed, found)?;
            }
            Ok(())
        }
    }

    /// That of the image in `partition`, if all is good, or `built_in`. `rates`: samples a second that the microphone gives;
    /// none where any will do. What is returned of the partition fits `memory`, and
    /// passed its known-answer test.
    pub fn choose<'a, F: FrontEnd<'a>>(
        partition: &'a [u8],
        built_in: Material<'a, F>,
        rates: Option<&[u32]>,
        memory: &mut Memory<'a, F>,
    ) -> (Material<'a, F>, Origin) {
        match stored(partition, rates, memory) {
            Ok(material) => (material, Origin::Partition),
            Err(refusal) => (built_in, Origin::BuiltIn(refusal)),
        }
    }

    fn stored<'a, F: FrontEnd<'a>>(
        partition: &'a [u8],
        rates: Option<&[u32]>,
        memory: &mut Memory<'a, F>,
    ) -> Result<Material<'a, F>, Refusal> {
        let image = partition::image(partition)?;
        let material = Material::stored(&image)?;
        material.check()?;
        material.check_rate(rates)?;
        material.check_budget(memory)?;
        let needed = material.model.memory_needed();
        let session = material.model.session(memory.session);
        let mut session = session.map_err(|error| partition::memory(error, needed))?;
        session.self_test().map_err(|_| Refusal::SelfTest)?;
        Ok(material)
    }
}

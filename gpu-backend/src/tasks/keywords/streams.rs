//! Long recordings, as a device hears them: words one after the other with pauses, and speech without any of them.

use super::super::{Result, TaskError};
use super::{Clip, Part, RATE, Speech, write_wav};
use crate::data::sounds::signal::{mix_in, noise, ratio};
use crate::data::{Draw, Permutation, mix};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Seconds of a stream, at most.
const LONGEST: usize = 600;
/// dB of the noise in the room.
const ROOM: f64 = -62.0;

/// Writes `streams/PART/words.wav` with `words.txt`, where each word begins and ends (a label track as Audacity has it), and
/// `streams/PART/speech-N.wav`.
pub fn write(folder: &Path, seed: u64, words: &[Clip], speech: &[Speech]) -> Result<()> {
    for part in [Part::Valid, Part::Test] {
        let folder = folder.join("streams").join(part.name());
        let words: Vec<_> = words.iter().filter(|word| word.part == part).collect();
        write_words(&folder, Draw::of(seed, "words", part as u64), seed, &words)?;
        let speech: Vec<_> = speech.iter().filter(|s| s.part == part).collect();
        write_speech(&folder, Draw::of(seed, "speech", part as u64), &speech)?;
    }
    Ok(())
}

fn write_words(folder: &Path, mut draw: Draw, seed: u64, words: &[&Clip]) -> Result<()> {
    if words.is_empty() {
        return Ok(());
    }
    let order = Permutation::new(words.len() as u64, mix(seed));
    let (mut stream, mut track) = (Vec::new(), String::new());
    let seconds = |samples: usize| samples as f64 / f64::from(RATE);
    for place in 0..words.len() {
        pause(&mut stream, draw.between(0.8, 2.0));
        let word = words[order.at(place as u64) as usize];
        let first = stream.len();
        stream.extend_from_slice(&word.samples);
        let (first, last) = (seconds(first), seconds(stream.len()));
        // writing to a string cannot fail
        let _ = writeln!(track, "{first:.4}\t{last:.4}\t{}", word.class);
    }
    pause(&mut stream, 1.0);
    in_room(&mut stream, &mut draw);
    write_wav(&folder.join("words.wav"), &stream)?;
    let file = folder.join("words.txt");
    fs::write(&file, track).map_err(TaskError::io("write", &file))
}

fn write_speech(folder: &Path, mut draw: Draw, speech: &[&Speech]) -> Result<()> {
    let (mut stream, mut number) = (Vec::new(), 0);
    for (index, recording) in speech.iter().enumerate() {
        stream.extend_from_slice(&recording.samples);
        pause(&mut stream, draw.between(0.2, 1.0));
        if stream.len() >= LONGEST * RATE as usize || index + 1 == speech.len() {
            in_room(&mut stream, &mut draw);
            write_wav(&folder.join(format!("speech-{number:02}.wav")), &stream)?;
            (stream, number) = (Vec::new(), number + 1);
        }
    }
    Ok(())
}

fn pause(stream: &mut Vec<f32>, seconds: f64) {
    let samples = (seconds * f64::from(RATE)) as usize;
    stream.resize(stream.len() + samples, 0.0);
}

fn in_room(stream: &mut [f32], draw: &mut Draw) {
    let noise = noise(draw, stream.len());
    mix_in(stream, &noise, ratio(ROOM));
}

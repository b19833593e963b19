//! What is said of classifiers, and what is refused.

use super::made::{error, json, made, streamed, toeplite};
use super::{CLASSES, FRAME, classifier};
use serde_json::{Value, json};
use std::path::Path;
use toeplite_tests::{checkpoint, small_config};
use toeplite_tools::checkpoint::config::Pooling;

#[test]
fn what_a_classifier_is_is_told() {
    for (name, config) in streamed() {
        let made = made(config);
        let (report, meta) = (made.path("r.html"), made.path("meta.rs"));
        made.convert(&["--report", &report, "--meta", &meta]);
        let page = std::fs::read_to_string(report).unwrap();
        assert!(page.contains("<svg"), "{name}");
        let meta = std::fs::read_to_string(meta).unwrap();
        assert!(meta.contains("CLASSES: usize = 5"), "{meta}");
        let inspected = json(&["inspect", &made.path("model.toep"), "--json"]);
        let frames = name == "frames";
        let frame = if frames { json!(FRAME) } else { Value::Null };
        let pooling = if frames { "last" } else { "mean" };
        let expected = json!({ "classes": CLASSES, "pooling": pooling, "frame_dim": frame });
        assert_eq!(inspected["classifier"], expected);
        for subject in ["model.toep", "checkpoint"] {
            let out = toeplite(&["inspect", &made.path(subject)]);
            let text = String::from_utf8(out.stdout).unwrap();
            let read = if frames {
                "numbers of a frame"
            } else {
                "vocabulary"
            };
            assert!(text.contains("5, of the") && text.contains(read), "{text}");
        }
    }
}

#[test]
fn what_does_not_belong_to_classifiers_is_refused_by_name() {
    let made = made(classifier(Pooling::Mean, None));
    made.convert(&[]);
    let text = made.path("text.txt");
    std::fs::write(&text, "some text").unwrap();
    let language = made.path("language");
    checkpoint(small_config(), 1)
        .save(Path::new(&language))
        .unwrap();
    let spoken = made.path("language.toep");
    json(&[
        "convert", &language, "-o", &spoken, "--order", "1", "--fir", "1", "--json",
    ]);
    let [own, model, clips, out] =
        ["checkpoint", "model.toep", "clips.safetensors", "o.toep"].map(|name| made.path(name));
    let (page, folder) = (made.path("p.html"), made.path("checkpoint"));
    for (arguments, expected) in [
        (
            vec!["compare", &own, &model, "--text", &text],
            "is a classifier: it has one answer",
        ),
        (vec!["eval", &own, "--text", &text], "--clips PATH"),
        (vec!["eval", &model, "--text", &text], "--clips PATH"),
        (
            vec!["compare", &language, &spoken, "--clips", &clips],
            "is a language model",
        ),
        (vec!["eval", &spoken, "--clips", &clips], "--text FILE"),
        (
            vec!["compare", &own, &spoken, "--clips", &clips],
            "logits 11 in the model, 5 in the checkpoint",
        ),
        (
            vec!["eval", &model, "--clips", &clips, "--hop", "3"],
            "--hop belongs to folders of wav files",
        ),
        (
            vec!["eval", &model, "--clips", &clips, "--classes", "a,b"],
            "2 classes (a, b)",
        ),
        (
            vec!["eval", &model, "--clips", &folder],
            "a folder with one folder of text files a class",
        ),
        (
            vec!["eval", &model, "--clips", &text],
            "no safetensors file",
        ),
        (vec!["run", &model], "is a classifier"),
        (
            vec!["convert", &own, "-o", &out, "--loss", "1"],
            "--loss goes by what a classifier answers",
        ),
        (
            vec!["convert", &own, "-o", &out, "--budget-ram", "9999"],
            "--budget-ram goes by what a classifier answers",
        ),
        (
            vec!["convert", &own, "-o", &out, "--calibrate", &text],
            "--clips PATH takes clips",
        ),
        (
            vec!["convert", &own, "-o", &out, "--weights", "int4"],
            "give clips to ask it about, --clips PATH",
        ),
        (
            vec![
                "convert",
                &own,
                "-o",
                &out,
                "--report",
                &page,
                "--report-text",
                &text,
            ],
            "toeplite compare --clips",
        ),
    ] {
        let error = error(&arguments);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    for (more, expected) in [
        (
            vec!["--budget-instructions", "9"],
            "--budget-instructions belongs to language models",
        ),
        (vec!["--order", "2"], "--clips has nothing to do here"),
    ] {
        let own = ["convert", &own, "-o", &out, "--clips", &clips];
        let error = error(&[&own[..], &more].concat());
        assert!(error.contains(expected), "{more:?}: {error}");
    }
    let mut image = classifier(Pooling::Mean, None);
    (image.causal, image.toeplitz.image) = (false, Some([4, 4]));
    let picture = made.path("picture");
    checkpoint(image, 1).save(Path::new(&picture)).unwrap();
    for arguments in [
        vec!["convert", &picture, "-o", &out],
        vec!["eval", &picture, "--clips", &clips],
    ] {
        let error = error(&arguments);
        assert!(error.contains("toeplitz.image"), "{arguments:?}: {error}");
    }
    let spoken = error(&["convert", &language, "-o", &out, "--clips", &clips]);
    assert!(
        spoken.contains("--clips belongs to classifiers"),
        "{spoken}"
    );
    assert!(!Path::new(&out).exists());
    let frames = super::made::made(classifier(Pooling::Mean, Some(FRAME)));
    frames.convert(&[]);
    let of_frames = frames.path("model.toep");
    let sounds = error(&["eval", &of_frames, "--clips", &folder]);
    assert!(sounds.contains("--hop N, data.hop"), "{sounds}");
    let tokens = error(&["eval", &of_frames, "--clips", &clips]);
    assert!(tokens.contains("no tensor `features`"), "{tokens}");
}

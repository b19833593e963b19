//! Masked language models.

use super::{Place, assert_same};

const RUN: &str = r#"
    [model]
    preset = "shakespeare-32x2"
    dim = 16
    layers = 1
    task = "masked-lm"
    vocab_size = 257
    [data]
    kind = "text-bytes"
    train = "text.txt"
    valid = "text.txt"
    mask_token = 256
    mask_probability = 0.3
    [train]
    steps = 4
    batch = 2
    length = 24
    seed = 5
    device = "cpu"
"#;

#[test]
fn the_same_tokens_are_hidden_as_in_training_each_time() {
    let place = Place::new();
    place.write(
        "text.txt",
        "to be, or not to be, that is the question: ".repeat(9),
    );
    place.write("run.toml", RUN);
    place.succeed(&["train", "--config", "run.toml", "--json"]);
    let done = &place.evaluate("run/best", "text.txt", &["--tokens", "100"])[0];
    assert_same(done, &place.validation("run"));
    assert!(done["bits_per_byte"].is_null());
    let share = done["tokens"].as_f64().unwrap() / (43.0 * 9.0);
    assert!((0.2..0.4).contains(&share), "{share}");
    let other = &place.evaluate("run/best", "text.txt", &["--mask-seed", "6"])[0];
    assert_ne!(other["loss"], done["loss"]);

    place.copy_bare("run/best", "away/bare");
    let arguments = ["eval", "away/bare", "--data", "text.txt", "--device=cpu"];
    assert!(place.fail(&arguments).contains("--mask-token"));
    let given = [
        "--mask-token=256",
        "--mask-probability=0.3",
        "--mask-seed=5",
    ];
    assert_same(&place.evaluate("away/bare", "text.txt", &given)[0], done);
    let mask = place.fail(
        &[
            &arguments[..],
            &["--mask-token=257", "--mask-probability=1"],
        ]
        .concat(),
    );
    assert!(mask.contains("from 0 to 256"), "{mask}");
    let folder = place.fail(&["eval", "run/best", "--data", "run", "--device=cpu"]);
    assert!(folder.contains("task = masked-lm: give a text"), "{folder}");
}

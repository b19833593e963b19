//! Texts through a tokenizer.

use super::{Place, exists};
use std::f64::consts::LN_2;
use std::fs;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{NormalizerWrapper, Tokenizer, TokenizerBuilder, TruncationParams};

const RUN: &str = r#"
    [model]
    preset = "shakespeare-32x2"
    dim = 16
    layers = 1
    vocab_size = 300
    [data]
    kind = "text-tokenizer"
    tokenizer = "words.json"
    train = "train.txt"
    valid = "valid.txt"
    [train]
    steps = 20
    batch = 4
    length = 16
    device = "cpu"
    [optimiser]
    rate = 1e-2
"#;

/// Lines of different lengths, and characters of several bytes.
fn text(lines: usize) -> String {
    let line = |i| match i % 3 {
        0 => "to be 到此一遊 or not to be\n",
        1 => "Straße im Süden, der naïve Tag beginnt\n",
        _ => "\n",
    };
    (0..lines).map(line).collect()
}

/// Pairs of bytes, learnt from the text; its file asks for truncation, as many do.
fn learn(place: &Place) -> Tokenizer {
    let byte_level = ByteLevel::default().add_prefix_space(false);
    let mut tokenizer = TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(None::<NormalizerWrapper>)
        .with_pre_tokenizer(Some(byte_level))
        .with_post_processor(Some(byte_level))
        .with_decoder(Some(byte_level))
        .build()
        .unwrap();
    let mut trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(300)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    tokenizer.train(&mut trainer, text(9).lines()).unwrap();
    let truncation = TruncationParams {
        max_length: 5,
        ..TruncationParams::default()
    };
    tokenizer.with_truncation(Some(truncation)).unwrap();
    let path = place.path("words.json");
    tokenizer.save(&path, false).unwrap();
    let mut read = Tokenizer::from_file(&path).unwrap();
    read.with_truncation(None).unwrap();
    read
}

#[test]
fn tokens_are_learnt_and_measured_in_bytes_of_the_text() {
    let place = Place::new();
    let tokenizer = learn(&place);
    let valid = text(50);
    place.write("train.txt", text(400));
    place.write("valid.txt", &valid);
    place.write("run.toml", RUN);
    let small = [
        "train",
        "--config",
        "run.toml",
        "--set=model.vocab_size=299",
    ];
    let error = place.fail(&small);
    assert!(
        error.contains("words.json") && error.contains("vocab_size = 300"),
        "{error}"
    );
    assert!(!exists(&place.path("run")));
    place.succeed(&["train", "--config", "run.toml", "--json"]);
    // The run's copy is enough, and what it goes on with.
    place.write("words.json", "another tokenizer");
    place.succeed(&["train", "--resume", "run", "--set=train.steps=24", "--json"]);

    let done = &place.evaluate("run/best", "valid.txt", &["--length", "32"])[0];
    let lines = valid.split_inclusive('\n');
    let ids = lines.map(|l| tokenizer.encode_fast(l, false).unwrap().get_ids().to_vec());
    let ids: Vec<u32> = ids.flatten().collect();
    assert_eq!(done["tokens"].as_u64().unwrap() as usize, ids.len() - 1);
    let first = tokenizer.decode(&ids[..1], false).unwrap().len();
    let nats = done["loss"].as_f64().unwrap() * (ids.len() - 1) as f64;
    let bits = nats / LN_2 / (valid.len() - first) as f64;
    assert!(
        (done["bits_per_byte"].as_f64().unwrap() - bits).abs() < 1e-9,
        "{done}"
    );
    assert!(bits < 8.0 && valid.len() > 2 * ids.len());
    // Each text was cut once.
    assert_eq!(fs::read_dir(place.path("cache")).unwrap().count(), 2);

    let prompt = "Straße 到";
    let made = place.succeed(&[
        "sample",
        "run/best",
        "--prompt",
        prompt,
        "--tokens",
        "9",
        "--device=cpu",
        "--json",
    ]);
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let mut ids = tokenizer
        .encode_fast(prompt, false)
        .unwrap()
        .get_ids()
        .to_vec();
    let more: Vec<u32> = serde_json::from_value(made["tokens"].clone()).unwrap();
    assert_eq!(more.len(), 9);
    ids.extend(more);
    assert_eq!(made["text"], tokenizer.decode(&ids, false).unwrap());
    assert!(made["text"].as_str().unwrap().starts_with(prompt));

    place.copy_bare("run/best", "away/bare");
    let error = place.fail(&["eval", "away/bare", "--data", "valid.txt", "--device=cpu"]);
    assert!(error.contains("--tokenizer FILE"), "{error}");
}

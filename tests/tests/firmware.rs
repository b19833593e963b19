//! From a checkpoint to emulated devices. Needs what `cargo xtask setup` installs; fails, saying so,
//! without.
#![allow(missing_docs)]

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;
use toeplite::format::known_frame;
use toeplite::{LogitsHash, classifier, fixed, window};
use toeplite_tests::{classifier_of, write_model};
use toeplite_tools::blob::{self, Blob, SessionMemory, Target, WeightType};
use toeplite_tools::checkpoint::Checkpoint;
use toeplite_tools::checkpoint::config::Pooling;
use toeplite_tools::convert::network::{operators, trained_kernels};
use toeplite_tools::convert::{Method, convert_layers};
use xtask::boards::{Board, F32, FIXED};
use xtask::command::cargo_embedded;
use xtask::firmware::{self, Firmware};
use xtask::host::Draw;
use xtask::model::{Files, Model, Storage, convert, named};
use xtask::report::Report;
use xtask::{elf, host, paths, qemu};

/// Of a run, on a loaded machine.
const LIMIT: Duration = Duration::from_secs(300);
/// 45,728 parameters: for every board.
const SMALL: &str = "shakespeare-32x2";
/// 390,336 parameters: for boards with 512 KB of flash.
const LARGE: &str = "shakespeare-64x9";

fn model(name: &str) -> &'static Model {
    converted(name, (F32, "portable"))
}

/// The model of a numeric contract as the core's kernels read it: the portable order is that of most.
fn converted(name: &str, (contract, core): (&str, &str)) -> &'static Model {
    static MODELS: [OnceLock<Model>; 8] = [const { OnceLock::new() }; 8];
    let core = match core {
        "m4" | "m7" => "m4",
        _ => "portable",
    };
    let index = usize::from(name == LARGE)
        + 2 * usize::from(core == "m4")
        + 4 * usize::from(contract == FIXED);
    MODELS[index].get_or_init(|| {
        let into = paths::output().join("tests").join(core);
        let into = into.join(named(name, contract));
        convert(
            Path::new(env!("CARGO_BIN_EXE_toeplite-tests-cli")),
            &paths::checkpoint(name),
            Storage::int8(contract, core),
            &into,
        )
        .unwrap()
    })
}

fn board(name: &str) -> Board {
    Board::named(name).unwrap()
}

fn run(firmware: &Firmware, arguments: &str, limit: Duration) -> Report {
    let output = qemu::run(firmware, arguments, limit, |_| ())
        .unwrap()
        .success()
        .unwrap();
    Report::parse(&output.stdout)
}

/// Builds and runs the text example and checks all that must hold for any board and model.
fn text_streams_like_on_the_host(board_name: &str, checkpoint: &str) {
    let core = board(board_name).core;
    streams_like_on_the_host(board_name, converted(checkpoint, (F32, core)));
}

/// The same in integers; without an FPU, no function of the software float library is linked.
fn integers_stream_like_on_the_host(board_name: &str, checkpoint: &str) {
    let model = converted(checkpoint, (FIXED, "portable"));
    let firmware = streams_like_on_the_host(board_name, model);
    if firmware.board.contract() == FIXED {
        let floats = elf::soft_float_functions(&firmware.elf).unwrap();
        assert_eq!(
            floats,
            Vec::<String>::new(),
            "soft-float functions are linked"
        );
    }
}

fn streams_like_on_the_host(board_name: &str, model: &Model) -> Firmware {
    let firmware = firmware::text(&board(board_name), model, &[]).unwrap();
    let panicking = elf::panicking_functions(&firmware.elf).unwrap();
    assert_eq!(
        panicking,
        Vec::<String>::new(),
        "functions that panic are linked"
    );

    let prompt = b"100% PROSPERO.\n  ";
    let arguments = "generate tokens=24 temperature=0.8 top-k=40 seed=7";
    let arguments = format!("{arguments} {}", firmware::prompt(prompt));
    let report = run(&firmware, &arguments, LIMIT);
    let draw = Draw {
        seed: 7,
        thousandths: 800,
        top_k: 40,
    };
    let expected = host::generate(&model.files.blob, prompt, 24, draw).unwrap();
    assert_eq!(
        report.text.escape_ascii().to_string(),
        expected.escape_ascii().to_string()
    );
    assert_eq!(
        report.get("logits_hash").unwrap(),
        host::logits_hash(&model.files.blob).unwrap()
    );
    assert_eq!(report.get("self_test").unwrap(), "passed");
    assert_eq!(report.get("board").unwrap(), board_name);

    let number = |key| report.number(key).unwrap();
    assert_eq!(
        number("session_memory_bytes"),
        model.memory_bytes().unwrap()
    );
    assert_eq!(
        number("model_bytes"),
        model.files.blob.metadata().unwrap().len()
    );
    // What the linker set aside, whatever the firmware says of itself: the memory, and the cell's
    // flag in front of it.
    let reserved = elf::variable_bytes(&firmware.elf, "text", "MEMORY").unwrap();
    let predicted = model.memory_bytes().unwrap().next_multiple_of(16);
    assert_eq!(reserved, predicted + 16);
    assert_eq!(
        report.get("model_identity").unwrap(),
        model.json["identity"]
    );
    let sizes = elf::sizes(&firmware.elf).unwrap();
    assert_eq!(number("static_ram_bytes"), sizes.ram);
    // Between sections there may be a few bytes of padding.
    assert!(
        number("flash_bytes").abs_diff(sizes.flash()) < 64,
        "{sizes:?} {report:?}"
    );
    assert!(number("instructions_per_token_min") > 0);
    firmware
}

#[test]
fn text_on_cortex_m4f() {
    text_streams_like_on_the_host("mps2-an386", SMALL);
}

#[test]
fn text_on_cortex_m7() {
    text_streams_like_on_the_host("mps2-an500", SMALL);
}

#[test]
fn text_on_cortex_m55() {
    text_streams_like_on_the_host("mps3-an547", SMALL);
}

#[test]
fn text_on_cortex_m3() {
    text_streams_like_on_the_host("lm3s6965evb", SMALL);
}

#[test]
fn text_on_cortex_m0() {
    text_streams_like_on_the_host("microbit", SMALL);
}

#[test]
fn text_on_rv32imac() {
    text_streams_like_on_the_host("virt-rv32", SMALL);
}

#[test]
fn large_model_on_cortex_m4f() {
    text_streams_like_on_the_host("mps2-an386", LARGE);
}

#[test]
fn large_model_on_cortex_m7() {
    text_streams_like_on_the_host("mps2-an500", LARGE);
}

#[test]
fn large_model_on_cortex_m55() {
    text_streams_like_on_the_host("mps3-an547", LARGE);
}

#[test]
fn integers_on_cortex_m0() {
    integers_stream_like_on_the_host("microbit", SMALL);
}

#[test]
fn integers_on_cortex_m3() {
    integers_stream_like_on_the_host("lm3s6965evb", SMALL);
}

#[test]
fn integers_on_rv32imac() {
    integers_stream_like_on_the_host("virt-rv32", SMALL);
}

#[test]
fn integers_on_cortex_m4f() {
    integers_stream_like_on_the_host("mps2-an386", SMALL);
}

#[test]
fn integers_on_cortex_m55() {
    integers_stream_like_on_the_host("mps3-an547", SMALL);
}

#[test]
fn large_model_of_integers_on_rv32imac() {
    integers_stream_like_on_the_host("virt-rv32", LARGE);
}

/// Weights of four bits, each core by its own kernels.
#[test]
fn four_bits_on_cores_with_and_without_dsp_and_vectors() {
    for (name, core) in [
        ("mps2-an386", "m4"),
        ("mps3-an547", "m55"),
        ("virt-rv32", "rv32"),
    ] {
        let storage = Storage {
            contract: F32,
            weights: "int4",
            core,
            tolerance: None,
        };
        let into = paths::output().join("tests/int4").join(core);
        let cli = Path::new(env!("CARGO_BIN_EXE_toeplite-tests-cli"));
        let model = convert(cli, &paths::checkpoint(SMALL), storage, &into).unwrap();
        streams_like_on_the_host(name, &model);
    }
}

/// A bundled checkpoint as a bidirectional one, converted for windows of 64 tokens.
fn bidirectional(into: &Path) -> Files {
    let (from, checkpoint) = (paths::checkpoint(SMALL), into.join("checkpoint"));
    std::fs::create_dir_all(&checkpoint).unwrap();
    let weights = "model.safetensors";
    std::fs::copy(from.join(weights), checkpoint.join(weights)).unwrap();
    let config = std::fs::read_to_string(from.join("config.json")).unwrap();
    let masked = config
        .replace("\"causal\": true", "\"causal\": false")
        .replace("causal-lm", "masked-lm");
    std::fs::write(checkpoint.join("config.json"), masked).unwrap();
    let files = Files::in_folder(into);
    let converted = Command::new(env!("CARGO_BIN_EXE_toeplite-tests-cli"))
        .arg("convert")
        .arg(checkpoint)
        .args(["--window", "64", "--target", "m4", "-o"])
        .arg(&files.blob)
        .arg("--meta")
        .arg(&files.meta)
        .status();
    assert!(converted.unwrap().success());
    files
}

/// The host's logits at every token of a window, without a panic path, at the same cost a token for each length.
#[test]
fn windows_on_cortex_m4f() {
    let files = bidirectional(&paths::output().join("tests").join("window"));
    let firmware = firmware::window(&board("mps2-an386"), SMALL, &files).unwrap();
    let panicking = elf::panicking_functions(&firmware.elf).unwrap();
    assert_eq!(panicking, Vec::<String>::new());
    let report = run(&firmware, "", LIMIT);
    let number = |key| report.number(key).unwrap();

    let blob = Blob::read(&files.blob).unwrap();
    let model = window::Model::from_bytes(blob.bytes()).unwrap();
    let mut memory = SessionMemory::of_bytes(model.memory_needed());
    let mut session = model.session(memory.as_mut_slice()).unwrap();
    let tokens: Vec<u32> = (0..64).map(|i| (i * 97 + 13) % 256).collect();
    assert_eq!(number("logits_hash"), session.hash_run(&tokens).unwrap());

    assert_eq!((number("tokens"), number("few_tokens")), (64, 32));
    let (a_token, of_few) = (number("window") / 64, number("few") / 32);
    eprintln!("{a_token} instructions a token, {} a head", number("head"));
    assert!(a_token > 1000, "{a_token} instructions are not a token");
    assert!(
        a_token.abs_diff(of_few) < a_token / 100,
        "{of_few} {a_token}"
    );
}

/// A bundled checkpoint's layers as a classifier of frames of 10 numbers, by the mean over its positions.
fn keywords(into: &Path, contract: &str) -> Files {
    let checkpoint = Checkpoint::open(&paths::checkpoint(SMALL)).unwrap();
    let checkpoint = classifier_of(checkpoint, Some(10), Pooling::Mean);
    let operators = operators(&checkpoint).unwrap();
    let kernels = trained_kernels(&operators, checkpoint.config.train_len);
    let layers = convert_layers(&kernels, &Method::default()).unwrap();
    let layers: Vec<_> = layers.into_iter().map(|layer| layer.modal).collect();
    let storage = blob::Storage {
        weights: WeightType::Int8,
        target: Target::M4,
    };
    let blob = match contract {
        FIXED => blob::write_fixed(&checkpoint, &layers, |_| WeightType::Int8),
        _ => blob::write(&checkpoint, &layers, storage),
    };
    let blob = blob.unwrap();
    write_model(into, &blob, None).unwrap();
    Files::in_folder(into)
}

/// The host's logits of a clip and of what is listened to for long, without a panic path, each frame at the same cost.
#[test]
fn classifiers_on_cortex_m4f() {
    let files = keywords(&paths::output().join("tests").join("classifier"), F32);
    let firmware = firmware::classifier(&board("mps2-an386"), SMALL, &files).unwrap();
    let panicking = elf::panicking_functions(&firmware.elf).unwrap();
    assert_eq!(panicking, Vec::<String>::new());
    let report = run(&firmware, "", LIMIT);
    let number = |key| report.number(key).unwrap();

    let blob = Blob::read(&files.blob).unwrap();
    let model = classifier::Model::from_bytes(blob.bytes()).unwrap();
    let mut memory = SessionMemory::of_bytes(model.memory_needed());
    let mut session = model.session(memory.as_mut_slice()).unwrap();
    let mut hash_after = |frames: u32, decay| {
        session.reset();
        session.set_decay(decay).unwrap();
        for number in 0..frames {
            let mut frame = [0.0; 10];
            known_frame(number, &mut frame);
            session.push_frame(&frame).unwrap();
        }
        let mut hash = LogitsHash::new();
        hash.update(session.logits());
        hash.finish()
    };
    assert_eq!(
        number("logits_hash"),
        hash_after(49, classifier::Decay::NONE)
    );
    let decay = classifier::Decay::half_life(25.0).unwrap();
    assert_eq!(number("decaying_hash"), hash_after(200, decay));

    let [least, most] = ["frame_min", "frame_max"].map(number);
    eprintln!(
        "{most} instructions a frame, {} of the logits, {} bytes of memory",
        number("logits"),
        number("memory")
    );
    assert!(least > 1000 && most - least < most / 100, "{least} {most}");
}

/// The host's logits by a program that links no function of a software float library, and has no panic path.
#[test]
fn classifiers_of_integers_on_cortex_m0_have_no_floats() {
    let files = keywords(&paths::output().join("tests").join("integers"), FIXED);
    let firmware = firmware::integers(&board("microbit"), SMALL, &files).unwrap();
    let nothing = Vec::<String>::new();
    assert_eq!(elf::soft_float_functions(&firmware.elf).unwrap(), nothing);
    assert_eq!(elf::panicking_functions(&firmware.elf).unwrap(), nothing);
    let report = run(&firmware, "", LIMIT);

    let blob = Blob::read(&files.blob).unwrap();
    let model = fixed::classifier::Model::from_bytes(blob.bytes()).unwrap();
    let mut memory = SessionMemory::of_bytes(model.memory_needed());
    let mut session = model.session(memory.as_mut_slice()).unwrap();
    for number in 0..49 {
        let frame: [i32; 10] =
            std::array::from_fn(|i| ((number * 31 + i as i32 * 17) % 64 - 32) << 12);
        session.push_frame(&frame).unwrap();
    }
    let mut hash = LogitsHash::new();
    hash.update_fixed(session.logits());
    assert_eq!(report.number("logits_hash").unwrap(), hash.finish());
    let most = report.number("frame_max").unwrap();
    eprintln!("{most} instructions a frame on a Cortex-M0");
    assert!((10_000..400_000).contains(&most), "{most}");
}

/// The text example's `profile`: the stages add up to a token.
#[test]
fn stages_add_up_to_a_token() {
    let firmware = firmware::text(&board("mps2-an386"), model(SMALL), &["profile"]).unwrap();
    let report = run(&firmware, "generate tokens=20", LIMIT);
    let stage = |name| report.number(&format!("stage {name}")).unwrap();
    let names = [
        "embedding",
        "norm",
        "gates",
        "dense",
        "fir",
        "recurrence",
        "head",
    ];
    let sum: u64 = names.into_iter().map(stage).sum();
    let whole = report.number("instructions_per_token_min").unwrap();
    // the token's own count has the profiling in it
    assert!(sum < whole && 10 * sum > 9 * whole, "{sum} of {whole}");
    assert!(stage("dense") > sum / 4 && stage("sampling") > 100);
}

/// Positive control of the check for soft-float functions: builds that divide floats.
#[test]
fn a_soft_float_function_is_found() {
    for name in ["microbit", "lm3s6965evb", "virt-rv32"] {
        let model = converted(SMALL, (FIXED, "portable"));
        let firmware = firmware::text(&board(name), model, &["float-control"]).unwrap();
        let floats = elf::soft_float_functions(&firmware.elf).unwrap();
        let division = ["__aeabi_fdiv", "__divsf3"];
        assert!(
            floats.iter().any(|name| division.contains(&name.as_str())),
            "{name}: {floats:?}"
        );
    }
}

/// With an FPU no instruction depends on the data, and none on how long the sequence is.
#[test]
fn a_step_costs_the_same_at_token_10_and_token_100_000() {
    let firmware = firmware::text(&board("mps2-an386"), model(SMALL), &[]).unwrap();
    let report = run(&firmware, "cost steps=100000", 5 * LIMIT);
    let number = |key| report.number(key).unwrap();
    assert_eq!(number("steps"), 100_000);
    let at_10 = number("instructions_at_token_10");
    assert!(at_10 > 1000, "{at_10} instructions are not a step");
    assert_eq!(at_10, number("instructions_at_last_token"));
    assert_eq!(at_10, number("instructions_per_token_min"));
    assert_eq!(at_10, number("instructions_per_token_max"));
}

/// The boards' own check counts a loop of known length, across a wrap of the timer.
#[test]
fn instructions_are_counted_exactly_on_all_boards() {
    for name in xtask::boards::NAMES {
        let firmware = firmware::board_check(&board(name)).unwrap();
        let report = run(&firmware, "", LIMIT);
        assert_eq!(
            report.get("instructions_are_counted").unwrap(),
            "yes",
            "{name}"
        );
    }
}

/// Positive control of the counting: without -icount it must be found impossible.
#[test]
fn counting_is_refused_where_it_is_not_exact() {
    let mut uncounted = board("mps2-an386");
    let at = uncounted
        .runner
        .iter()
        .position(|word| word == "-icount")
        .unwrap();
    uncounted.runner.drain(at..at + 2);
    let built = firmware::board_check(&board("mps2-an386")).unwrap();
    let firmware = Firmware {
        board: uncounted,
        elf: built.elf,
    };
    let output = qemu::run(&firmware, "", LIMIT, |_| ()).unwrap();
    assert_eq!(output.status, 1, "{}", output.text());
    assert!(output.text().contains("instructions_are_counted: no"));
}

/// Positive control of the check for panic paths: a build that has one.
#[test]
fn a_panic_path_is_found() {
    let firmware = firmware::text(&board("mps2-an386"), model(SMALL), &["panic-control"]).unwrap();
    let panicking = elf::panicking_functions(&firmware.elf).unwrap();
    assert!(
        panicking
            .iter()
            .any(|name| name.contains("panic_bounds_check")),
        "{panicking:?}"
    );
    // The run does index out of bounds: the panic handler must report it and end QEMU.
    let output = qemu::run(&firmware, "generate tokens=1", LIMIT, |_| ()).unwrap();
    assert_eq!(output.status, 101, "{}", output.text());
    assert!(
        output.text().contains("index out of bounds"),
        "{}",
        output.text()
    );
}

#[test]
fn logging_by_defmt_works() {
    let firmware = firmware::text(&board("mps2-an386"), model(SMALL), &["defmt"]).unwrap();
    let output = qemu::run(&firmware, "generate tokens=4", LIMIT, |_| ()).unwrap();
    let output = output.success().unwrap();
    // Frames end with a zero byte: one for the model, at DEFMT_LOG's default level.
    assert_eq!(output.stdout.last(), Some(&0), "{:?}", output.stdout);
    let text = Report::parse(&output.stderr);
    assert_eq!(
        text.get("logits_hash").unwrap(),
        host::logits_hash(&model(SMALL).files.blob).unwrap()
    );
}

#[test]
fn arguments_that_are_not_understood_are_refused() {
    let firmware = firmware::text(&board("mps2-an386"), model(SMALL), &[]).unwrap();
    for arguments in [
        "sing",
        "tokens=",
        "tokens=x",
        "seed=18446744073709551616",
        "temperature=1e3",
    ] {
        let output = qemu::run(&firmware, arguments, LIMIT, |_| ()).unwrap();
        assert_eq!(output.status, 2, "{arguments}: {}", output.text());
        assert!(
            output.text().contains("error: arguments"),
            "{}",
            output.text()
        );
    }
}

/// The defaults are those of `toeplite run`: the same text without a word about how to draw it.
#[test]
fn without_settings_text_is_that_of_the_host() {
    let model = model(SMALL);
    let firmware = firmware::text(&board("mps2-an386"), model, &[]).unwrap();
    let report = run(&firmware, "prompt=To%20be", LIMIT);
    let mut host = Command::new(env!("CARGO_BIN_EXE_toeplite-tests-cli"));
    host.arg("run").arg(&model.files.blob);
    let host = host.args(["--prompt", "To be"]).output().unwrap();
    // The command ends its text with a line end.
    let text = host.stdout.strip_suffix(b"\n").unwrap();
    assert_eq!(
        report.text.escape_ascii().to_string(),
        text.escape_ascii().to_string()
    );
}

#[test]
fn an_empty_prompt_is_called_empty() {
    let firmware = firmware::text(&board("mps2-an386"), model(SMALL), &[]).unwrap();
    let output = qemu::run(&firmware, "prompt=", LIMIT, |_| ()).unwrap();
    assert_eq!(output.status, 10, "{}", output.text());
    assert!(output.text().contains("the prompt is empty"));
}

/// A prompt that is cut would be another prompt.
#[test]
fn a_command_line_that_is_too_long_is_refused() {
    let firmware = firmware::text(&board("mps2-an386"), model(SMALL), &[]).unwrap();
    let arguments = format!("generate tokens=1 prompt={}", "O".repeat(600));
    let output = qemu::run(&firmware, &arguments, LIMIT, |_| ()).unwrap();
    assert_eq!(output.status, 9, "{}", output.text());
    assert!(output.text().contains("shorten the prompt"));
}

/// A blob that does not fit the constants beside it, one that is damaged, one for another core.
#[test]
fn a_model_that_cannot_run_is_refused() {
    let folder = paths::output().join("tests/refused");
    std::fs::create_dir_all(&folder).unwrap();
    let good = model(SMALL);

    let mut wrong = good.clone();
    wrong.name = "wrong-memory".into();
    wrong.files.meta = folder.join("meta.rs");
    let less = good.memory_bytes().unwrap() - 16;
    let meta = format!("pub const MEMORY_BYTES: usize = {less};\n");
    std::fs::write(&wrong.files.meta, meta).unwrap();
    assert_eq!(status("mps2-an386", &wrong), 4);

    let mut damaged = good.clone();
    damaged.name = "damaged".into();
    damaged.files.blob = folder.join("damaged.toep");
    let mut bytes = std::fs::read(&good.files.blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&damaged.files.blob, bytes).unwrap();
    assert_eq!(status("mps2-an386", &damaged), 3);

    assert_eq!(status("microbit", converted(SMALL, (F32, "m4"))), 3);
}

fn status(board_name: &str, model: &Model) -> i32 {
    let firmware = firmware::text(&board(board_name), model, &[]).unwrap();
    qemu::run(&firmware, "generate tokens=1", LIMIT, |_| ())
        .unwrap()
        .status
}

/// What a user types: cargo's own runner, in the example's folder.
#[test]
fn cargo_run_streams_text() {
    let mut command: Command = cargo_embedded();
    command.current_dir(paths::firmware().join("text"));
    firmware::with_model(&mut command, &model(SMALL).files);
    command.args([
        "run",
        "--quiet",
        "--release",
        "--",
        "-append",
        "tokens=8 prompt=MIRANDA. My",
    ]);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(output.stdout.starts_with(b"MIRANDA. My"), "{errors}");
}

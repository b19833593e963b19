//! Pages of `toeplite convert --report` in a browser: every plot is there and in its frame, nothing fails and
//! nothing is fetched. Needs Chromium, which `cargo xtask test` installs; fails, saying so, without.
#![allow(missing_docs)]

use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use xtask::browser::{self, Loaded};
use xtask::paths;

/// Says what is on the page, as JSON in an element of its own.
const PROBE: &str = include_str!("report/probe.js");
/// The marks around that.
const MARKS: [&str; 2] = ["<pre id=\"probe\">", "</pre>"];
/// A name that would end an attribute, an element and a comment.
const NAME: &str = "a\"b'<c>&amp;--><script>x";

/// What the probe says.
#[derive(Debug, Deserialize)]
struct Page {
    heading: String,
    scripts: usize,
    resources: usize,
    too_wide: bool,
    plots: Vec<Plot>,
}

/// A plot.
#[derive(Debug, Deserialize)]
struct Plot {
    id: String,
    role: String,
    title: String,
    description: String,
    /// Lines, dots and bars within the drawing.
    inside: usize,
    /// The same beyond its edges, and texts.
    outside: Vec<String>,
}

fn toeplite(arguments: &[&Path]) {
    let output = Command::new(env!("CARGO_BIN_EXE_toeplite"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The page with `more` at its end, in a browser. Scripts are allowed there: those of the page itself would
/// otherwise go unnoticed.
fn load(page: &str, more: &str, folder: &Path) -> Loaded {
    let policy = "default-src 'none'; style-src";
    assert!(page.contains(policy), "the page forbids fetching");
    let page = page.replacen(
        policy,
        "default-src 'none'; script-src 'unsafe-inline'; style-src",
        1,
    );
    let copy = folder.join("probed.html");
    fs::write(
        &copy,
        page.replacen("</body>", &format!("{more}</body>"), 1),
    )
    .unwrap();
    browser::load(&copy).unwrap()
}

fn probed(path: &Path) -> Page {
    let page = fs::read_to_string(path).unwrap();
    let loaded = load(
        &page,
        &format!("<script>{PROBE}</script>"),
        path.parent().unwrap(),
    );
    assert_eq!(loaded.console, Vec::<String>::new());
    let (_, found) = loaded.document.split_once(MARKS[0]).expect("the probe ran");
    serde_json::from_str(found.split_once(MARKS[1]).unwrap().0).unwrap()
}

/// All plots, and each as it must be.
fn check(page: &Page, expected: &[String]) {
    let ids: Vec<&String> = page.plots.iter().map(|plot| &plot.id).collect();
    assert_eq!(ids, expected.iter().collect::<Vec<_>>());
    for plot in &page.plots {
        assert!(plot.inside > 0 && plot.outside.is_empty(), "{plot:?}");
        assert_eq!(plot.role, "img");
        assert!(
            !plot.title.is_empty() && !plot.description.is_empty(),
            "{plot:?}"
        );
    }
    assert_eq!((page.scripts, page.resources, page.too_wide), (1, 0, false));
}

/// Plots of a layer.
fn of_layer(index: usize) -> impl Iterator<Item = String> {
    ["kernel-0", "kernel-1", "lags", "poles", "certificate"]
        .into_iter()
        .map(move |plot| format!("layer-{index}-{plot}"))
}

#[test]
fn a_conversion_is_shown_whole() {
    let folder = tempfile::tempdir().unwrap();
    // as hostile as a name can be
    let checkpoint = folder.path().join(NAME);
    fs::create_dir(&checkpoint).unwrap();
    let bundled = paths::checkpoint("shakespeare-32x2");
    for file in ["config.json", "model.safetensors"] {
        fs::copy(bundled.join(file), checkpoint.join(file)).unwrap();
    }
    let text = folder.path().join("text");
    fs::write(&text, &fs::read(bundled.join("val.txt")).unwrap()[..3000]).unwrap();
    let [model, page]: [PathBuf; 2] =
        ["model.toep", "page.html"].map(|name| folder.path().join(name));
    let word = Path::new;
    toeplite(&[
        word("convert"),
        &checkpoint,
        word("-o"),
        &model,
        word("--report"),
        &page,
        word("--report-text"),
        &text,
    ]);
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.len() < 200_000, "{}", html.len());
    for fetching in [
        "http:", "https:", "src=", "url(", "@import", "<link", "<script",
    ] {
        // but for the checkpoint's name, which is text
        assert!(!html.replace("&lt;", "").contains(fetching), "{fetching}");
    }
    let probed = probed(&page);
    assert_eq!(probed.heading, format!("Conversion of {NAME}"));
    let network = ["flash", "memory", "bits-by-length"].map(String::from);
    let layers = (0..2).flat_map(of_layer);
    let expected: Vec<String> = ["error-by-layer".to_string()]
        .into_iter()
        .chain(layers)
        .chain(network)
        .collect();
    check(&probed, &expected);
}

#[test]
fn a_bare_kernel_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let kernel: Vec<u8> = (0..2 * 600)
        .map(|i| ((i / 2) as f64, (i % 2) as f64))
        .flat_map(|(lag, c)| {
            (0.97f64.powf(lag) * (0.1 * lag + c).cos() + 0.5 * 0.8f64.powf(lag)).to_le_bytes()
        })
        .collect();
    let tensor =
        safetensors::tensor::TensorView::new(safetensors::Dtype::F64, vec![600, 2], &kernel)
            .unwrap();
    let [path, page]: [PathBuf; 2] =
        ["k.safetensors", "page.html"].map(|name| folder.path().join(name));
    fs::write(
        &path,
        safetensors::serialize([("kernel", tensor)], None).unwrap(),
    )
    .unwrap();
    let word = Path::new;
    toeplite(&[
        word("convert"),
        word("--kernel"),
        &path,
        word("--report"),
        &page,
    ]);
    let expected: Vec<String> = ["error-by-layer".to_string()]
        .into_iter()
        .chain(of_layer(0))
        .collect();
    check(&probed(&page), &expected);
}

/// That the tests above see what they look for.
#[test]
fn the_browser_tells_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let page = "<!DOCTYPE html><meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"><body></body>";
    for (wrong, says) in [
        ("<script>console.error('alarm')</script>", "alarm"),
        ("<script>undefined.x</script>", "TypeError"),
        (
            "<img src=\"https://example.invalid/x.png\">",
            "Content Security Policy",
        ),
        ("<img src=\"absent.png\">", "Content Security Policy"),
    ] {
        let console = load(page, wrong, folder.path()).console;
        assert!(
            console.iter().any(|line| line.contains(says)),
            "{wrong}: {console:?}"
        );
    }
    let drawing = "<h1>x</h1><svg id=\"far\" role=\"img\" viewBox=\"0 0 10 10\"><path class=\"line\" d=\"M0 0H90\"></path></svg>";
    let file = folder.path().join("page.html");
    fs::write(&file, page.replace("<body>", &format!("<body>{drawing}"))).unwrap();
    let plot = &probed(&file).plots[0];
    assert!(plot.inside == 0 && plot.outside.len() == 1, "{plot:?}");
}

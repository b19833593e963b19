//! The oldest compiler that each package claims to build with.
//!
//! No such compiler is needed: dependencies declare what they need themselves, and clippy refuses
//! newer functions of the standard library by its lint `incompatible_msrv`.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use xtask::command::{capture, cargo};

/// Refuses dependencies that need a newer compiler than the packages of the workspace in `folder`
/// that depend on them claim.
pub fn check(folder: &Path) -> Result<()> {
    let mut command = cargo();
    command.current_dir(folder);
    command.args(["metadata", "--format-version", "1", "--locked"]);
    let text = capture(&mut command)?;
    let metadata = serde_json::from_slice(&text).context("reading what cargo metadata says")?;
    let problems = problems(&metadata).context("cargo metadata has another layout")?;
    if problems.is_empty() {
        return Ok(());
    }
    bail!(
        "raise rust-version, or take older dependencies:\n{}",
        problems.join("\n")
    );
}

/// A line for each member of the workspace and each package below it that needs a newer compiler.
fn problems(metadata: &Value) -> Option<Vec<String>> {
    let packages = metadata["packages"].as_array()?.iter();
    let packages: BTreeMap<&str, &Value> = packages
        .filter_map(|p| Some((p["id"].as_str()?, p)))
        .collect();
    let nodes = metadata["resolve"]["nodes"].as_array()?.iter();
    let nodes: BTreeMap<&str, &Value> =
        nodes.filter_map(|n| Some((n["id"].as_str()?, n))).collect();
    let mut problems = Vec::new();
    for member in metadata["workspace_members"].as_array()? {
        let member = member.as_str()?;
        let claimed = packages.get(member)?["rust_version"].as_str();
        let Some(claimed) = claimed else { continue };
        for package in below(member, &nodes)? {
            let package = packages.get(package)?;
            let Some(needed) = package["rust_version"].as_str() else {
                continue;
            };
            if version(needed) > version(claimed) {
                problems.push(format!(
                    "  {} claims Rust {claimed}, {} {} needs {needed}",
                    packages.get(member)?["name"].as_str()?,
                    package["name"].as_str()?,
                    package["version"].as_str()?
                ));
            }
        }
    }
    Some(problems)
}

/// The packages that one is built from: not those of its tests alone.
fn below<'a>(member: &'a str, nodes: &BTreeMap<&'a str, &'a Value>) -> Option<BTreeSet<&'a str>> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![member]);
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        for dependency in nodes.get(id)?["deps"].as_array()? {
            let kinds = dependency["dep_kinds"].as_array()?;
            if kinds.iter().any(|kind| kind["kind"] != "dev") {
                open.push(dependency["pkg"].as_str()?);
            }
        }
    }
    Some(seen)
}

/// `1.89` as numbers that compare.
fn version(text: &str) -> Vec<u32> {
    let numbers = text.split('.').map(|n| n.parse().unwrap_or(0));
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.resize(3, 0);
    numbers
}

#[cfg(test)]
mod tests {
    use super::problems;
    use serde_json::json;

    #[test]
    fn only_what_is_built_counts() {
        let package = |name: &str, rust: &str| json!({"id": name, "name": name, "version": "1.0.0", "rust_version": rust});
        let dependency =
            |name: &str, kind: Option<&str>| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": [package("a", "1.89"), package("b", "1.89.0"), package("c", "1.100"), package("d", "1.100")],
            "workspace_members": ["a"],
            "resolve": {"nodes": [
                {"id": "a", "deps": [dependency("b", None), dependency("d", Some("dev"))]},
                {"id": "b", "deps": [dependency("c", None)]},
                {"id": "c", "deps": []},
                {"id": "d", "deps": []},
            ]},
        });
        let expected = "  a claims Rust 1.89, c 1.0.0 needs 1.100";
        assert_eq!(problems(&metadata).unwrap(), [expected]);
    }
}

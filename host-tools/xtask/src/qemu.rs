//! Running firmware in QEMU.

use crate::firmware::Firmware;
use anyhow::{Context, Result, bail};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// What a run left.
#[derive(Clone, Debug)]
pub struct Output {
    /// The firmware's exit status; 0 is success.
    pub status: i32,
    /// All of standard output.
    pub stdout: Vec<u8>,
    /// All of standard error: QEMU's own messages.
    pub stderr: Vec<u8>,
}

impl Output {
    /// This output if the status is 0.
    ///
    /// # Errors
    /// Another status; with the last lines that came out.
    pub fn success(self) -> Result<Self> {
        if self.status != 0 {
            bail!(
                "the firmware ended with status {}: {}",
                self.status,
                self.tail()
            );
        }
        Ok(self)
    }

    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    fn tail(&self) -> String {
        let text = self.text() + &String::from_utf8_lossy(&self.stderr);
        let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(5)..].join(" | ")
    }
}

/// Runs `firmware` on its board with a command line, for at most `limit`. Every piece of its output
/// is given to `watch` as soon as it comes.
///
/// # Errors
/// QEMU is not installed, or the firmware did not end in time (QEMU is ended then).
pub fn run(
    firmware: &Firmware,
    arguments: &str,
    limit: Duration,
    watch: impl FnMut(&[u8]),
) -> Result<Output> {
    run_with(firmware, None, arguments, limit, watch)
}

/// [`run`], with the bytes of a file at the beginning of the board's model partition.
///
/// # Errors
/// Those of [`run`].
pub fn run_with(
    firmware: &Firmware,
    partition: Option<&Path>,
    arguments: &str,
    limit: Duration,
    mut watch: impl FnMut(&[u8]),
) -> Result<Output> {
    let mut child = start(firmware, partition, arguments)?;
    let stderr = child
        .stderr
        .take()
        .context("QEMU's standard error is piped")?;
    let errors = thread::spawn(move || all(stderr));
    let (sender, receiver) = mpsc::channel();
    let mut pipe = child
        .stdout
        .take()
        .context("QEMU's standard output is piped")?;
    // Reads until QEMU closes the pipe: QEMU hangs if it is closed from this end.
    let reader = thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    let deadline = Instant::now() + limit;
    let mut stdout = Vec::new();
    let in_time = loop {
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(piece) => {
                watch(&piece);
                stdout.extend(piece);
            }
            Err(RecvTimeoutError::Disconnected) => break true,
            Err(RecvTimeoutError::Timeout) => break false,
        }
    };
    let status = end(&mut child, in_time)?;
    reader.join().ok();
    let stderr = errors.join().unwrap_or_default();
    let status = status.code().unwrap_or(-1);
    let output = Output {
        status,
        stdout,
        stderr,
    };
    if !in_time {
        bail!(
            "{} did not end within {limit:?}: {}",
            firmware.elf.display(),
            output.tail()
        );
    }
    Ok(output)
}

fn start(firmware: &Firmware, partition: Option<&Path>, arguments: &str) -> Result<Child> {
    let runner = &firmware.board.runner;
    let mut command = Command::new(&runner[0]);
    // The path is the command line's first word, so it must have no spaces: a bare file name has none.
    let name = firmware
        .elf
        .file_name()
        .context("firmware has a file name")?;
    command.args(&runner[1..]).arg(name);
    command.current_dir(firmware.elf.parent().unwrap_or(Path::new(".")));
    if let Some(file) = partition {
        let address = firmware.board.partition.address;
        let loader = format!(
            "loader,file={},addr={address:#x},force-raw=on",
            file.display()
        );
        command.args(["-device", &loader]);
    }
    if !arguments.is_empty() {
        command.args(["-append", arguments]);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}: run `cargo xtask setup`", runner[0]))
}

fn end(child: &mut Child, in_time: bool) -> Result<ExitStatus> {
    if !in_time {
        child.kill().context("ending QEMU")?;
    }
    child.wait().context("waiting for QEMU")
}

fn all(mut pipe: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What could be read until an error is all there is to tell.
    let _ = pipe.read_to_end(&mut bytes);
    bytes
}

//! What came of jobs that were done side by side.

use super::programs::{self, Outcome};
use anyhow::{Result, bail};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Of all jobs. Each is shown when it has ended, whole.
#[derive(Default)]
pub struct Results(Mutex<Sum>);

#[derive(Default)]
struct Sum {
    passed: u64,
    failed: u64,
    /// What jobs did not succeed.
    broken: Vec<String>,
}

impl Results {
    /// Runs tests; says whether all passed.
    pub fn tests(&self, name: &str, command: &mut Command) -> bool {
        match programs::run(command) {
            Ok(outcome) => self.tested(name, &outcome),
            Err(error) => {
                self.broken(name, &format!("{error:#}"));
                false
            }
        }
    }

    fn tested(&self, name: &str, outcome: &Outcome) -> bool {
        let succeeded = outcome.status.success();
        let mut sum = self.sum();
        show(name, outcome.time, &outcome.text);
        let (passed, failed) = outcome.counts();
        sum.passed += passed;
        sum.failed += failed;
        if !succeeded {
            sum.broken.push(format!("{name} ({})", outcome.status));
        }
        succeeded
    }

    /// Does what is no test, and shows what it returns.
    pub fn step(&self, name: &str, work: impl FnOnce() -> Result<String>) {
        let start = Instant::now();
        match work() {
            Ok(text) => {
                let _alone = self.sum();
                show(name, start.elapsed(), &text);
            }
            Err(error) => self.broken(name, &format!("{error:#}")),
        }
    }

    fn broken(&self, name: &str, message: &str) {
        let mut sum = self.sum();
        println!("\n== {name}: failed\n{message}");
        sum.broken.push(name.into());
    }

    /// How many tests passed.
    ///
    /// # Errors
    /// Something failed: names it.
    pub fn passed(&self) -> Result<u64> {
        let sum = self.sum();
        if sum.broken.is_empty() {
            return Ok(sum.passed);
        }
        println!("\n{} passed, {} failed", sum.passed, sum.failed);
        bail!("failed, see above: {}", sum.broken.join(", "));
    }

    fn sum(&self) -> MutexGuard<'_, Sum> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn show(name: &str, time: Duration, text: &str) {
    println!("\n== {name}: {:.0} s\n{}", time.as_secs_f64(), text.trim());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn any_failure_is_one_of_all() {
        let one = "echo 'test result: ok. 1 passed; 0 failed'";
        let good = Results::default();
        assert!(good.tests("a", &mut shell(one)));
        good.step("b", || Ok("text".into()));
        assert_eq!(good.passed().unwrap(), 1);

        let failures: [fn(&Results); 3] = [
            |results| assert!(!results.tests("bad", &mut shell("exit 101"))),
            |results| assert!(!results.tests("bad", &mut Command::new("/there/is/none"))),
            |results| results.step("bad", || bail!("it is")),
        ];
        for failure in failures {
            let results = Results::default();
            failure(&results);
            results.tests("good", &mut shell(one));
            let error = results.passed().unwrap_err().to_string();
            assert!(error.contains("bad") && !error.contains("good"), "{error}");
        }
    }
}

//! A process that does its share of what the first one says.

use super::message::{Job, Join, Order, Reply};
use super::wire::{self, Link};
use super::{GroupError, Member};
use crate::cli::Backend;
use crate::config::RunConfig;
use crate::data::{Shard, Sources};
use crate::train::evaluate::evaluate_batch;
use crate::train::stop::exit_at_once;
use crate::train::{ModelError, Portions, Store, Trainable};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// Serves the process that started this one, until it says to end or ends itself.
///
/// # Errors
/// This process was started by hand; errors at work are told to the first process, and end this one.
pub fn serve(backend: &dyn Backend) -> Result<(), ModelError> {
    let by_hand = |reason: &dyn ToString| GroupError::ByHand {
        reason: reason.to_string(),
    };
    let (link, listener) = wire::to_parent().map_err(|e| by_hand(&e))?;
    // When to end is for the first process to say.
    ctrlc::set_handler(|| ())?;
    let (sender, orders) = channel();
    thread::spawn(move || {
        let _ = listener.listen(|order: Order| drop(sender.send(order)));
        // The first process has ended: what this one waits for will not come.
        exit_at_once(1);
    });
    let Ok(Order::Join(join)) = orders.recv() else {
        return Err(by_hand(&"its first order must be to join").into());
    };
    let link = Arc::new(link);
    if let Err(error) = work(backend, &link, &orders, *join) {
        // Where this cannot be sent there is nobody to read it.
        let _ = link.say(&Reply::Failed(error.to_string()));
        // What would be dropped may wait for the other processes.
        exit_at_once(1);
    }
    Ok(())
}

fn work(
    backend: &dyn Backend,
    link: &Arc<Link>,
    orders: &Receiver<Order>,
    join: Join,
) -> Result<(), ModelError> {
    let Join {
        shard,
        device,
        nccl,
        job,
    } = join;
    let nccl = nccl.map(|id| <[u8; 128]>::try_from(id).map_err(|_| "NCCL's identity is cut"));
    let member = Member::new(shard, nccl.transpose()?, vec![Arc::clone(link)]);
    match job {
        Job::Train { folder, mut config } => {
            config.train.device = device;
            let sources = Sources::open(&config)?;
            let model = backend.create(&config, Some(member))?;
            link.say(&Reply::Ready)?;
            let trainee = Trainee {
                folder,
                config,
                sources,
                shard,
                model,
            };
            trainee.obey(link, orders)
        }
        Job::Bench(mut bench) => {
            bench.placement.device = device;
            backend.bench_network(&bench, Some(member))?;
            link.say(&Reply::Done)?;
            wait_for_end(orders)
        }
    }
}

/// A worker's part of a run.
struct Trainee {
    folder: PathBuf,
    config: Box<RunConfig>,
    sources: Sources,
    shard: Shard,
    model: Box<dyn Trainable>,
}

impl Trainee {
    fn obey(mut self, link: &Link, orders: &Receiver<Order>) -> Result<(), ModelError> {
        let portions = Portions::of(&self.config, &*self.sources.train);
        let model = &mut *self.model;
        loop {
            match orders.recv()? {
                Order::Step(values) => {
                    let batches = portions.batches(values.step, self.shard)?;
                    model.step(&batches, &values)?;
                }
                Order::Report => link.say(&Reply::Report(model.report()?.into()))?,
                Order::Evaluate { windows, index } => {
                    let source = self.sources.valid.as_deref();
                    let source = source.ok_or("there is no validation data")?;
                    let evaluate = &mut |batch: &_| model.evaluate(batch);
                    let sums = evaluate_batch(evaluate, source, windows, index)?;
                    link.say(&Reply::Evaluated(sums.map(Into::into)))?;
                }
                Order::Restore { step } => restore(model, &self.folder, step)?,
                Order::End => return Ok(()),
                Order::Join(_) => return Err("a worker joins once".into()),
            }
        }
    }
}

fn restore(model: &mut dyn Trainable, folder: &Path, step: u64) -> Result<(), ModelError> {
    // Nothing is written by this process, so nothing need be kept.
    let (parameters, _, optimiser) = Store::new(folder, 1).load(step)?;
    model.restore(step, &parameters, &optimiser)
}

fn wait_for_end(orders: &Receiver<Order>) -> Result<(), ModelError> {
    match orders.recv()? {
        Order::End => Ok(()),
        _ => Err("the benchmark is over".into()),
    }
}

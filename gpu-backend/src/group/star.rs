//! Sums on CPUs: every process sends its numbers to the first one and gets the sums back.

use super::wire::Link;
use crate::data::Shard;
use crate::device::cpu::Exchange;
use std::io;
use std::sync::Arc;

/// The links of one process: the first has one to each other, these have one to the first.
#[derive(Debug)]
pub(super) struct Star {
    shard: Shard,
    links: Vec<Arc<Link>>,
}

impl Star {
    pub fn new(shard: Shard, links: Vec<Arc<Link>>) -> Self {
        Self { shard, links }
    }

    fn exchange(&self, values: &mut [f32]) -> io::Result<()> {
        if self.shard.rank > 0 {
            for link in &self.links {
                link.give(values)?;
                values.copy_from_slice(&link.take(values.len())?);
            }
            return Ok(());
        }
        // In the order of the processes: the same bits each time.
        for link in &self.links {
            let theirs = link.take(values.len())?;
            values.iter_mut().zip(&theirs).for_each(|(v, t)| *v += t);
        }
        self.links.iter().try_for_each(|link| link.give(values))
    }
}

impl Exchange for Star {
    fn shard(&self) -> Shard {
        self.shard
    }

    fn sum(&self, values: &mut [f32]) -> Result<(), String> {
        self.exchange(values).map_err(|error| error.to_string())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::group::wire;
    use std::thread;

    /// Both ends of a link, listened to.
    fn link() -> [Arc<Link>; 2] {
        wire::couple().unwrap().map(|(link, listener)| {
            thread::spawn(move || listener.listen(|_: ()| ()));
            Arc::new(link)
        })
    }

    #[test]
    fn all_processes_get_the_same_sum() {
        let [one, far_one] = link();
        let [two, far_two] = link();
        let star = |rank, links| Star::new(Shard { rank, ranks: 3 }, links);
        let stars = [
            star(0, vec![one, two]),
            star(1, vec![far_one]),
            star(2, vec![far_two]),
        ];
        let sums = stars.map(|star| {
            thread::spawn(move || {
                let mut values = [0.1, 1e8, -1.0].map(|x| x * (star.shard.rank + 1) as f32);
                star.sum(&mut values).unwrap();
                star.sum(&mut values[..1]).unwrap();
                values
            })
        });
        let sums = sums.map(|sum| sum.join().unwrap());
        let first = 0.1f32 + 0.1 * 2.0 + 0.1 * 3.0;
        for sum in sums {
            assert_eq!(sum, [first + first + first, 6e8, -6.0]);
        }
    }
}

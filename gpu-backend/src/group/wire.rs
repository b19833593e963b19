//! What two processes say to each other: messages as JSON, and numbers, through one socket.
//!
//! A process's end of the socket is its standard input. Its standard output is none of ours: NCCL
//! writes there when it is asked to say more.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, BufReader, Read, Write};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

#[cfg(unix)]
use std::os::unix::net::UnixStream as Stream;

// Only to have a type: nothing makes one.
#[cfg(not(unix))]
use std::net::TcpStream as Stream;

/// Kinds of frames: a byte, then the length of what follows in 8 bytes.
const MESSAGE: u8 = 0;
const NUMBERS: u8 = 1;

/// One end, to send by; the numbers that come in.
#[derive(Debug)]
pub(super) struct Link {
    stream: Mutex<Stream>,
    numbers: Mutex<Receiver<Vec<f32>>>,
}

/// The same end, to listen by.
pub(super) struct Listener {
    stream: Stream,
    numbers: Sender<Vec<f32>>,
}

/// A link to a child process that is yet to be started with this standard input.
pub(super) fn to_child() -> io::Result<(Link, Listener, Stdio)> {
    let (ours, theirs) = pair()?;
    let (link, listener) = ends(ours)?;
    Ok((link, listener, theirs))
}

/// The link to the process that started this one.
pub(super) fn to_parent() -> io::Result<(Link, Listener)> {
    ends(standard_input()?)
}

#[cfg(unix)]
fn pair() -> io::Result<(Stream, Stdio)> {
    let (ours, theirs) = Stream::pair()?;
    Ok((ours, std::os::fd::OwnedFd::from(theirs).into()))
}

#[cfg(unix)]
fn standard_input() -> io::Result<Stream> {
    use std::os::fd::AsFd;
    let stream = Stream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Fails where it is no socket.
    stream.peer_addr()?;
    Ok(stream)
}

#[cfg(not(unix))]
fn pair() -> io::Result<(Stream, Stdio)> {
    Err(no_socket())
}

#[cfg(not(unix))]
fn standard_input() -> io::Result<Stream> {
    Err(no_socket())
}

#[cfg(not(unix))]
fn no_socket() -> io::Error {
    let text = "several processes train together on Unix systems only";
    io::Error::new(io::ErrorKind::Unsupported, text)
}

fn ends(stream: Stream) -> io::Result<(Link, Listener)> {
    let (sender, receiver) = channel();
    let listener = Listener {
        stream: stream.try_clone()?,
        numbers: sender,
    };
    let link = Link {
        stream: Mutex::new(stream),
        numbers: Mutex::new(receiver),
    };
    Ok((link, listener))
}

impl Link {
    /// Sends a message.
    pub fn say(&self, message: &impl Serialize) -> io::Result<()> {
        self.send(MESSAGE, &serde_json::to_vec(message)?)
    }

    /// Sends numbers.
    pub fn give(&self, numbers: &[f32]) -> io::Result<()> {
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.send(NUMBERS, &bytes)
    }

    /// Waits for numbers, `len` of them.
    pub fn take(&self, len: usize) -> io::Result<Vec<f32>> {
        let receiver = self.numbers.lock().unwrap_or_else(|e| e.into_inner());
        let numbers = receiver.recv().map_err(|_| io::ErrorKind::UnexpectedEof)?;
        if numbers.len() != len {
            let text = format!("{} numbers came where {len} were due", numbers.len());
            return Err(io::Error::other(text));
        }
        Ok(numbers)
    }

    fn send(&self, kind: u8, bytes: &[u8]) -> io::Result<()> {
        let mut stream = self.stream.lock().unwrap_or_else(|e| e.into_inner());
        let mut head = [kind; 9];
        head[1..].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        stream.write_all(&head)?;
        stream.write_all(bytes)
    }
}

impl Listener {
    /// Hands on what comes in, until the other end is closed.
    pub fn listen<M: DeserializeOwned>(self, mut on_message: impl FnMut(M)) -> io::Result<()> {
        let mut stream = BufReader::new(self.stream);
        while let Some((kind, bytes)) = receive(&mut stream)? {
            if kind == MESSAGE {
                on_message(serde_json::from_slice(&bytes)?);
            } else {
                let words = bytes.as_chunks::<4>().0.iter();
                let numbers = words.map(|word| f32::from_le_bytes(*word)).collect();
                // Nobody waits for them any more where this process is about to end.
                let _ = self.numbers.send(numbers);
            }
        }
        Ok(())
    }
}

fn receive(stream: &mut impl Read) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut head = [0; 9];
    if stream.read(&mut head[..1])? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut head[1..])?;
    let [kind, length @ ..] = head;
    let length = u64::from_le_bytes(length);
    let mut bytes = Vec::new();
    // Grows with what comes, whatever the length says.
    let read = stream.take(length).read_to_end(&mut bytes)?;
    if read as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((kind, bytes)))
}

/// Both ends of a link within one process.
#[cfg(all(test, unix))]
pub(super) fn couple() -> io::Result<[(Link, Listener); 2]> {
    let (one, other) = Stream::pair()?;
    Ok([ends(one)?, ends(other)?])
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn messages_and_numbers_arrive_until_the_end_is_closed() {
        let [(near, _), (far, listener)] = couple().unwrap();
        let heard = thread::spawn(move || {
            let mut heard = Vec::new();
            listener.listen(|text: String| heard.push(text)).unwrap();
            heard
        });
        let numbers: Vec<f32> = (0..100_000).map(|i| i as f32 / 3.0).collect();
        near.say(&"one").unwrap();
        near.give(&numbers).unwrap();
        near.give(&[f32::NAN]).unwrap();
        near.say(&"two").unwrap();
        near.give(&[]).unwrap();
        assert_eq!(far.take(numbers.len()).unwrap(), numbers);
        assert!(far.take(1).unwrap()[0].is_nan());
        let error = far.take(1).unwrap_err().to_string();
        assert!(error.contains("0 numbers came where 1"), "{error}");
        near.stream
            .lock()
            .unwrap()
            .shutdown(std::net::Shutdown::Both)
            .unwrap();
        assert_eq!(heard.join().unwrap(), ["one", "two"]);
        assert!(far.take(1).is_err());
    }

    #[test]
    fn half_a_frame_is_an_error() {
        for cut in 1..12 {
            let mut frame = vec![MESSAGE, 3, 0, 0, 0, 0, 0, 0, 0, b'"', b'x', b'"'];
            frame.truncate(cut);
            assert!(receive(&mut &frame[..]).is_err(), "cut to {cut} bytes");
        }
    }
}

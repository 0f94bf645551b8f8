//! The engine's end of the socket: requests and answers, and frames without an answer.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixStream as Blocking;
use std::sync::Arc;
use std::time::Duration;

use tidegate_sdk::{Cx, Error};
use tokio::net::UnixStream;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::exit_status;
use crate::process::frame::{Frame, Inbox, Topic};
use crate::process::message::{ErrorMessage, LogMessage, ProgressMessage};
use crate::process::supervisor::ChildWatch;

/// The limit for unsent bytes. A child that exceeds it hangs.
const WAITING: usize = 64 << 20;
/// Time for a child with a closed socket to end.
const GRACE: Duration = Duration::from_secs(1);
/// The shortest time limit for an answer, whatever `call_time` is.
const SHORTEST: Duration = Duration::from_millis(10);
/// The longest time limit, which means for ever.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// The size of a read, in bytes.
const PIECE: usize = 16 << 10;

/// A connection to a child, served by a task.
pub(crate) struct Connection {
    stream: UnixStream,
    outbox: Mutex<VecDeque<u8>>,
    /// Notified when the outbox is not empty.
    more: Notify,
    calls: Mutex<Calls>,
}

/// The operations in progress.
#[derive(Default)]
struct Calls {
    waiting: [Option<PendingCall>; 2],
    /// The reason why no answers will come, as the end of a sentence that begins with the plugin.
    over: Option<String>,
}

struct PendingCall {
    what: &'static str,
    answer: oneshot::Sender<Frame>,
}

impl Connection {
    /// Starts the task that serves the connection until the child has ended.
    pub(crate) fn start(
        socket: Blocking,
        watch: ChildWatch,
        call_time: Duration,
        cx: &Cx,
    ) -> io::Result<Arc<Self>> {
        let call_time = call_time.clamp(SHORTEST, LONGEST);
        socket.set_nonblocking(true)?;
        socket.set_read_timeout(None)?;
        let connection = Arc::new(Self {
            stream: UnixStream::from_std(socket)?,
            outbox: Mutex::default(),
            more: Notify::new(),
            calls: Mutex::default(),
        });
        let task = ConnectionTask {
            connection: Arc::clone(&connection),
            watch,
            inbox: Inbox::default(),
            heartbeat: Heartbeat { call_time, asked: None, next: Instant::now() + call_time / 4 },
            cx: cx.clone(),
        };
        cx.spawn(task.run());
        Ok(connection)
    }

    /// Requests an operation and waits for its answer.
    pub(crate) async fn request(&self, frame: &Frame) -> Result<Frame, Error> {
        let (answer, answered) = oneshot::channel();
        {
            let mut calls = self.calls();
            if let Some(over) = &calls.over {
                return Err(Error::broken(over.clone()));
            }
            let waiting = &mut calls.waiting[frame.slot as usize];
            if waiting.is_some() {
                return Err(Error::broken("was abandoned during a call"));
            }
            *waiting = Some(PendingCall { what: frame.topic.name(), answer });
        }
        self.send(frame);
        let Ok(frame) = answered.await else {
            let over = self.calls().over.clone();
            return Err(Error::broken(over.unwrap_or_else(|| "ended".into())));
        };
        match frame.topic {
            Topic::Done => Ok(frame),
            Topic::Failed => Err(match frame.read::<ErrorMessage>() {
                Ok(failure) => Error::from(failure),
                Err(why) => Error::broken(why),
            }),
            _ => Err(Error::broken(frame.text())),
        }
    }

    /// Sends a frame without waiting. The task sends what the socket does not accept now.
    pub(crate) fn send(&self, frame: &Frame) {
        let bytes = frame.encode();
        let mut outbox = self.outbox.lock();
        let mut rest = bytes.as_slice();
        if outbox.is_empty() {
            // If the socket is full or closed, the task notices.
            let sent = self.stream.try_write(rest).unwrap_or(0);
            rest = &rest[sent..];
        }
        outbox.extend(rest);
        if !rest.is_empty() {
            self.more.notify_one();
        }
    }

    /// Sends what the socket accepts. False if it is closed, or if too much is unsent.
    fn flush(&self) -> bool {
        let mut outbox = self.outbox.lock();
        while !outbox.is_empty() {
            match self.stream.try_write(outbox.as_slices().0) {
                Ok(sent) => drop(outbox.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        outbox.len() <= WAITING
    }

    fn has_more(&self) -> bool {
        !self.outbox.lock().is_empty()
    }

    fn calls(&self) -> parking_lot::MutexGuard<'_, Calls> {
        self.calls.lock()
    }

    /// The name of an operation in progress.
    fn call(&self) -> Option<&'static str> {
        self.calls().waiting.iter().flatten().map(|waiting| waiting.what).next()
    }

    /// Hands an answer to the operation that waits for it. False if none does.
    fn answer(&self, frame: Frame) -> bool {
        let waiting = self.calls().waiting.get_mut(frame.slot as usize).and_then(Option::take);
        let Some(waiting) = waiting else { return false };
        let _ = waiting.answer.send(frame); // the requester may be gone
        true
    }

    /// Ends all operations. The first reason is kept.
    fn end(&self, why: impl FnOnce() -> String) {
        let mut calls = self.calls();
        calls.over.get_or_insert_with(why);
        calls.waiting = [None, None];
    }
}

/// Tracks whether the child answers.
struct Heartbeat {
    call_time: Duration,
    /// The time of the ping that is not answered yet.
    asked: Option<Instant>,
    next: Instant,
}

/// The decision when the timer of a heartbeat has fired.
#[derive(Debug, PartialEq, Eq)]
enum Beat {
    /// The child is to be pinged.
    Ping,
    /// The child has another `call_time` to answer.
    Wait,
    /// The child has not answered in time.
    Hung,
}

impl Heartbeat {
    fn at(&self) -> Instant {
        self.asked.map_or(self.next, |asked| asked + self.call_time)
    }

    /// Begins the pause before the next ping.
    fn rest(&mut self, now: Instant) {
        self.asked = None;
        self.next = now + self.call_time / 4;
    }

    /// Decides after the timer has fired. A timer that fires late means that the engine had no processor: the answer may
    /// have arrived, or the ping was not sent yet.
    fn fired(&mut self, now: Instant) -> Beat {
        let late = now.saturating_duration_since(self.at()) > self.call_time / 4;
        match self.asked.replace(now) {
            None => Beat::Ping,
            Some(_) if late => Beat::Wait,
            Some(_) => Beat::Hung,
        }
    }
}

/// The task that serves a connection while the child lives.
struct ConnectionTask {
    connection: Arc<Connection>,
    watch: ChildWatch,
    inbox: Inbox,
    heartbeat: Heartbeat,
    cx: Cx,
}

impl ConnectionTask {
    async fn run(mut self) {
        let mut drained = false;
        loop {
            let connection = &self.connection;
            tokio::select! {
                ready = connection.stream.readable() => {
                    if ready.is_err() || !self.read() {
                        break;
                    }
                }
                ready = connection.stream.writable(), if connection.has_more() => {
                    if ready.is_err() || !connection.flush() {
                        break;
                    }
                }
                () = connection.more.notified() => {}
                // A process that the child forked may hold the socket open, so the end of the socket may never come.
                _ = self.watch.ended() => {
                    self.read();
                    break;
                }
                () = self.cx.stopping(), if !drained => {
                    drained = true;
                    connection.send(&Frame::new(Topic::Drain));
                }
                () = sleep_until(self.heartbeat.at()) => {
                    if !self.check_heartbeat() {
                        break;
                    }
                }
            }
        }
        self.over().await;
    }

    /// Reads the available frames. False if the connection is over.
    fn read(&mut self) -> bool {
        let mut piece = [0; PIECE];
        loop {
            match self.connection.stream.try_read(&mut piece) {
                Ok(0) => return false,
                Ok(length) => self.inbox.feed(&piece[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
            loop {
                match self.inbox.next() {
                    Ok(Some(frame)) => {
                        // An answer too many would be taken for that of the next operation.
                        if !self.take(frame) {
                            return self.breach("it answered something that it was not asked");
                        }
                    }
                    Ok(None) => break,
                    Err(error) => return self.breach(error),
                }
            }
        }
    }

    /// The child broke the contract, so it is killed.
    fn breach(&self, problem: impl std::fmt::Display) -> bool {
        self.connection.end(|| format!("broke the contract: {problem}"));
        self.watch.kill();
        false
    }

    /// Handles one frame. False if it is an answer to nothing.
    fn take(&mut self, frame: Frame) -> bool {
        match frame.topic {
            Topic::Log => log(self.cx.component(), &frame),
            Topic::Progress => {
                if let Ok(far) = frame.read::<ProgressMessage>() {
                    self.cx.progress().set(far.done, far.total);
                }
            }
            topic => {
                self.heartbeat.rest(Instant::now());
                return topic == Topic::Pong || self.connection.answer(frame);
            }
        }
        true
    }

    /// Pings the child during an operation. False if it has not answered in time.
    fn check_heartbeat(&mut self) -> bool {
        let now = Instant::now();
        let Some(what) = self.connection.call() else {
            self.heartbeat.rest(now);
            return true;
        };
        match self.heartbeat.fired(now) {
            Beat::Ping => self.connection.send(&Frame::new(Topic::Ping)),
            Beat::Wait => {}
            Beat::Hung => {
                let call_time = self.heartbeat.call_time;
                self.connection.end(|| format!("did not return from `{what}` within {call_time:?}"));
                self.watch.kill();
                return false;
            }
        }
        true
    }

    /// Ends the child after its socket was closed.
    async fn over(mut self) {
        let status = match tokio::time::timeout(GRACE, self.watch.ended()).await {
            Ok(status) => status,
            Err(_) => {
                self.watch.kill();
                self.watch.ended().await
            }
        };
        self.connection.end(|| exit_status::past(status));
    }
}

/// Logs a line of the child.
pub(crate) fn log(component: &str, frame: &Frame) {
    let Ok(LogMessage { level, message }) = frame.read() else { return };
    match level.as_str() {
        "ERROR" => tracing::error!(component, "{message}"),
        "WARN" => tracing::warn!(component, "{message}"),
        "INFO" => tracing::info!(component, "{message}"),
        "DEBUG" => tracing::debug!(component, "{message}"),
        _ => tracing::trace!(component, "{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_is_hung_only_if_the_engine_had_time_to_see_its_answer() {
        let (start, call_time) = (Instant::now(), Duration::from_secs(4));
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut heartbeat = Heartbeat { call_time, asked: None, next: after(1) };
        assert_eq!((heartbeat.fired(after(1)), heartbeat.at()), (Beat::Ping, after(5)));
        assert_eq!((heartbeat.fired(after(9)), heartbeat.at()), (Beat::Wait, after(13)), "it fired late");
        assert_eq!(heartbeat.fired(after(14)), Beat::Hung, "a quarter of the call time is no delay");
        heartbeat.rest(after(14));
        assert_eq!((heartbeat.at(), heartbeat.fired(after(60))), (after(15), Beat::Ping));
    }
}

//! A server that is connected to on demand, and again after its connection broke.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tidegate_sdk::{Class, Error};

use crate::server::address::{Address, Login};
use crate::server::ask::ask_with;
use crate::server::commands::{CommandSource, Commands};
use crate::server::connection::{Broken, Connection, Dialer, Exchange};
use crate::server::resp::{self, Reply};
use crate::server::sentinel::{Sentinels, Watch};
use crate::server::verdict::{Verdict, classify};

/// The most bytes of commands in one exchange.
const EXCHANGE_BYTES: usize = 1 << 20;

/// The time that replicas have to confirm what was written before, ahead of the next write.
const MISSING_REPLICAS: Duration = Duration::from_millis(100);

/// The server of a link.
#[derive(Clone)]
pub(crate) enum Route {
    /// The server at this address.
    Fixed(Address),
    /// The current master of the sentinels.
    Sentinel(Arc<Sentinels>),
}

/// A lazily opened connection.
pub(crate) struct Link {
    route: Route,
    login: Arc<Login>,
    dialer: Arc<Dialer>,
    connection: Option<Connection>,
    watch: Watch,
    /// The number of replicas that must have a write before it counts.
    replicas: u32,
}

impl Link {
    /// A link that is not connected yet.
    pub(crate) fn new(route: Route, login: Arc<Login>, dialer: Arc<Dialer>) -> Self {
        let replicas = dialer.replicas;
        Self { route, login, dialer, connection: None, watch: Watch::default(), replicas }
    }

    /// Connects, if there is no connection.
    pub(crate) async fn open(&mut self) -> Result<(), Error> {
        let connection = self.take().await?;
        self.connection = Some(connection);
        Ok(())
    }

    /// The connection. It is given back when everything that was sent is answered: if the future that uses it is
    /// dropped before, the connection is dropped with it, so no late answer is taken for that of another command.
    async fn take(&mut self) -> Result<Connection, Error> {
        let mut connection = self.current().await?;
        if self.replicas > 0 {
            // With too few replicas nothing is written, because it would have to be written again and again.
            let waited = wait_for_replicas(&mut connection, self.replicas, MISSING_REPLICAS).await;
            waited.map_err(|error| match error.class() {
                Class::Ambiguous => Error::retry(error.message()),
                _ => error,
            })?;
        }
        Ok(connection)
    }

    async fn current(&mut self) -> Result<Connection, Error> {
        if let Some(mut connection) = self.connection.take()
            && !connection.is_closed()
        {
            let Route::Sentinel(sentinels) = &self.route else { return Ok(connection) };
            if sentinels.is_master(&mut self.watch, &self.dialer, &connection).await? {
                return Ok(connection);
            }
        }
        self.dial().await
    }

    /// Opens another connection to the server.
    pub(crate) async fn dial(&mut self) -> Result<Connection, Error> {
        match &self.route {
            Route::Fixed(address) => self.dialer.dial(address, &self.login).await,
            Route::Sentinel(sentinels) => sentinels.dial(&mut self.watch, &self.dialer, &self.login).await,
        }
    }

    /// Confirms that what was written over `connection` counts: its server is still the master, and enough replicas
    /// have it.
    pub(crate) async fn confirm(&mut self, connection: &mut Connection) -> Result<(), Error> {
        if self.replicas > 0 {
            wait_for_replicas(connection, self.replicas, self.dialer.answer_limit / 2).await?;
        }
        match &self.route {
            Route::Fixed(_) => Ok(()),
            Route::Sentinel(sentinels) => sentinels.confirm(&mut self.watch, &self.dialer, connection).await,
        }
    }

    /// Gives the connection back after an exchange. If its writes are not confirmed, they are ambiguous.
    async fn give_back(&mut self, mut connection: Connection, verdicts: &mut [Verdict]) {
        let has_written = verdicts.iter().any(|verdict| matches!(verdict, Verdict::Done(_)));
        if has_written && let Err(error) = self.confirm(&mut connection).await {
            let message: Arc<str> = error.message().into();
            let done = verdicts.iter_mut().filter(|verdict| matches!(verdict, Verdict::Done(_)));
            done.for_each(|verdict| *verdict = Verdict::Again(Class::Ambiguous, Arc::clone(&message)));
            return;
        }
        self.connection = Some(connection);
    }

    /// Ends the connection.
    pub(crate) async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }

    /// Sends these commands, each after an ASKING if `asking`. Returns their verdicts in order.
    ///
    /// A command that must be retried ends it: later commands are not sent, so they do not overtake it. Commands of
    /// the same exchange may overtake it.
    pub(crate) async fn send(&mut self, all: &Commands, commands: &[usize], asking: bool) -> Vec<Verdict> {
        let mut verdicts = Vec::with_capacity(commands.len());
        let mut rest = commands;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(exchange_length(all, rest));
            rest = later;
            self.exchange(all, now, asking, &mut verdicts).await;
            if let Some(halt) = halt(&verdicts[verdicts.len() - now.len()..]) {
                // The server may have been demoted, or may restart. The next attempt looks it up again.
                self.connection = None;
                verdicts.resize(commands.len(), halt);
                break;
            }
        }
        verdicts
    }

    /// As [`send`](Self::send), for all commands that `supply` adds. They are sent while it adds more.
    pub(crate) async fn send_from(
        &mut self,
        commands: &mut Commands,
        supply: &mut impl CommandSource,
    ) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        let (mut is_over, mut start) = (false, 0);
        while !is_over || verdicts.len() < commands.list.len() {
            let first = verdicts.len();
            let (end, count) = (commands.buffer.len(), commands.list.len());
            let mut exchange =
                Batched { commands, supply, first, start, end, count, verdicts: &mut verdicts, is_over };
            let mut confirm = None;
            let broken = match self.take().await {
                Ok(mut connection) => match connection.run(&mut exchange).await {
                    Ok(()) => {
                        confirm = Some(connection);
                        None
                    }
                    Err(broken) => Some(broken),
                },
                Err(error) => Some(Broken { written: 0, is_too_long: false, error }),
            };
            (is_over, start) = (exchange.is_over, exchange.end);
            let failed = broken.map(|broken| {
                exchange.give_up(&broken);
                Verdict::Again(broken.error.class(), broken.error.message().into())
            });
            if let Some(connection) = confirm {
                self.give_back(connection, &mut verdicts[first..]).await;
            }
            if let Some(halt) = halt(&verdicts[first..]).or(failed) {
                self.connection = None;
                while !is_over {
                    is_over = !supply.supply(commands);
                }
                verdicts.resize(commands.list.len(), halt);
            }
        }
        verdicts
    }

    /// Sends commands in one exchange and adds a verdict for each.
    async fn exchange(
        &mut self,
        all: &Commands,
        commands: &[usize],
        asking: bool,
        verdicts: &mut Vec<Verdict>,
    ) {
        let wanted = verdicts.len() + commands.len();
        let mut connection = match self.take().await {
            Ok(connection) => connection,
            Err(error) => {
                return verdicts.resize(wanted, Verdict::Again(error.class(), error.message().into()));
            }
        };
        let (request, ends) = request(all, commands, asking);
        let replies = commands.len() * if asking { 2 } else { 1 };
        let mut answered = 0;
        let result = connection
            .exchange(&request, replies, |reply| {
                let is_asking = asking && answered % 2 == 0;
                let command = commands[if asking { answered / 2 } else { answered }];
                answered += 1;
                if !is_asking {
                    verdicts.push(classify(all.list[command].expect, &reply));
                }
            })
            .await;
        let Err(broken) = result else {
            let first = wanted - commands.len();
            self.give_back(connection, &mut verdicts[first..]).await;
            return;
        };
        let message: Arc<str> = broken.error.message().into();
        let answered = verdicts.len() + commands.len() - wanted;
        for class in unanswered(&ends, answered, broken.written) {
            verdicts.push(Verdict::Again(class, Arc::clone(&message)));
        }
    }
}

/// Waits until this many replicas have what was written over the connection.
async fn wait_for_replicas(connection: &mut Connection, count: u32, limit: Duration) -> Result<(), Error> {
    let (wanted, limit) = (count.to_string(), limit.as_millis().max(1).to_string());
    let question: [&[u8]; 3] = [b"WAIT", wanted.as_bytes(), limit.as_bytes()];
    let answer = ask_with(connection, &question, |reply| match reply {
        Reply::Integer(number) => Ok(*number),
        Reply::Error(text) => Err(String::from_utf8_lossy(text).into_owned()),
        _ => Ok(0),
    });
    match answer.await? {
        Ok(number) if number >= i64::from(count) => Ok(()),
        Ok(number) => Err(Error::ambiguous(format!(
            "{number} replicas of {} have what was written, and `wait_for_replicas` is {count}",
            connection.address()
        ))),
        Err(text) => Err(Error::misconfigured(format!("the server answered: {text}"))),
    }
}

/// The commands of one exchange, sent while more of them are made.
struct Batched<'x, S> {
    commands: &'x mut Commands,
    supply: &'x mut S,
    /// The first command, and its start in the buffer.
    first: usize,
    start: usize,
    /// The first command of the next exchange, and its start in the buffer.
    count: usize,
    end: usize,
    verdicts: &'x mut Vec<Verdict>,
    /// True if all commands are made.
    is_over: bool,
}

impl<S: CommandSource> Exchange for Batched<'_, S> {
    fn more(&mut self) -> bool {
        if self.is_over || self.request().len() >= EXCHANGE_BYTES {
            return false;
        }
        self.is_over = !self.supply.supply(self.commands);
        let made = self.commands.buffer.len();
        if self.end > self.start && made - self.start > EXCHANGE_BYTES {
            return false;
        }
        (self.end, self.count) = (made, self.commands.list.len());
        !self.is_over
    }

    fn request(&self) -> &[u8] {
        &self.commands.buffer[self.start..self.end]
    }

    fn replies(&self) -> usize {
        self.count - self.first
    }

    fn reply(&mut self, reply: Reply<'_>) {
        self.verdicts.push(classify(self.commands.list[self.verdicts.len()].expect, &reply));
    }
}

impl<S> Batched<'_, S> {
    /// Adds the verdicts of the commands without a reply.
    fn give_up(&mut self, broken: &Broken) {
        let Broken { written, error, .. } = broken;
        let message: Arc<str> = error.message().into();
        let ends: Vec<_> = self.commands.list[self.first..self.count]
            .iter()
            .map(|command| command.bytes.end - self.start)
            .collect();
        let answered = self.verdicts.len() - self.first;
        for class in unanswered(&ends, answered, *written) {
            // The problem of a server that cannot be reached is known. After a part was sent, it is not.
            let class = if *written == 0 { error.class() } else { class };
            self.verdicts.push(Verdict::Again(class, Arc::clone(&message)));
        }
    }
}

/// The verdict of all later commands, if one of these verdicts stops them.
fn halt(verdicts: &[Verdict]) -> Option<Verdict> {
    verdicts.iter().find_map(|verdict| match verdict {
        Verdict::Again(Class::Ambiguous, message) => Some(Verdict::Again(Class::Retry, Arc::clone(message))),
        Verdict::Again(class, message) => Some(Verdict::Again(*class, Arc::clone(message))),
        _ => None,
    })
}

/// The classes of the commands after the first `answered`, when `written` bytes have left. `ends` are the ends of the
/// commands. A command of which no byte has left was certainly not done.
fn unanswered(ends: &[usize], answered: usize, written: usize) -> impl Iterator<Item = Class> {
    let begins = std::iter::once(0).chain(ends.iter().copied()).take(ends.len());
    begins.skip(answered).map(move |begin| if begin < written { Class::Ambiguous } else { Class::Retry })
}

/// The number of commands in the next exchange: at least one.
fn exchange_length(all: &Commands, commands: &[usize]) -> usize {
    let mut bytes = 0;
    let fits = commands.iter().take_while(|command| {
        bytes += all.list[**command].bytes.len();
        bytes <= EXCHANGE_BYTES
    });
    fits.count().max(1)
}

/// The bytes to send, and the end of each command in them. Adjacent commands are not copied.
fn request<'p>(all: &'p Commands, commands: &[usize], asking: bool) -> (Cow<'p, [u8]>, Vec<usize>) {
    let spans = || commands.iter().map(|command| all.list[*command].bytes.clone());
    let in_a_row = commands.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    if let (true, false, Some(first), Some(last)) = (in_a_row, asking, spans().next(), spans().next_back()) {
        let ends = spans().map(|span| span.end - first.start).collect();
        return (Cow::Borrowed(&all.buffer[first.start..last.end]), ends);
    }
    let mut bytes = Vec::new();
    let mut ends = Vec::with_capacity(commands.len());
    for span in spans() {
        if asking {
            resp::command(&mut bytes, &[b"ASKING"]);
        }
        bytes.extend_from_slice(&all.buffer[span]);
        ends.push(bytes.len());
    }
    (Cow::Owned(bytes), ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsent_commands_are_not_ambiguous() {
        let classes = |answered, written| unanswered(&[10, 20, 30], answered, written).collect::<Vec<_>>();
        assert_eq!(classes(0, 0), [Class::Retry; 3]);
        assert_eq!(classes(1, 20), [Class::Ambiguous, Class::Retry]);
        assert_eq!(classes(1, 21), [Class::Ambiguous; 2]);
        assert_eq!(classes(3, 30), []);
    }
}

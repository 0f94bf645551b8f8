//! Makes the source from its options.

use std::collections::VecDeque;
use std::sync::Arc;

use reqwest::Method;
use tidegate_sdk::{ConfigError, ConfigErrors};

use super::HttpPoll;
use super::cursor::Cursor;
use super::decode::Decoder;
use super::health::PollHealth;
use super::options::PollOptions;
use super::pages::Pages;
use super::position::PollPosition;
use super::request::{Placeholder, RequestTemplate};
use super::schedule::Schedule;
use super::unique::Unique;
use crate::client::HttpClient;
use crate::client::expression::Expression;

impl HttpPoll {
    /// Makes the source.
    ///
    /// # Errors
    /// Everything that is wrong with the options.
    pub(super) fn new(mut options: PollOptions) -> Result<Self, ConfigError> {
        let mut errors = ConfigErrors::default();
        let schedule = errors.keep(Schedule::new(&options));
        errors.keep(options.check());
        let template = errors.keep(RequestTemplate::new(&mut options));
        let client = errors.keep(HttpClient::new(&options.client, &Method::from(options.method)));
        let warnings = options.warnings();
        let uses = |is_it: fn(Placeholder) -> bool| template.as_ref().is_some_and(|known| known.uses(is_it));
        let page_is_placed = uses(|placeholder| placeholder == Placeholder::Page);
        let cursor_is_placed = uses(|placeholder| matches!(placeholder, Placeholder::Cursor(_)));
        let cursor = options.cursor.take().map(|cursor| Cursor::new(cursor, cursor_is_placed));
        let cursor = errors.keep(cursor.transpose()).flatten();
        let decoder = errors.keep(decoder(&options, cursor));
        let delay = options.pagination.as_ref().and_then(|page| page.delay);
        let pages = errors.keep(Pages::new(options.pagination, page_is_placed));
        let (Some(schedule), Some(template), Some(client), Some(pages), Some(decoder)) =
            (schedule, template, client, pages, decoder)
        else {
            return Err(errors.into_error());
        };
        errors.finish(())?;
        Ok(Self {
            client,
            template,
            warnings,
            schedule,
            conditional: options.conditional && matches!(pages, Pages::One),
            max_pages: options.max_pages,
            delay: delay.map(|delay| delay.0),
            is_delayed: false,
            times: options.times,
            made: 0,
            unique: options.unique.as_ref().map(|_| Unique::new(options.unique_events)),
            since: decoder.cursor.as_ref().and_then(|cursor| cursor.initial.clone()),
            decoder: Arc::new(decoder),
            pages,
            validators: None,
            walk: None,
            suspended: None,
            ready: VecDeque::new(),
            kept: PollPosition::default(),
            health: PollHealth::default(),
        })
    }
}

fn decoder(options: &PollOptions, cursor: Option<Cursor>) -> Result<Decoder, ConfigError> {
    let mut errors = ConfigErrors::default();
    let page = options.pagination.as_ref();
    let mut expression =
        |text: Option<&str>, pointer| errors.keep(Expression::optional(text, pointer)).flatten();
    let items = expression(options.items.as_deref(), "/items");
    let from = expression(page.and_then(|page| page.from.as_deref()), "/pagination/from");
    let stop = expression(page.and_then(|page| page.stop.as_deref()), "/pagination/stop");
    errors.finish(Decoder {
        decode: options.decode,
        items,
        missing: options.missing,
        from,
        stop,
        size: options.client.inflated_size.as_usize(),
        unique: options.unique.clone(),
        cursor,
    })
}

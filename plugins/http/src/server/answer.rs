//! What is sent back.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use serde_json::json;

use crate::exchange::Rendered;

/// A whole answer.
pub(super) type Answer = Response<Full<Bytes>>;

/// Why a request is not served, as the client is told: the status, and `{"error": MESSAGE}`.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    header: Option<(HeaderName, HeaderValue)>,
    close: bool,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), header: None, close: false }
    }

    /// 503: the server cannot take it now, and may in a moment.
    pub(super) fn unavailable(message: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(1)
    }

    /// 503 for all that comes while the pipeline stops.
    pub(super) fn stopping() -> Self {
        Self { close: true, ..Self::unavailable("the server is stopping") }
    }

    /// 413.
    pub(super) fn too_large(message: String) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// 401.
    pub(super) fn unauthorized() -> Self {
        let message = "this needs the header `Authorization: Bearer` with the right token";
        let scheme = (WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        Self { header: Some(scheme), ..Self::new(StatusCode::UNAUTHORIZED, message) }
    }

    /// 405.
    pub(super) fn method(method: &str, allow: &HeaderValue) -> Self {
        let message = format!("{method} is not served here");
        Self { header: Some((ALLOW, allow.clone())), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, message) }
    }

    /// The same, with this header in place of another.
    pub(super) fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    /// The same, to be tried again after so many seconds.
    pub(super) fn retry_after(self, seconds: u16) -> Self {
        Self { header: Some((RETRY_AFTER, HeaderValue::from(seconds))), ..self }
    }

    /// The same, and the connection ends with it.
    pub(super) fn and_close(self) -> Self {
        Self { close: true, ..self }
    }

    /// What is sent.
    pub(super) fn into_answer(self) -> Answer {
        let mut answer = of_json(self.status, json!({ "error": self.message }).to_string());
        if let Some((name, value)) = self.header {
            answer.headers_mut().insert(name, value);
        }
        if self.close {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

/// An answer without content.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = status;
    answer
}

/// What there is, for OPTIONS.
pub(super) fn options(allow: &HeaderValue) -> Answer {
    let mut answer = empty(StatusCode::NO_CONTENT);
    answer.headers_mut().insert(ALLOW, allow.clone());
    answer
}

/// The number of events that were taken.
pub(super) fn taken(status: StatusCode, events: usize) -> Answer {
    of_json(status, format!("{{\"events\":{events}}}"))
}

/// What a pipeline made of a request.
pub(super) fn result(rendered: Rendered) -> Answer {
    let mut answer = Answer::default();
    let mut content_type = HeaderValue::from_static(rendered.content_type);
    if let Some(style) = &rendered.style {
        *answer.status_mut() = style.status;
        answer.headers_mut().clone_from(&style.headers);
        content_type = style.content_type.clone().unwrap_or(content_type);
    }
    match rendered.body {
        Some(body) => {
            *answer.body_mut() = Full::new(body);
            answer.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        None if answer.status() == StatusCode::OK => *answer.status_mut() = StatusCode::NO_CONTENT,
        None => {}
    }
    answer
}

fn of_json(status: StatusCode, body: String) -> Answer {
    let mut answer = Answer::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

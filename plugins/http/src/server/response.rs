//! Responses.

use bytes::Bytes;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use serde_json::json;

use crate::pending::RenderedResults;

/// A complete response.
pub(super) type Response = hyper::Response<Full<Bytes>>;

/// An error for the client: a status, and `{"error": MESSAGE}`.
#[derive(Debug)]
pub(super) struct ErrorResponse {
    status: StatusCode,
    message: String,
    header: Option<(HeaderName, HeaderValue)>,
    close: bool,
}

impl ErrorResponse {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), header: None, close: false }
    }

    /// 503: the server is temporarily unable to take the request.
    pub(super) fn unavailable(message: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(1)
    }

    /// 503: the pipeline stops.
    pub(super) fn stopping() -> Self {
        Self { close: true, ..Self::unavailable("the server is stopping") }
    }

    /// 413.
    pub(super) fn too_large(message: String) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// 401.
    pub(super) fn unauthorized() -> Self {
        let message = "the header `Authorization: Bearer` with the right token is required";
        let scheme = (WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        Self { header: Some(scheme), ..Self::new(StatusCode::UNAUTHORIZED, message) }
    }

    /// 405.
    pub(super) fn method(method: &str, allow: &HeaderValue) -> Self {
        let message = format!("the method {method} is not allowed");
        Self { header: Some((ALLOW, allow.clone())), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, message) }
    }

    /// Sets a header, in place of the one before.
    pub(super) fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    /// Asks the client to retry after this number of seconds.
    pub(super) fn retry_after(self, seconds: u16) -> Self {
        Self { header: Some((RETRY_AFTER, HeaderValue::from(seconds))), ..self }
    }

    /// Closes the connection after the response.
    pub(super) fn and_close(self) -> Self {
        Self { close: true, ..self }
    }

    /// Returns the response.
    pub(super) fn into_response(self) -> Response {
        let mut response = of_json(self.status, json!({ "error": self.message }).to_string());
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        if self.close {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Returns a response without content.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

/// Returns the response to OPTIONS.
pub(super) fn options(allow: &HeaderValue) -> Response {
    let mut response = empty(StatusCode::NO_CONTENT);
    response.headers_mut().insert(ALLOW, allow.clone());
    response
}

/// Returns the number of accepted events.
pub(super) fn taken(status: StatusCode, events: usize) -> Response {
    of_json(status, format!("{{\"events\":{events}}}"))
}

/// Returns the results of a pipeline.
pub(super) fn result(rendered: RenderedResults) -> Response {
    let mut response = Response::default();
    let mut content_type = HeaderValue::from_static(rendered.content_type);
    if let Some(style) = &rendered.style {
        *response.status_mut() = style.status;
        response.headers_mut().clone_from(&style.headers);
        content_type = style.content_type.clone().unwrap_or(content_type);
    }
    match rendered.body {
        Some(body) => {
            *response.body_mut() = Full::new(body);
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        None if response.status() == StatusCode::OK => *response.status_mut() = StatusCode::NO_CONTENT,
        None => {}
    }
    response
}

fn of_json(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

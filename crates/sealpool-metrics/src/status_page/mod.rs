mod facts;
mod recent;

use std::sync::LazyLock;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use sha2::{Digest as _, Sha256};

use crate::metrics::Metrics;
pub(crate) use recent::Recent;

const DOCUMENT: &str = include_str!("status.html");

/// Nothing but what the document itself has, and its own address for the data.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; base-uri 'none'; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; \
         img-src data:; script-src {}; style-src {}",
        source("script"),
        source("style"),
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// By what a policy knows the document's one element of that name.
fn source(element: &str) -> String {
    let (begin, end) = (format!("<{element}>"), format!("</{element}>"));
    let text = DOCUMENT.split_once(&begin).map(|(_, rest)| rest);
    let text = text.and_then(|rest| rest.split_once(&end));
    text.map_or_else(
        || "'none'".to_owned(),
        |(text, _)| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text))),
    )
}

impl Metrics {
    /// As [`status_page`](crate::status_page()).
    #[must_use]
    pub fn status_page<B>(&self, request: &Request<B>) -> Response<String> {
        let (status, kind, body) = match (request.method(), request.uri().query()) {
            (&Method::GET | &Method::HEAD, Some("data")) => (
                StatusCode::OK,
                "application/json",
                facts::of(&self.all()).to_string(),
            ),
            (&Method::GET | &Method::HEAD, _) => (
                StatusCode::OK,
                "text/html; charset=utf-8",
                DOCUMENT.to_owned(),
            ),
            _ => (
                StatusCode::METHOD_NOT_ALLOWED,
                "text/plain; charset=utf-8",
                "the status page can be read and nothing else\n".to_owned(),
            ),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }

    /// As [`status_route`](crate::status_route).
    #[cfg(feature = "axum")]
    pub fn status_route<S>(&self) -> axum::routing::MethodRouter<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let metrics = self.clone();
        axum::routing::get(async move |request: axum::extract::Request| {
            metrics.status_page(&request)
        })
    }
}

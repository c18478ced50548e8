//! The proxy a request goes through, for saying so: the HTTP client chooses by the same variables.

/// The proxy for an address, without user and password; none: a direct way.
#[must_use]
pub fn used_for(url: &str) -> Option<String> {
    choose(url, &|name| std::env::var(name).ok())
}

/// The same with the variables given.
fn choose(url: &str, variable: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let either = |low: &str, high: &str| variable(low).or_else(|| variable(high)).filter(|text| !text.trim().is_empty());
    let url = reqwest::Url::parse(url).ok()?;
    let host = url.host_str()?.to_ascii_lowercase();
    if either("no_proxy", "NO_PROXY").is_some_and(|list| excluded(&list, &host)) {
        return None;
    }
    let own = match url.scheme() {
        "https" => either("https_proxy", "HTTPS_PROXY"),
        // In a CGI's environment, HTTP_PROXY is what a client wrote.
        _ => either("http_proxy", if variable("REQUEST_METHOD").is_none() { "HTTP_PROXY" } else { "http_proxy" }),
    };
    own.or_else(|| either("all_proxy", "ALL_PROXY")).map(|proxy| without_login(proxy.trim()))
}

fn excluded(list: &str, host: &str) -> bool {
    list.split([',', ' ']).map(|entry| entry.trim().trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase()).any(|entry| {
        !entry.is_empty() && (entry == "*" || host == entry || host.strip_suffix(entry.as_str()).is_some_and(|rest| rest.ends_with('.')))
    })
}

fn without_login(proxy: &str) -> String {
    let (scheme, rest) = proxy.split_once("://").map_or(("", proxy), |(scheme, rest)| (scheme, rest));
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let place = place.trim_end_matches('/');
    if scheme.is_empty() { place.to_owned() } else { format!("{scheme}://{place}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_is_chosen_as_clients_do() {
        let of = |url: &str, variables: &[(&str, &str)]| {
            choose(url, &|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        };
        let proxy = ("https_proxy", "http://user:secret@proxy.example.org:3128/");
        assert_eq!(of("https://x.org/", &[proxy]).as_deref(), Some("http://proxy.example.org:3128"));
        assert_eq!(of("http://x.org/", &[proxy]), None);
        assert_eq!(of("https://a.example.org/", &[proxy, ("NO_PROXY", "localhost, .example.org")]), None);
        assert_eq!(of("https://example.org/", &[proxy, ("no_proxy", "*.example.org")]), None);
        assert!(of("https://xexample.org/", &[proxy, ("no_proxy", "example.org")]).is_some());
        assert_eq!(of("https://x.org/", &[proxy, ("no_proxy", "*")]), None);
        assert_eq!(of("http://x.org/", &[("ALL_PROXY", "proxy:8080")]).as_deref(), Some("proxy:8080"));
        assert_eq!(of("http://x.org/", &[("HTTP_PROXY", "proxy:1"), ("REQUEST_METHOD", "GET")]), None);
        assert_eq!(of("https://x.org/", &[("https_proxy", " ")]), None);
    }
}

//! Clients for web addresses. Making one reads all of the system's certificates, which keeps a processor busy for tens of milliseconds.

use std::sync::{Arc, Weak};

use reqwest::{Client, ClientBuilder};
use tokio::sync::Mutex;

/// A client that all who ask at the same time share. It goes with the last of them: the next round of checks reads the certificates anew,
/// and sees those that were installed in between.
pub(crate) struct Shared {
    now: Mutex<Weak<Client>>,
    settings: fn(ClientBuilder) -> ClientBuilder,
}

impl Shared {
    /// One with these settings.
    pub(crate) const fn new(settings: fn(ClientBuilder) -> ClientBuilder) -> Self {
        Self { now: Mutex::const_new(Weak::new()), settings }
    }

    /// The client in use, or a new one.
    pub(crate) async fn get(&self) -> Result<Arc<Client>, String> {
        let mut now = self.now.lock().await;
        if let Some(client) = now.upgrade() {
            return Ok(client);
        }
        let client = Arc::new(build((self.settings)(Client::builder())).await?);
        *now = Arc::downgrade(&client);
        Ok(client)
    }
}

/// Makes a client where it holds up nobody.
pub(crate) async fn build(settings: ClientBuilder) -> Result<Client, String> {
    let built = tokio::task::spawn_blocking(move || settings.user_agent(super::USER_AGENT).build()).await;
    built.map_err(|error| error.to_string())?.map_err(|error| super::causes(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_asks_at_the_same_time_shares_a_client_and_the_next_gets_a_new_one() {
        static SHARED: Shared = Shared::new(|settings| settings);
        let (one, other) = tokio::join!(SHARED.get(), SHARED.get());
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(Arc::ptr_eq(&one, &other));
        let before = Arc::downgrade(&one);
        drop((one, other));
        assert!(before.upgrade().is_none(), "a client nobody uses would keep the certificates of its time");
        let next = SHARED.get().await.unwrap();
        assert!(!Weak::ptr_eq(&before, &Arc::downgrade(&next)));
    }
}

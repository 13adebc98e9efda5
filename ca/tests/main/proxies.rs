//! What proxies say of themselves, and who sees it.

use api::wire::TellProxyStatus;
use model::Span;

use crate::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn a_proxys_knowledge_ages_from_the_moment_at_which_it_says_how_old_it_is() {
    let site = Site::start().await;
    let (proxy, adam, alice) = (site.client("proxy:proxy1"), site.client("adam"), site.client("alice"));
    let names = |status: &api::wire::Status| status.proxies.iter().map(|p| p.name.to_string()).collect::<Vec<_>>();
    let silent = alice.status().await.unwrap();
    assert_eq!(names(&silent), ["proxy1", "proxy2"]);
    assert!(silent.proxies.iter().all(|proxy| proxy.told.is_none() && proxy.feed_age.is_none()), "{silent:?}");

    let said = TellProxyStatus {
        feed_age: Some(1000),
        feed_limit: 30_000,
        host_key: "SHA256:key".repeat(1000),
        host_key_error: Some("it can be read by others".to_owned()),
        host_key_refused: Some(adam.status().await.unwrap().started),
        user_ca: vec!["SHA256:key".repeat(1000); 2],
    };
    proxy.tell_proxy_status(&said).await.unwrap();
    site.clock.advance(Span::from_minutes(2));
    let (for_adam, for_alice) = (adam.status().await.unwrap(), alice.status().await.unwrap());
    let (adams, alices) = (&for_adam.proxies[0], &for_alice.proxies[0]);
    let age = adams.feed_age.unwrap();
    assert!((121_000..150_000).contains(&age) && adams.feed_limit == Some(30_000), "{adams:?}");
    assert_eq!(adams.host_key.as_ref().map(String::len), Some(128), "no proxy fills memory with its words");
    assert_eq!(adams.host_key_error.as_deref(), Some("it can be read by others"));
    assert_eq!(alices.host_key_error, None, "why is for those who write the file");
    assert!(alices.host_key_refused.is_some() && alices.feed_age.is_some(), "that it is so concerns everybody");
    assert!(for_adam.proxies[1].told.is_none(), "each speaks for itself");
}

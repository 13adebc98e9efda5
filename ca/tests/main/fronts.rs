//! What proxies show to people and what targets show to proxies: two keys, and neither side gets the other's.

use api::wire::{self, HostSubject};
use api::{Client, ClientError};
use model::Fact;
use ssh_key::Certificate;

use crate::site::{Site, code, house, key_of, ledger};

fn proxy1() -> HostSubject {
    HostSubject::Proxy { name: "proxy1".parse().unwrap() }
}

fn stand_in(name: &str) -> HostSubject {
    HostSubject::StandIn { name: name.parse().unwrap() }
}

fn target(name: &str) -> HostSubject {
    HostSubject::Target { name: name.parse().unwrap() }
}

async fn certify(client: &Client, host: HostSubject) -> Result<wire::Certificate, ClientError> {
    let public_key = key_of("some host key").public_key().to_openssh().unwrap();
    client.issue_host_certificate(&wire::IssueHostCertificate { host, public_key }).await
}

fn signer(issued: &wire::Certificate) -> String {
    let certificate = Certificate::from_openssh(issued.certificate.as_ref().unwrap()).unwrap();
    identity::fingerprint(certificate.signature_key())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_gets_what_people_see_and_never_what_proxies_believe() {
    let site = Site::start().await;
    let (proxy, adam) = (site.client("proxy:proxy1"), site.client("adam"));
    for (host, names) in [(proxy1(), vec!["localhost", "ssh.test"]), (stand_in("web1"), vec!["web1"])] {
        let issued = certify(&proxy, host).await.unwrap();
        assert_eq!((issued.profile.as_str(), signer(&issued)), ("front", house().keys.front_ca().fingerprint()));
        assert_eq!(issued.principals, names);
        assert!(issued.valid_before.0.since(issued.valid_after.0).as_secs() <= 86_460, "a day");
    }
    assert_eq!(code(certify(&proxy, target("web1")).await), "forbidden");
    assert_eq!(code(certify(&proxy, stand_in("web9")).await), "not-found");
    assert_eq!(code(certify(&site.client("proxy:proxy2"), proxy1()).await), "forbidden", "another proxy's name");

    let issued = certify(&adam, target("web1")).await.unwrap();
    assert_eq!((issued.profile.as_str(), signer(&issued)), ("host", house().keys.host_ca().fingerprint()));
    for host in [proxy1(), stand_in("web1")] {
        assert_eq!(code(certify(&adam, host).await), "forbidden", "nobody but a proxy passes for one");
    }

    let keys = site.anonymous().ca().await.unwrap();
    assert_eq!(keys.front_ca, house().keys.front_ca().public().to_openssh().unwrap());
    let (_, _, opened) = site.session("root", "web1").await;
    assert_eq!(opened.host_ca, keys.host_ca, "what a proxy is told to believe");
    assert_ne!(keys.front_ca, keys.host_ca);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_says_once_which_key_people_trust() {
    let mut site = Site::start().await;
    site.down().await;
    site.up().await;
    let said: Vec<_> = ledger(&site)
        .await
        .into_iter()
        .filter_map(|record| if let Fact::FrontCaLoaded { key } = record.entry.fact { Some(key) } else { None })
        .collect();
    assert_eq!(said, [house().keys.front_ca().fingerprint()]);
}

//! Certificates.

use model::{ProxyName, RequestId, TargetName};
use serde::{Deserialize, Serialize};

use super::Time;

/// `POST /v1/certificates`: a person certificate under one active grant.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IssueCertificate {
    /// The grant.
    #[schema(value_type = String)]
    pub request: RequestId,
    /// The key to be certified, in the OpenSSH one-line form.
    pub public_key: String,
    /// The nonce of a challenge for the purpose `certificate`.
    pub nonce: String,
    /// Proof of possession: the armored SSHSIG by that key over the canonical certificate request.
    pub proof: String,
}

/// A certificate as it was handed out, or as the ledger knows it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Certificate {
    /// Its serial.
    pub serial: u64,
    /// `person`, `session`, `host` or `front`.
    pub profile: String,
    /// The grant that it was issued under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub request: Option<RequestId>,
    /// Its key id.
    pub key_id: String,
    /// Its principals.
    pub principals: Vec<String>,
    /// Valid from.
    #[schema(value_type = String)]
    pub valid_after: Time,
    /// Valid until (exclusive).
    #[schema(value_type = String)]
    pub valid_before: Time,
    /// Fingerprint of the certified key.
    pub key: String,
    /// The certificate in the OpenSSH one-line form; only in the answer to its issue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// `POST /v1/host-certificates`: a certificate for a host. A proxy gets what it shows to people, signed by the front CA;
/// an administrator gets a target's own, signed by the host CA. Neither gets the other's.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IssueHostCertificate {
    /// For whom.
    pub host: HostSubject,
    /// The host key to be certified, in the OpenSSH one-line form.
    pub public_key: String,
}

/// Whose host certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HostSubject {
    /// The proxy itself, under the names that the CA's configuration lists for it; from the front CA.
    Proxy {
        /// Its name.
        #[schema(value_type = String)]
        name: ProxyName,
    },
    /// The proxy in the place of a target, behind `-J`; from the front CA.
    StandIn {
        /// The target's name.
        #[schema(value_type = String)]
        name: TargetName,
    },
    /// A target itself, for its own host key; from the host CA.
    Target {
        /// Its name.
        #[schema(value_type = String)]
        name: TargetName,
    },
}

/// `GET /v1/ca`: the public halves, which anyone may read.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CaKeys {
    /// Goes into `TrustedUserCAKeys`. Like the two that follow, it has a line for each key that is trusted: the first is the
    /// one that signs, and there is a second while another takes its place.
    pub user_ca: String,
    /// Signs what targets show to proxies. People need not know it.
    pub host_ca: String,
    /// Signs what proxies show to people: each line goes behind `@cert-authority` in `known_hosts`.
    pub front_ca: String,
    /// The ledger key, as a signed-note verifier key.
    pub ledger_key: String,
    /// Host names and ports of the proxies, for `ssh-config`.
    pub proxies: Vec<ProxyAddress>,
}

/// Where people reach a proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProxyAddress {
    /// The proxy.
    #[schema(value_type = String)]
    pub name: ProxyName,
    /// Its host name as people type it, and as its host certificate says.
    pub host: String,
    /// Its port.
    pub port: u16,
}

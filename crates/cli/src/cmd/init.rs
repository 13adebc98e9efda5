//! `portcullis init`: a new site, with keys, configuration, policy and directory. It overwrites nothing.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use ca::keys::Keys;
use ca::tls::{ROOT_FILE, Tls};
use identity::Directory;
use identity::files::{self, Access};
use model::{IdentityName, ProxyName, TargetName};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{LineEnding, PrivateKey};
use store::{Clock as _, Entropy as _, SystemClock, SystemEntropy};
use zeroize::Zeroizing;

use crate::config::{Config, EXAMPLE};
use crate::context::Context;
use crate::error::{CliError, Kind, chain};
use crate::home::make_private;
use crate::profile::unwritten;
use crate::serve;
use crate::show::field;

/// Make a new site: keys, TLS, configuration, policy and directory; overwrites nothing
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis init ./site --admin alice --admin-key ~/.ssh/id_ed25519.pub
  portcullis init /etc/portcullis --data /var/lib/portcullis \\
      --host ssh.example.org --listen 0.0.0.0:7443 \\
      --proxy-listen 0.0.0.0:2222 --source-address 10.1.0.5

The CA keys are sealed under a passphrase: it is asked for, or taken from
PORTCULLIS_PASSPHRASE, from --passphrase-file, or from the systemd credential
portcullis-passphrase.")]
pub(crate) struct Args {
    /// Where portcullis.toml, policy.cedar and directory.toml go
    #[arg(default_value = "/etc/portcullis")]
    dir: PathBuf,
    /// Where keys, ledger and recordings go (default: DIR/data)
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The first administrator
    #[arg(long, value_name = "NAME", requires = "admin_key")]
    admin: Option<IdentityName>,
    /// Their public SSH key
    #[arg(long, value_name = "FILE.pub", requires = "admin")]
    admin_key: Option<PathBuf>,
    /// The CA's name, which is part of what people sign; choose it once
    #[arg(long, value_name = "NAME", default_value = "portcullis")]
    server: String,
    /// The host name, or the IPv4 address, by which people reach API and proxy
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    host: TargetName,
    /// Where the API listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7443")]
    listen: SocketAddr,
    /// Where the proxy listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7022")]
    proxy_listen: SocketAddr,
    /// The proxy's name
    #[arg(long, value_name = "NAME", default_value = "proxy1")]
    proxy: ProxyName,
    /// An address from which the proxy reaches the targets (default: those of this machine that are found)
    #[arg(long, value_name = "ADDRESS")]
    source_address: Vec<String>,
    /// Read the passphrase from this file, which only its owner may read
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Only make the TLS root certificate of an existing site anew, from its sealed key
    #[arg(long, conflicts_with_all = ["admin", "server", "host", "listen", "proxy_listen", "proxy", "source_address"])]
    tls_root: bool,
}

/// Runs the verb.
pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let absolute = |path: &Path| std::path::absolute(path).map_err(|error| CliError::file("find", path, &error));
    let dir = absolute(&args.dir)?;
    let data = match &args.data {
        Some(data) => absolute(data)?,
        None => dir.join("data"),
    };
    if args.tls_root {
        return tls_root(context, args, &data);
    }
    let config_file = dir.join("portcullis.toml");
    let [policy_file, directory_file] = ["policy.cedar", "directory.toml"].map(|name| dir.join(name));
    // Looked at before anything is made, so that a refusal leaves nothing half done.
    for path in [&config_file, &policy_file, &directory_file, &data.join(ca::keys::FOLDER), &data.join(ROOT_FILE)] {
        if path.exists() {
            return Err(CliError::failed(
                format!("{} is there already, and init overwrites nothing", path.display()),
                "choose another directory; to begin anew, move the old site away: its keys cannot be made again",
            ));
        }
    }
    let admin = match (&args.admin, &args.admin_key) {
        (Some(name), Some(path)) => Some((name, read_key(path)?)),
        (Some(_), None) | (None, Some(_)) | (None, None) => None,
    };
    let proxy_key = fresh_key(&format!("portcullis {}", args.proxy))?;
    let host_key = fresh_key(&format!("portcullis {} host key", args.proxy))?;
    let config = configuration(args, &dir, &data)?;
    let directory = directory(admin.as_ref(), &args.proxy, &public_line(&proxy_key)?)?;
    // Whatever is wrong with it is better said now than at the first start.
    Config::parse(&config, &config_file.display().to_string(), &dir)?;

    let passphrase = serve::passphrase(context, args.passphrase_file.as_deref(), true)?;
    make_private(&data)?;
    std::fs::create_dir_all(&dir).map_err(|error| CliError::file("make", &dir, &error))?;
    let unmade =
        |error: &dyn std::error::Error| CliError::failed(chain(error), "remove what was made, and run init again");
    let keys = Keys::create(&data, &passphrase, &SystemEntropy).map_err(|error| unmade(&error))?;
    Tls::create_root(&data, &keys, SystemClock.now()).map_err(|error| unmade(&error))?;
    let proxy_folder = data.join("proxy");
    make_private(&proxy_folder)?;
    write_key(&proxy_folder.join("key"), &proxy_key)?;
    write_key(&proxy_folder.join("host-key"), &host_key)?;
    make_private(&data.join("recordings"))?;
    files::create_new(&policy_file, policy::EXAMPLE.as_bytes(), Access::Public).map_err(unwritten)?;
    files::create_new(&directory_file, directory.as_bytes(), Access::Public).map_err(unwritten)?;
    // Last: with it the site is whole.
    files::create_new(&config_file, config.as_bytes(), Access::Public).map_err(unwritten)?;
    report(context, args, &config_file, &data, &keys)
}

/// A lost or damaged certificate is made again; the key is what counts, and people pin the new file.
fn tls_root(context: &Context, args: &Args, data: &Path) -> Result<(), CliError> {
    let path = data.join(ROOT_FILE);
    if path.exists() {
        return Err(CliError::failed(
            format!("{} is there already, and init overwrites nothing", path.display()),
            "move it away first; everybody who pinned it logs in again with --root and the new file",
        ));
    }
    let passphrase = serve::passphrase(context, args.passphrase_file.as_deref(), false)?;
    let unmade = |error: &dyn std::error::Error| {
        CliError::failed(chain(error), "name the site's folder, or its data directory with --data")
    };
    Keys::add_missing(data, &passphrase, &SystemEntropy).map_err(|error| unmade(&error))?;
    let keys = Keys::open(data, &passphrase).map_err(|error| unmade(&error))?;
    Tls::create_root(data, &keys, SystemClock.now()).map_err(|error| unmade(&error))?;
    match context.output.is_json() {
        true => context.output.json(&serde_json::json!({ "root": path })),
        false => context.output.line(path.display()),
    }
}

fn report(context: &Context, args: &Args, config: &Path, data: &Path, keys: &Keys) -> Result<(), CliError> {
    let root = data.join(ROOT_FILE);
    let api = api_url(args);
    let output = &context.output;
    let [user_ca, host_ca, front_ca] = [keys.user_ca(), keys.host_ca(), keys.front_ca()].map(|key| key.fingerprint());
    if output.is_json() {
        return output.json(&serde_json::json!({
            "config": config, "data": data, "root": root, "api": api,
            "user-ca": user_ca, "host-ca": host_ca, "front-ca": front_ca,
        }));
    }
    output.line(format_args!("{} is a new site", args.dir.display()))?;
    field(context, "config", config.display())?;
    field(context, "data", data.display())?;
    field(context, "user CA", user_ca)?;
    field(context, "host CA", host_ca)?;
    field(context, "front CA", front_ca)?;
    output.line("\nNext:")?;
    let name = args.admin.as_ref().map_or("NAME", IdentityName::as_str);
    if args.admin.is_none() {
        output
            .line(format_args!("  edit {}/directory.toml       # people, their keys and groups", args.dir.display()))?;
    }
    output.line(format_args!(
        "  edit {}/policy.cedar         # who may ask for what, and who approves",
        args.dir.display()
    ))?;
    output.line(format_args!("  portcullis --config {} up", config.display()))?;
    output.line(format_args!(
        "  portcullis login --api {api} --root {} --identity {name} --key {}",
        root.display(),
        args.admin_key.as_deref().map_or_else(|| PathBuf::from("~/.ssh/id_ed25519"), login_key).display()
    ))?;
    output.line("  portcullis target add web1 --address HOST:22 --login root --apply root@HOST")?;
    output.line("\nKeep the passphrase and a copy of the data directory: the keys cannot be made again.")
}

/// What `login --key` takes for this public key: the private half where it lies beside it, else the file itself, for
/// the agent that holds the key.
fn login_key(public: &Path) -> PathBuf {
    let private = public.with_extension("");
    let is_public = public.extension().is_some_and(|end| end == "pub");
    if is_public && crate::home::expand(&private).is_file() { private } else { public.to_owned() }
}

/// The commented example with this site's values.
fn configuration(args: &Args, dir: &Path, data: &Path) -> Result<String, CliError> {
    let relative = |path: PathBuf| match path.strip_prefix(dir) {
        Ok(rest) => rest.to_owned(),
        Err(_) => path,
    };
    let path = |path: PathBuf| quoted(&relative(path).display().to_string());
    let mut names = vec![args.host.to_string()];
    for more in ["127.0.0.1", "::1", "localhost"] {
        if names.iter().all(|name| name != more) {
            names.push(more.to_owned());
        }
    }
    let sources = match args.source_address.is_empty() {
        true => own_addresses(),
        false => args.source_address.clone(),
    };
    let list = |texts: &[String]| format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "));
    let values = [
        ("{data}", path(data.to_owned())),
        ("{ca-listen}", quoted(&args.listen.to_string())),
        ("{server}", quoted(&args.server)),
        ("{recordings}", path(data.join("recordings"))),
        ("{proxy}", quoted(args.proxy.as_str())),
        ("{proxy-host}", quoted(args.host.as_str())),
        ("{proxy-port}", args.proxy_listen.port().to_string()),
        ("{source-addresses}", list(&sources)),
        ("{tls-names}", list(&names)),
        ("{proxy-listen}", quoted(&args.proxy_listen.to_string())),
        ("{api}", quoted(&api_url(args))),
        ("{root}", path(data.join(ROOT_FILE))),
        ("{proxy-key}", path(data.join("proxy/key"))),
        ("{proxy-host-key}", path(data.join("proxy/host-key"))),
    ];
    let mut text = EXAMPLE.to_owned();
    for (name, value) in values {
        if !text.contains(name) {
            return Err(CliError::failed(format!("the example has no place for {name}"), "report this"));
        }
        text = text.replace(name, &value);
    }
    Ok(text)
}

fn api_url(args: &Args) -> String {
    format!("https://{}:{}", args.host, args.listen.port())
}

/// The example directory with the groups that the example policy speaks of, with the proxy, and with the first
/// administrator when there is one.
fn directory(admin: Option<&(&IdentityName, String)>, proxy: &ProxyName, proxy_key: &str) -> Result<String, CliError> {
    let mut text = identity::EXAMPLE.to_owned();
    for (name, description) in GROUPS {
        text.push_str(&format!("\n[[group]]\nname = \"{name}\"\ndescription = \"{description}\"\n"));
    }
    if let Some((name, key)) = admin {
        text.push_str(&format!(
            "\n[[identity]]\nname = {}\nkeys = [{}]\ngroups = [\"{ADMINS}\"]\n",
            quoted(name.as_str()),
            quoted(key)
        ));
    }
    Directory::add_proxy(&text, proxy, proxy_key).map_err(|error| {
        CliError::failed(chain(&error), "give the administrator a key of their own with --admin-key FILE.pub")
    })
}

/// The group that the example policy lets administer.
const ADMINS: &str = "admins";
/// The groups of the example policy.
const GROUPS: [(&str, &str); 4] = [
    ("engineers", "Ask for access"),
    ("approvers", "Review what others ask for"),
    ("security", "Replay recordings, and lock"),
    (ADMINS, "Run Portcullis itself"),
];

fn read_key(path: &Path) -> Result<String, CliError> {
    let text = files::read_text(&crate::home::expand(path), 64 * 1024)
        .map_err(|error| CliError::new(Kind::NotFound, chain(&error), "name a .pub file"))?;
    let key = identity::parse_public_key(&text).map_err(|error| {
        CliError::usage(
            format!("{}: {}", path.display(), chain(&error)),
            "name the .pub file of the administrator's key",
        )
    })?;
    key.to_openssh().map_err(|error| CliError::failed(error, "name a .pub file"))
}

fn fresh_key(comment: &str) -> Result<PrivateKey, CliError> {
    let mut seed = Zeroizing::new([0; 32]);
    SystemEntropy.fill(seed.as_mut());
    let pair = KeypairData::from(Ed25519Keypair::from_seed(&seed));
    PrivateKey::new(pair, comment)
        .map_err(|error| CliError::failed(format!("no key could be made: {error}"), "try again"))
}

fn public_line(key: &PrivateKey) -> Result<String, CliError> {
    key.public_key().to_openssh().map_err(|error| CliError::failed(error, "try again"))
}

fn write_key(path: &Path, key: &PrivateKey) -> Result<(), CliError> {
    let text = key.to_openssh(LineEnding::LF).map_err(|error| CliError::failed(error, "try again"))?;
    files::create_new(path, text.as_bytes(), Access::Private).map_err(unwritten)?;
    let public = format!("{}\n", public_line(key)?);
    files::create_new(&path.with_extension("pub"), public.as_bytes(), Access::Public).map_err(unwritten)
}

/// A text as a TOML string.
fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

/// The addresses by which this machine reaches itself and the world. Connecting a datagram socket sends nothing.
fn own_addresses() -> Vec<String> {
    let mut found: Vec<IpAddr> = vec![IpAddr::from([127, 0, 0, 1]), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)];
    // Documentation addresses (RFC 5737, RFC 3849): any route to the world will do.
    for (from, to) in [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")] {
        let address = UdpSocket::bind(from).and_then(|socket| socket.connect(to).and_then(|()| socket.local_addr()));
        if let Ok(address) = address
            && !address.ip().is_unspecified()
            && !found.contains(&address.ip())
        {
            found.push(address.ip());
        }
    }
    found.iter().map(ToString::to_string).collect()
}

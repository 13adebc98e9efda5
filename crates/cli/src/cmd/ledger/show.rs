//! `portcullis ledger show`: records, filtered, and as they happen.

use api::{Client, Heard, LedgerFilter};
use model::{Record, Timestamp};

use super::{PAGE, print, print_in_full};
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::ids;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A line holds: the record's number, when (UTC), who, what happened, and the request or lock that it belongs to.
--json writes the facts themselves: an array, or with --follow one a line.")]
pub(super) struct Args {
    /// Show this one record in full
    #[arg(value_name = "SEQ", conflicts_with_all = ["from", "limit", "request", "actor", "subject", "kind", "since",
        "until", "follow"])]
    seq: Option<u64>,
    /// From this record on; without it and without a filter, the newest
    #[arg(long, value_name = "SEQ")]
    from: Option<u64>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 50)]
    limit: u32,
    /// Everything that belongs to this request, grant or lock
    #[arg(long, value_name = "ID", visible_alias = "correlation")]
    request: Option<String>,
    /// Caused by: a name, proxy:NAME or system
    #[arg(long, value_name = "WHO")]
    actor: Option<String>,
    /// About: identity:NAME, target:NAME, login:NAME@TARGET, session:ID, recording:ID
    #[arg(long, value_name = "WHAT")]
    subject: Option<String>,
    /// Of this kind, as request.filed
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Not before, as 2026-11-20T18:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Not after
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// And go on as it happens
    #[arg(long, short, conflicts_with = "until")]
    follow: bool,
}

/// Runs the verb.
pub(super) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let client = context.client().await?;
    if let Some(seq) = args.seq {
        return one(context, &client, seq).await;
    }
    let correlation = match &args.request {
        Some(text) if text.starts_with("req") => Some(ids::request(&client, text).await?.to_string()),
        other => other.clone(),
    };
    let (since, until) = (args.since.map(|at| at.to_string()), args.until.map(|at| at.to_string()));
    let mut filter = LedgerFilter {
        from: 0,
        limit: 0,
        correlation: correlation.as_deref(),
        actor: args.actor.as_deref(),
        subject: args.subject.as_deref(),
        kind: args.kind.as_deref(),
        since: since.as_deref(),
        until: until.as_deref(),
    };
    let filtered = [filter.correlation, filter.actor, filter.subject, filter.kind, filter.since, filter.until];
    filter.from = match (args.from, filtered.iter().any(Option::is_some)) {
        (Some(from), _) => from,
        (None, true) => 0,
        (None, false) => client.status().await?.records.saturating_sub(u64::from(args.limit)),
    };
    let mut left = args.limit;
    let mut records = Vec::new();
    let stream = !context.output.is_json() || args.follow;
    while left > 0 {
        filter.limit = left.min(PAGE);
        let page = client.ledger_records(&filter).await?;
        let end = page.records.is_empty() && page.next <= filter.from;
        left = left.saturating_sub(u32::try_from(page.records.len()).unwrap_or(u32::MAX));
        for record in page.records {
            match stream {
                true => print(context, &record)?,
                false => records.push(record),
            }
        }
        if end || page.next <= filter.from {
            break;
        }
        filter.from = page.next;
    }
    if !stream {
        return context.output.json(&records);
    }
    if !args.follow {
        return Ok(());
    }
    let mut feed = client.events(filter.from).await?;
    loop {
        tokio::select! {
            heard = feed.next() => match heard {
                Ok(Heard::Fact(record)) => {
                    filter.from = record.seq.next().0;
                    if fits(&filter, &record) {
                        print(context, &record)?;
                    }
                }
                Ok(Heard::Alive) => {}
                Err(_) => feed = client.events(filter.from).await?,
            },
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

async fn one(context: &Context, client: &Client, seq: u64) -> Result<(), CliError> {
    let page = client.ledger_records(&LedgerFilter { from: seq, limit: 1, ..LedgerFilter::default() }).await?;
    match page.records.first() {
        Some(record) if record.seq.0 == seq => print_in_full(context, record),
        Some(_) | None => Err(CliError::new(
            Kind::NotFound,
            format!("there is no record {seq} that you may see"),
            "portcullis ledger show lists the newest; portcullis status says how many there are",
        )),
    }
}

fn fits(filter: &LedgerFilter<'_>, record: &Record) -> bool {
    let entry = &record.entry;
    filter.correlation.is_none_or(|wanted| entry.correlation.as_str() == wanted)
        && filter.actor.is_none_or(|wanted| entry.actor.to_string() == wanted)
        && filter.kind.is_none_or(|wanted| entry.fact.kind() == wanted)
        && filter.subject.is_none_or(|wanted| entry.fact.subjects().iter().any(|subject| subject.as_str() == wanted))
}

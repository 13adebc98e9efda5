//! `portcullis ledger show`: records, filtered, and as they happen.

use std::collections::VecDeque;

use api::{Client, Heard, LedgerFilter};
use identity::strict::nearest;
use model::{Fact, Record, Timestamp};

use super::{PAGE, print, print_in_full};
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::ids;
use crate::words::listed;

/// How many are shown of what has no end of its own.
const LIMIT: usize = 50;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A line holds: the record's number, when (UTC), who, what happened, and the request or lock that it belongs to.
--json writes the facts themselves: an array, or with --follow one a line.")]
pub(super) struct Args {
    /// Show this one record in full
    #[arg(value_name = "SEQ", conflicts_with_all = ["from", "limit", "request", "actor", "subject", "kind", "since",
        "until", "follow"])]
    seq: Option<u64>,
    /// From this record on; without it, the newest
    #[arg(long, value_name = "SEQ")]
    from: Option<u64>,
    /// At most so many; without it 50, and everything of a request or a session
    #[arg(long, short = 'n', value_name = "COUNT")]
    limit: Option<u32>,
    /// Everything that belongs to this request, grant or lock
    #[arg(long, value_name = "ID", visible_alias = "correlation")]
    request: Option<String>,
    /// Caused by: a name, proxy:NAME or system
    #[arg(long, value_name = "WHO")]
    actor: Option<String>,
    /// About: identity:NAME, target:NAME, login:NAME@TARGET, session:ID, recording:ID
    #[arg(long, value_name = "WHAT")]
    subject: Option<String>,
    /// Of this kind, as request.filed; with "request." of every kind of that noun
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
    args.kind.as_deref().map(known).transpose()?;
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
    let whole = filter.correlation.is_some() || filter.subject.is_some_and(|subject| subject.starts_with("session:"));
    let limit = match args.limit {
        Some(limit) => Some(usize::try_from(limit).unwrap_or(usize::MAX)),
        None => (!whole).then_some(LIMIT),
    };
    let filtered = [filter.correlation, filter.actor, filter.subject, filter.kind, filter.since, filter.until];
    let unfiltered = filtered.iter().all(Option::is_none);
    let mut shown = Shown::new(context, !context.output.is_json() || args.follow);
    let left_out = match (args.from, limit) {
        (Some(from), Some(limit)) => {
            filter.from = from;
            forward(&client, &mut filter, limit, &mut shown).await?;
            match args.follow {
                // What follows begins with what the limit left out.
                true => None,
                false => rest(&client, filter).await?,
            }
        }
        (None, Some(limit)) => newest(&client, &mut filter, limit, unfiltered, &mut shown).await?,
        (from, None) => {
            filter.from = from.unwrap_or_default();
            forward(&client, &mut filter, usize::MAX, &mut shown).await?;
            None
        }
    };
    shown.close()?;
    if let Some((count, first)) = left_out {
        context.output.note(format_args!("{count} more: --from {first}"));
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

/// What is shown: printed as it comes, or kept for one array.
struct Shown<'a> {
    context: &'a Context,
    kept: Option<Vec<Record>>,
}

impl<'a> Shown<'a> {
    fn new(context: &'a Context, stream: bool) -> Self {
        Self { context, kept: (!stream).then(Vec::new) }
    }

    fn add(&mut self, record: Record) -> Result<(), CliError> {
        match &mut self.kept {
            None => print(self.context, &record),
            Some(kept) => {
                kept.push(record);
                Ok(())
            }
        }
    }

    fn close(self) -> Result<(), CliError> {
        match self.kept {
            None => Ok(()),
            Some(kept) => self.context.output.json(&kept),
        }
    }
}

/// The next page, and the filter behind it; empty at the end.
async fn page(client: &Client, filter: &mut LedgerFilter<'_>, limit: usize) -> Result<Vec<Record>, CliError> {
    filter.limit = u32::try_from(limit).unwrap_or(PAGE).min(PAGE);
    let page = client.ledger_records(filter).await?;
    if page.next <= filter.from {
        return Ok(Vec::new());
    }
    filter.from = page.next;
    Ok(page.records)
}

/// Shows up to `limit` records from where the filter stands.
async fn forward(
    client: &Client,
    filter: &mut LedgerFilter<'_>,
    limit: usize,
    shown: &mut Shown<'_>,
) -> Result<(), CliError> {
    let mut left = limit;
    while left > 0 {
        let records = page(client, filter, left).await?;
        if records.is_empty() {
            break;
        }
        left = left.saturating_sub(records.len());
        for record in records {
            shown.add(record)?;
        }
    }
    Ok(())
}

/// How many records fit from where the filter stands, and the first of them; `None` without any.
async fn rest(client: &Client, mut filter: LedgerFilter<'_>) -> Result<Option<(u64, u64)>, CliError> {
    let mut found = None;
    loop {
        let records = page(client, &mut filter, usize::MAX).await?;
        let Some(first) = records.first() else { return Ok(found) };
        let (count, first) = found.unwrap_or((0, first.seq.0));
        found = Some((count + records.len() as u64, first));
    }
}

/// Shows the newest `limit` that fit, in order; answers how many older ones are left out, and the first of them.
async fn newest(
    client: &Client,
    filter: &mut LedgerFilter<'_>,
    limit: usize,
    unfiltered: bool,
    shown: &mut Shown<'_>,
) -> Result<Option<(u64, u64)>, CliError> {
    if unfiltered {
        filter.from = client.status().await?.records.saturating_sub(limit as u64);
        let older = filter.from;
        forward(client, filter, limit, shown).await?;
        return Ok((older > 0).then_some((older, 0)));
    }
    // The CA answers from the oldest on.
    let mut kept = VecDeque::new();
    let mut older = None;
    loop {
        let records = page(client, filter, usize::MAX).await?;
        if records.is_empty() {
            break;
        }
        for record in records {
            kept.push_back(record);
            if kept.len() > limit
                && let Some(left) = kept.pop_front()
            {
                let (count, first) = older.unwrap_or((0, left.seq.0));
                older = Some((count + 1, first));
            }
        }
    }
    for record in kept {
        shown.add(record)?;
    }
    Ok(older)
}

/// That a kind, or a noun with its dot, is one that the ledger has.
fn known(kind: &str) -> Result<(), CliError> {
    if Fact::KINDS.iter().any(|known| is_kind(known, kind)) {
        return Ok(());
    }
    let noun = format!("{kind}.");
    let noun = Fact::KINDS.iter().any(|known| known.starts_with(&noun)).then_some(noun.as_str());
    let hint = match noun.or_else(|| nearest(kind, Fact::KINDS.iter().copied())) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("the kinds are {}", listed(Fact::KINDS)),
    };
    Err(CliError::usage(format!("the ledger has no kind {kind:?}"), hint))
}

/// Whether a fact's kind is the wanted one, or of the wanted noun ("session.", with its dot).
fn is_kind(kind: &str, wanted: &str) -> bool {
    match wanted.split_once('.') {
        Some((_, "")) => kind.starts_with(wanted),
        Some(_) | None => kind == wanted,
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
        && filter.actor.is_none_or(|wanted| {
            entry.actor.to_string() == wanted || entry.actor.identity().is_some_and(|name| name.as_str() == wanted)
        })
        && filter.kind.is_none_or(|wanted| is_kind(entry.fact.kind(), wanted))
        && filter.subject.is_none_or(|wanted| entry.fact.subjects().iter().any(|subject| subject.as_str() == wanted))
}

//! Certificates a second: each caller asks for one after the other, with a new key and a new proof each time.

use std::time::{Duration, Instant};

use anyhow::Result;
use model::RequestId;
use serde_json::{Value, json};

use crate::Options;

/// Runs the callers for the given time, and counts.
pub(crate) async fn measure(options: &Options) -> Result<Value> {
    let (clients, seconds): (usize, u64) = (options.value("clients")?, options.value("seconds")?);
    let caller = options.log_in("identity", "key").await?;
    let grant: RequestId = options.value("grant")?;
    // One before the clock runs, so that connections and caches are as they will be.
    caller.certificate(&grant).await?;
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let (caller, grant) = (caller.clone(), grant.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while Instant::now() < end {
                    let began = Instant::now();
                    caller.certificate(&grant).await?;
                    times.push(began.elapsed().as_secs_f64() * 1000.0);
                }
                Ok::<_, anyhow::Error>(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    let elapsed = start.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times.get(((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1))).copied();
    Ok(json!({
        "certificates": times.len(),
        "per_second": times.len() as f64 / elapsed,
        "p50_ms": at(0.50),
        "p99_ms": at(0.99),
    }))
}

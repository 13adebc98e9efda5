//! Everybody's calls of a proxy are on one connection: nobody at its desk breaks another's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::pass::visitor;
use crate::site::{Site, key_of};

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_and_hangs_up_without_end_breaks_nobodys_call() {
    let site = Site::start().await;
    let proxy = site.client("proxy:proxy1");
    let passed = async |name: &str| {
        let pass = proxy.buy_pass(&visitor(&key_of(name), "root+web1")).await.unwrap();
        proxy.with_pass(Arc::new(Zeroizing::new(pass.token)))
    };
    let room = Arc::new(Semaphore::new(4));
    let impatient = passed("alice").await.unbroken(Arc::clone(&room));
    let other = passed("erin").await;
    let over = Arc::new(AtomicBool::new(false));
    let others = tokio::spawn({
        let over = Arc::clone(&over);
        async move {
            let mut calls = 0;
            while !over.load(Ordering::SeqCst) {
                other.requests(None, true, None).await.unwrap();
                calls += 1;
            }
            calls
        }
    });
    for nth in 0..40_u64 {
        // Sometimes before the calls are sent, sometimes while their answers are on the way.
        let calls: Vec<_> = (0..50)
            .map(|_| {
                let impatient = impatient.clone();
                tokio::spawn(async move { impatient.requests(None, true, None).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_micros(nth * 500)).await;
        calls.iter().for_each(tokio::task::JoinHandle::abort);
    }
    over.store(true, Ordering::SeqCst);
    assert!(others.await.unwrap() > 10);
    impatient.requests(None, true, None).await.unwrap();
    // What nobody waits for ends as well.
    let all = tokio::time::timeout(crate::site::PATIENCE, room.acquire_many(4));
    drop(all.await.unwrap().unwrap());
}

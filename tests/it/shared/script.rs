//! The script in a real store does what its model does.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use vertex_bridge::base::{Rng, Tick};
use vertex_bridge::policy::lease::{Ask, Pool};
use vertex_bridge::shared::{Asked, Question, Store};

use super::config;

/// Nobody's lease ends while this runs.
const LIFETIME: Duration = Duration::from_secs(600);

/// A store of its own, that ends with the test.
struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let port = port.expect("a free port").port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is there");
        Self { child, port }
    }

    fn store(&self, member: u64) -> Store {
        let text = format!("[shared]\nurl = \"redis://127.0.0.1:{}\"\nlease = \"10m\"", self.port);
        Store::new(&config(&text).shared.expect("it is shared"), member)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn the_script_gives_what_its_model_gives() {
    let redis = Redis::start();
    let mut stores: Vec<Store> = (0..5).map(|member| redis.store(member)).collect();
    let end = Instant::now() + Duration::from_secs(20);
    while stores[0].ask(&Asked { member_ms: 1000, ..Asked::default() }).is_err() {
        assert!(Instant::now() < end, "the store does not answer");
    }
    let seed = Rng::new(u64::from(std::process::id())).bits();
    let mut rng = Rng::new(seed);
    // The largest is a thousand million dollars in nano-dollars.
    for (number, ceiling) in
        [100, 1_000_000, 10_000_000_000, 1_000_000_000_000_000_000].into_iter().enumerate()
    {
        let (mut pool, name) = (Pool::default(), format!("k:day:{number}"));
        let mut used = [(0_u64, 0_u64); 5];
        let begin = Instant::now();
        for step in 0..400 {
            let member = usize::try_from(rng.below(5)).expect("small");
            let (before, may) = used[member];
            // What it may use it uses, or gives back; sometimes more than it may.
            let now = match rng.below(8) {
                0 => before / 2,
                1 => may.saturating_add(rng.below(1 + ceiling / 50)),
                _ => before + rng.below(1 + may.saturating_sub(before)),
            };
            // Numbers of the store are exact up to 2⁵³; what is larger has zeros at its end.
            let now = if ceiling > 1 << 53 { now & !0xFFF } else { now };
            let target = rng.below(1 + ceiling / 4) & !0xFFF;
            let short = if rng.percent(20) { rng.below(1 + ceiling / 3) & !0xFFF } else { 0 };
            let claim =
                now.max(if rng.percent(50) { may.min(now.saturating_add(target)) } else { 0 });
            // What the pool knows of it, and now and then more: then it has forgotten something.
            let known = (before > 0 && ceiling < 1 << 53).then_some(may);
            let forgot = step > 300 && rng.percent(3);
            let known = if forgot { Some(may + (ceiling / 4).max(1)) } else { known };
            let ask = Ask { used: now, claim, target, short, known };
            let leaves = rng.percent(5);
            let lifetime = (!leaves).then_some(LIFETIME);
            let id = u64::try_from(member).expect("small");
            let at = Tick(1).after(begin.elapsed());
            let modelled = pool.exchange(id, ask, (ceiling, at), lifetime);
            let question = [Question::new(&name, ask, ceiling)];
            let lease_ms = if leaves { 0 } else { 600_000 };
            let asked = Asked { member_ms: 1000, lease_ms, questions: &question };
            let told = stores[member].ask(&asked).expect("it answers").answers[0];
            if ceiling < 1 << 53 {
                assert_eq!(told, modelled, "seed {seed}, step {step}: {ask:?}");
            } else {
                let near = |one: u64, other: u64| one.abs_diff(other) <= ceiling >> 48;
                assert!(near(told.may, modelled.may) && near(told.used, modelled.used), "{seed}");
            }
            used[member] = if leaves { (0, 0) } else { (now, modelled.may) };
        }
    }
}

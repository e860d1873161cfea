use std::sync::Arc;
use std::time::Duration;

use dualwriter::{DualWriter, Forced, Mode};
use tokio::time::{sleep, timeout};

use crate::chance::Faults;
use crate::world::{World, kind};

/// What an operator does in one run.
const ORDERS: usize = 8;
/// How long an operator waits for one order.
const ORDER_BOUND: Duration = Duration::from_secs(5);

impl World {
    /// Changes modes and syncs, as an operator does who is in a hurry.
    pub(crate) async fn operator(self: Arc<Self>) {
        for _ in 0..ORDERS {
            sleep(Duration::from_millis(self.chance.roll(60) as u64)).await;
            let Ok(process) = self.pick().await else {
                continue;
            };
            let order = async {
                match (self.plan, self.chance.roll(2)) {
                    (Faults::Pauses, _) => self.go_up(&process.dual).await,
                    (Faults::Mixed | Faults::Outages, 0) => self.sync_for(&process.dual).await,
                    (Faults::Mixed | Faults::Outages, _) => self.wander(&process.dual).await,
                }
            };
            tokio::select! {
                () = order => {}
                () = process.life.ended() => {}
            }
        }
    }

    /// Leaves the first mode as fast as it goes.
    async fn go_up(&self, dual: &DualWriter) {
        let status = timeout(ORDER_BOUND, dual.status(&kind())).await;
        match status.map(|status| status.map(|status| status.mode)) {
            Ok(Ok(1)) => self.change(dual, Mode::Two).await,
            Ok(Ok(2)) => {
                self.sync(dual).await;
                self.change(dual, Mode::Four).await;
            }
            // Here reads and writes beside each other are of interest.
            _ => sleep(Duration::from_millis(300)).await,
        }
    }

    async fn sync_for(&self, dual: &DualWriter) {
        self.sync(dual).await;
        // Most often what the sync was for.
        let to = match self.chance.roll(4) {
            0 => return,
            1 => Mode::Two,
            2 => Mode::Three,
            _ => Mode::Four,
        };
        self.change(dual, to).await;
    }

    async fn wander(&self, dual: &DualWriter) {
        let Ok(Ok(status)) = timeout(ORDER_BOUND, dual.status(&kind())).await else {
            return;
        };
        // Mode 5 has no gate, so only from where unified has everything.
        let highest = match (status.mode, status.changing_to) {
            (4 | 5, None) => 5,
            _ => 4,
        };
        let to = match self.chance.roll(5) {
            0 | 1 => (usize::from(status.mode) + 1).min(highest),
            2 => usize::from(status.mode.saturating_sub(1)),
            3 => 4,
            _ => self.chance.roll(5),
        };
        self.change(dual, Mode::ALL[to]).await;
    }

    async fn sync(&self, dual: &DualWriter) {
        self.count();
        let _ = timeout(ORDER_BOUND, dual.sync(&kind(), &mut |_| {})).await;
    }

    async fn change(&self, dual: &DualWriter, to: Mode) {
        self.count();
        let _ = timeout(ORDER_BOUND, dual.set_mode(&kind(), to, Forced::No)).await;
    }
}

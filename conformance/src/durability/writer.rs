use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use storage_core::ManualClock;
use tokio::sync::mpsc;

use super::{Compacting, Setting, Workload};

/// The first argument of this program when it is the writer.
pub(super) const COMMAND: &str = "--be-the-writer";
/// Answers that the parent has not looked at, at most; it only waits for the first.
const NEWS: usize = 1;
/// What the number of a workload's compactions stands for on the command line.
const COMPACTING: [Compacting; 2] = [Compacting::StepByStep, Compacting::ChangesOnly];

/// Runs steps until the process ends, and says which ones were answered: the arguments are those
/// that [`Writer::start`] gives.
pub(super) async fn main(settings: &[&dyn Setting], arguments: &[String]) {
    let [setting, location, numbers @ ..] = arguments else {
        panic!("the writer takes a setting, a location and four numbers");
    };
    let numbers: Vec<u64> = numbers.iter().map(|n| n.parse().unwrap()).collect();
    let [seed, value_bytes_max, compacting, first_step] = numbers[..] else {
        panic!("the writer takes four numbers");
    };
    let workload = Workload {
        seed,
        value_bytes_max,
        compacting: COMPACTING[compacting as usize],
    };
    let clock = Arc::new(ManualClock::default());
    let setting = settings.iter().find(|known| known.name() == setting);
    let store = setting.unwrap().open(location, Arc::clone(&clock) as _);
    let store = store.await.unwrap();
    for step in first_step.. {
        let run = workload.run(step, store.backend(), &clock);
        if let Err(error) = run.await {
            eprintln!("step {step}: {error:?}");
            return;
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", step + 1).unwrap();
        out.flush().unwrap();
    }
}

/// A running writer, seen from the parent.
pub(super) struct Writer {
    child: Child,
    acknowledged: Arc<AtomicU64>,
    news: mpsc::Receiver<()>,
    reader: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(
        setting: &dyn Setting,
        location: &str,
        workload: Workload,
        first: u64,
    ) -> Self {
        let compacting = COMPACTING.iter().position(|c| *c == workload.compacting);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(COMMAND)
            .arg(setting.name())
            .arg(location)
            .args([workload.seed, workload.value_bytes_max].map(|n| n.to_string()))
            .args([compacting.unwrap() as u64, first].map(|n| n.to_string()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let acknowledged = Arc::new(AtomicU64::new(first));
        let (sender, news) = mpsc::channel(NEWS);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let newest = Arc::clone(&acknowledged);
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // A line that was cut off by the kill may look like a smaller number.
                if let Ok(steps) = line.parse() {
                    newest.fetch_max(steps, Ordering::SeqCst);
                    sender.try_send(()).ok();
                }
            }
        });
        Self {
            child,
            acknowledged,
            news,
            reader: Some(reader),
        }
    }

    /// Waits until a step was answered, or the process ended.
    pub(super) async fn first_answer(&mut self) {
        self.news.recv().await;
    }

    /// Lets it write for a while.
    pub(super) async fn let_write(&mut self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Returns how many steps were answered by now.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Ends the process and returns how many steps were answered until then.
    pub(super) fn kill(mut self) -> u64 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.acknowledged()
    }
}

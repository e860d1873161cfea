//! The process that is killed: it makes step after step and says which ones were answered.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use storage_core::ManualClock;
use tokio::sync::mpsc;

use crate::store::Setting;
use crate::workload::Workload;

/// The first argument of this program when it is the writer.
pub(crate) const COMMAND: &str = "--be-the-writer";
/// Answers that the parent has not looked at, at most; it only waits for the first.
const NEWS: usize = 1;

/// Runs steps until the process ends: `COMMAND setting folder seed value_bytes_max first_step`.
pub(crate) async fn main(arguments: &[String]) {
    let [setting, folder, numbers @ ..] = arguments else {
        panic!("the writer takes a setting, a folder and three numbers");
    };
    let numbers: Vec<u64> = numbers.iter().map(|n| n.parse().unwrap()).collect();
    let [seed, value_bytes_max, first_step] = numbers[..] else {
        panic!("the writer takes three numbers");
    };
    let workload = Workload {
        seed,
        value_bytes_max,
    };
    let clock = Arc::new(ManualClock::default());
    let setting = Setting::parse(setting).unwrap();
    let store = setting.open(Path::new(folder), Arc::clone(&clock) as _);
    let store = store.unwrap();
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
pub(crate) struct Writer {
    child: Child,
    acknowledged: Arc<AtomicU64>,
    news: mpsc::Receiver<()>,
    reader: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(setting: Setting, folder: &Path, workload: Workload, first: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(COMMAND)
            .arg(setting.name())
            .arg(folder)
            .args([workload.seed, workload.value_bytes_max, first].map(|n| n.to_string()))
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
    pub(crate) async fn first_answer(&mut self) {
        self.news.recv().await;
    }

    /// Lets it write for a while.
    pub(crate) async fn let_write(&mut self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Returns how many steps were answered by now.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Ends the process and returns how many steps were answered until then.
    pub(crate) fn kill(mut self) -> u64 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.acknowledged()
    }
}

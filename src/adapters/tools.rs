//! Programs of the deployment node: where they are, what they print. Bounded in time and output.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt as _};
use tokio::process::Command;

use crate::install::facts::{CommandFacts, ToolFacts};

/// How much of each stream is kept, bytes; what comes after is read and dropped.
const OUTPUT_LIMIT: usize = 1024 * 1024;

/// How long output may still come after the program itself has ended: a grandchild may hold the pipe.
const DRAIN: Duration = Duration::from_millis(500);

/// A program to run for its answer.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Program and arguments.
    pub argv: &'a [String],
    /// Working folder.
    pub dir: Option<&'a Path>,
    /// Additional environment.
    pub env: &'a [(String, String)],
    /// What it reads on stdin.
    pub input: &'a [u8],
    /// When it is stopped.
    pub timeout: Duration,
}

/// Ends a whole process group when dropped, so that nothing outlives a question that nobody waits for any more.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Runs a program to its end or its deadline; dropping the future stops it.
pub async fn run(request: Request<'_>) -> CommandFacts {
    let problem = |text: String| CommandFacts { problem: Some(text), ..CommandFacts::default() };
    let Some((program, arguments)) = request.argv.split_first() else { return problem("no program is named".to_owned()) };
    let mut command = Command::new(program);
    command.args(arguments).envs(request.env.iter().map(|(name, value)| (name, value))).process_group(0).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(dir) = request.dir {
        if !dir.is_dir() {
            return problem(format!("the folder {} does not exist", dir.display()));
        }
        command.current_dir(dir);
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return problem(format!("{program} is not on PATH")),
        Err(error) => return problem(format!("{program} cannot be started: {error}")),
    };
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut facts = CommandFacts::default();
    {
        let feeding = async {
            if let Some(mut stdin) = stdin {
                // A program that ends without reading is judged by its exit code.
                let _ = stdin.write_all(request.input).await;
            }
        };
        let reading = async { tokio::join!(feeding, collect(stdout, &mut out), collect(stderr, &mut err)) };
        tokio::pin!(reading);
        let waiting = async {
            tokio::select! {
                status = child.wait() => {
                    let _ = tokio::time::timeout(DRAIN, &mut reading).await;
                    status
                }
                _ = &mut reading => child.wait().await,
            }
        };
        match tokio::time::timeout(request.timeout, waiting).await {
            Ok(Ok(status)) => facts.exit = status.code(),
            Ok(Err(error)) => facts.problem = Some(format!("{program} cannot be waited for: {error}")),
            Err(_) => facts.timed_out = true,
        }
    }
    if facts.exit.is_some() {
        // It ended by itself: what it left running on purpose is not ours to end.
        group.0 = None;
    }
    facts.stdout = String::from_utf8_lossy(&out).into_owned();
    facts.stderr = String::from_utf8_lossy(&err).into_owned();
    facts
}

async fn collect(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut buffer = vec![0_u8; 16 * 1024];
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 {
            return;
        }
        let room = OUTPUT_LIMIT.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
}

/// Finds a program on PATH and asks for its version.
pub async fn tool(command: &str, arguments: &[String], timeout: Duration) -> ToolFacts {
    let Ok(path) = which::which(command) else { return ToolFacts::default() };
    let path = path.display().to_string();
    if arguments.is_empty() {
        return ToolFacts { path: Some(path), version: None };
    }
    let argv: Vec<String> = std::iter::once(path.clone()).chain(arguments.iter().cloned()).collect();
    // Version commands must neither colour their output nor look for news.
    let env = [("NO_COLOR", "1"), ("CHECKPOINT_DISABLE", "1"), ("ANSIBLE_NOCOLOR", "1"), ("LC_ALL", "C.UTF-8")];
    let env: Vec<(String, String)> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let version = run(Request { argv: &argv, dir: None, env: &env, input: b"", timeout }).await;
    ToolFacts { path: Some(path), version: Some(version) }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str, timeout: Duration) -> CommandFacts {
        let argv = ["sh", "-c", script].map(str::to_owned);
        run(Request { argv: &argv, dir: None, env: &[("X".into(), "y".into())], input: b"in", timeout }).await
    }

    #[tokio::test]
    async fn output_exit_and_limits() {
        let long = Duration::from_secs(20);
        let facts = shell("cat; echo $X; echo e >&2; exit 3", long).await;
        assert_eq!((facts.exit, facts.stdout.as_str(), facts.stderr.as_str()), (Some(3), "iny\n", "e\n"));
        let facts = shell("head -c 3000000 /dev/zero", long).await;
        assert_eq!((facts.exit, facts.stdout.len()), (Some(0), OUTPUT_LIMIT));
        // A grandchild that keeps the pipe open does not hold the answer back.
        let facts = shell("sleep 30 & echo $!", long).await;
        assert_eq!(facts.exit, Some(0));
        let left: i32 = facts.stdout.trim().parse().unwrap();
        rustix::process::kill_process(Pid::from_raw(left).unwrap(), Signal::KILL).unwrap();
        let facts = shell("echo begun; sleep 30", Duration::from_millis(300)).await;
        assert!(facts.timed_out && facts.exit.is_none());
        assert_eq!(facts.stdout, "begun\n");
        let argv = ["no-such-program-at-all".to_owned()];
        let facts = run(Request { argv: &argv, dir: None, env: &[], input: b"", timeout: long }).await;
        assert!(facts.problem.unwrap().contains("not on PATH"));
    }

    #[tokio::test]
    async fn a_tool_is_found_with_its_version() {
        let facts = tool("sh", &["-c".into(), "echo v1".into()], Duration::from_secs(20)).await;
        assert!(facts.path.unwrap().ends_with("/sh"));
        assert_eq!(facts.version.unwrap().stdout, "v1\n");
        assert_eq!(tool("no-such-program-at-all", &[], Duration::from_secs(1)).await, ToolFacts::default());
    }
}

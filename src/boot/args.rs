//! The command line. Values of options that are configuration keys are checked there, together
//! with the file and the environment, so that all mistakes come out at once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::{FlagValue, duration};

use super::key_args::KeyCommand;
use super::ledger_args::{LedgerCommand, Usage};

/// Everything that can be said on the command line.
#[derive(Debug, Parser)]
#[command(
    name = "vertex-bridge",
    version,
    about = "LLM gateway: the OpenAI API in front of Gemini and other vendors",
    after_help = "Exit status: 0 clean stop, 1 failed while running, 2 wrong usage or \
                  configuration."
)]
pub struct CommandLine {
    /// What to do; `None` is `serve`.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of every command.
    #[command(flatten)]
    pub options: Options,
}

/// Options that every command takes, before or after its name.
#[derive(Args, Debug)]
pub struct Options {
    /// Configuration file [default: vertex-bridge.toml, when there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<String>,
    /// Executor
    #[arg(long, global = true, value_name = "NAME", value_parser = ["native", "monoio", "glommio"])]
    pub runtime: Option<String>,
    /// Cores to run on, such as 0-3,6 [default: those this process may use]
    #[arg(long, global = true, value_name = "LIST")]
    pub cores: Option<String>,
    /// Least important log line that is written
    #[arg(long, global = true, value_name = "LEVEL",
          value_parser = ["error", "warn", "info", "debug", "trace"])]
    pub log_level: Option<String>,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway (the default)
    Serve,
    /// Run only the provider simulator
    Simulate(Simulate),
    /// Check the configuration and print what would run
    Check(Check),
    /// Print what would become of a chat request; nothing is sent
    Explain {
        /// A file with the request's body [default: standard input]
        file: Option<PathBuf>,
    },
    /// List what the routes serve
    Models {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Rewrite another gateway's configuration as ours
    Import {
        /// Whose it is
        #[command(subcommand)]
        from: Import,
    },
    /// Make, show, rotate and revoke clients' keys
    Keys {
        /// What to do
        #[command(subcommand)]
        command: KeyCommand,
        /// Print JSON
        #[arg(long, global = true)]
        json: bool,
    },
    /// Print what was used and what it cost
    Usage(Usage),
    /// Show a running gateway's figures in the terminal
    Top(Top),
    /// Copy, check and correct the ledger
    Ledger {
        /// What to do
        #[command(subcommand)]
        command: LedgerCommand,
    },
    /// Show what operators have changed
    #[command(subcommand)]
    Audit(Audit),
    /// Print a shell's completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the man page
    Man,
}

/// What can be done with the audit log.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Audit {
    /// Print the last changes, the newest first
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// At most so many
        #[arg(long, value_name = "COUNT", default_value_t = 100)]
        limit: u32,
    },
    /// Check that no entry was changed, removed or put in between
    Verify {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Options of `check`.
#[derive(Args, Clone, Copy, Debug)]
pub struct Check {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Print the JSON Schema of the configuration file and check nothing
    #[arg(long)]
    pub schema: bool,
}

/// Whose configuration is imported.
#[derive(Clone, Debug, Subcommand)]
pub enum Import {
    /// A `LiteLLM` proxy's config.yaml: prints vertex-bridge.toml, and on standard error what is
    /// not carried over. Exit status 2 when there is no model that can be served
    Litellm {
        /// The file, or - for standard input
        file: PathBuf,
        /// Write here instead of standard output; an existing file is not replaced
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Options of `top`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Keys: q, Escape and Control-C quit, p and the space bar pause.\n\n\
                        Exit status: 0 quit, 1 the gateway does not answer or refuses, 2 wrong \
                        usage or configuration.")]
pub struct Top {
    /// Where the gateway is.
    #[arg(long, value_name = "URL", value_parser = read_url,
          help = "The gateway, such as http://127.0.0.1:4000 [default: where the configuration \
                  listens]")]
    pub url: Option<String>,
    /// Where the admin key is.
    #[arg(
        long,
        value_name = "SOURCE",
        help = "Where the admin key is, env:NAME or file:PATH; never the key itself, which \
                  everybody on the machine could see [default: the configuration's auth.admin_key]"
    )]
    pub key: Option<String>,
    /// Print one screen, after a second, and end
    #[arg(long)]
    pub once: bool,
    /// Print JSON instead of a screen
    #[arg(long, requires = "once")]
    pub json: bool,
}

/// Options of `simulate`.
#[derive(Args, Clone, Debug)]
pub struct Simulate {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4100")]
    pub listen: SocketAddr,
    /// Time before the first byte of an answer
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = read_duration)]
    pub latency: Duration,
    /// Tokens of an answer
    #[arg(long, value_name = "COUNT", default_value_t = 16,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub tokens: u32,
    /// Time between two tokens of a stream
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = read_duration)]
    pub token_interval: Duration,
    /// Rounds of tool calls after each text of the user
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    pub tool_rounds: u32,
    /// Writes the key file of a service account that gets its tokens from this simulator, for
    /// `GOOGLE_APPLICATION_CREDENTIALS`
    #[arg(long, value_name = "FILE")]
    pub service_account: Option<PathBuf>,
    /// How long an access token is good
    #[arg(long, value_name = "TIME", default_value = "3599s", value_parser = read_duration)]
    pub token_ttl: Duration,
    /// Faults, with the share of answers that have each.
    #[arg(long = "fault", value_name = "NAME@PERCENT", value_parser = read_fault,
          help = fault_help())]
    pub faults: Vec<Fault>,
}

/// A fault that the simulator is to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its name; whether it exists is the simulator's to say.
    pub name: String,
    /// Share of answers, from 0 to 100.
    pub percent: u64,
}

impl CommandLine {
    /// The options that set configuration keys.
    pub fn flags(&self) -> Vec<FlagValue<'_>> {
        let Options { runtime, cores, log_level, config: _ } = &self.options;
        let all = [
            ("--runtime", "runtime.backend", runtime),
            ("--cores", "runtime.cores", cores),
            ("--log-level", "log.level", log_level),
        ];
        let given = all.into_iter().filter_map(|(flag, key, value)| {
            value.as_deref().map(|value| FlagValue { flag, key, value })
        });
        given.collect()
    }
}

/// The script that makes `shell` complete our command line.
pub fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "vertex-bridge", &mut out);
    out
}

/// The man page in roff.
///
/// # Errors
/// None in practice: it is written to memory.
pub fn man() -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    clap_mangen::Man::new(CommandLine::command()).render(&mut out)?;
    Ok(out)
}

/// The names are the simulator's to know.
fn fault_help() -> String {
    let names = crate::simulator::Fault::names();
    format!(
        "A fault and the share of answers that have it; may be given several times. A model whose \
         name ends in -fault-NAME always has it. There are {names}"
    )
}

fn read_duration(text: &str) -> Result<Duration, &'static str> {
    duration(text).ok_or("expected a duration such as 0ms, 250ms or 30s")
}

fn read_url(text: &str) -> Result<String, &'static str> {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let is_url = host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'));
    is_url.then(|| text.to_owned()).ok_or("expected http://HOST:PORT or https://HOST:PORT")
}

fn read_fault(text: &str) -> Result<Fault, &'static str> {
    const EXPECTED: &str = "expected NAME@PERCENT, such as reset-mid-body@5";
    let (name, percent) = text.split_once('@').ok_or(EXPECTED)?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let percent: Option<u64> = crate::base::ascii::parse_u64(percent.as_bytes());
    let percent = percent.filter(|percent| *percent <= 100).ok_or(EXPECTED)?;
    if name.is_empty() || !name.bytes().all(fits) {
        return Err(EXPECTED);
    }
    Ok(Fault { name: name.to_owned(), percent })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<CommandLine, clap::Error> {
        CommandLine::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn options_stand_before_or_after_the_command() {
        for line in ["vb --cores 0-3 --config f check", "vb check --config f --cores 0-3"] {
            let parsed = parse(line).expect(line);
            assert!(matches!(
                parsed.command,
                Some(Command::Check(Check { json: false, schema: false }))
            ));
            assert_eq!(parsed.options.config.as_deref(), Some("f"));
            let flags = parsed.flags();
            assert_eq!((flags.len(), flags[0].key, flags[0].value), (1, "runtime.cores", "0-3"));
        }
        assert!(parse("vb").expect("serve").command.is_none());
    }

    #[test]
    fn simulate_has_defaults_and_takes_faults() {
        let Ok(Some(Command::Simulate(given))) = parse("vb simulate").map(|line| line.command)
        else {
            panic!("simulate")
        };
        assert_eq!(given.listen, "127.0.0.1:4100".parse().unwrap());
        assert_eq!((given.latency, given.tokens), (Duration::ZERO, 16));
        assert_eq!((given.token_interval, given.faults.len()), (Duration::ZERO, 0));
        assert_eq!((given.tool_rounds, given.token_ttl), (2, Duration::from_secs(3599)));
        assert_eq!(given.service_account, None);
        let line = "vb simulate --latency 5ms --token-interval 1s --fault 503@20 --fault reset@1";
        let Ok(Some(Command::Simulate(given))) = parse(line).map(|line| line.command) else {
            panic!("{line}")
        };
        assert_eq!(given.latency, Duration::from_millis(5));
        assert_eq!(given.token_interval, Duration::from_secs(1));
        let faults: Vec<_> = given.faults.iter().map(|f| (f.name.as_str(), f.percent)).collect();
        assert_eq!(faults, [("503", 20), ("reset", 1)]);
    }

    #[test]
    fn wrong_usage_ends_with_status_2() {
        for line in [
            "vb dance",
            "vb --nonsense",
            "vb --runtime tokio",
            "vb --log-level loud",
            "vb simulate --listen here",
            "vb simulate --latency 5",
            "vb simulate --tokens -1",
            "vb simulate --fault reset",
            "vb simulate --fault reset@101",
            "vb simulate --fault @1",
            "vb check extra",
            "vb top --json",
            "vb top --url gateway:4000",
            "vb top --url http:///path",
        ] {
            assert_eq!(parse(line).expect_err(line).exit_code(), 2, "{line}");
        }
        assert_eq!(parse("vb --version").expect_err("a text").exit_code(), 0);
    }

    #[test]
    fn completions_and_man_page_know_the_commands() {
        let script = completions(clap_complete::Shell::Bash);
        let page = man().expect("in memory");
        for text in [script, page] {
            let text = String::from_utf8(text).expect("text");
            assert!(text.contains("simulate") && text.contains("log"), "{text}");
        }
    }
}

//! The log of what runs: lines on standard error, which systemd and containers collect.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::context::Context;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    // For people. (Not a documentation comment: those would stretch the help text.)
    Text,
    // One object a line.
    Json,
}

/// The environment variable that sets what is logged, as tracing's directives: "info,proxy=debug".
const VARIABLE: &str = "PORTCULLIS_LOG";

/// Starts the log. `PORTCULLIS_LOG` sets what is logged; `-v` says more, `-vv` everything of ours.
pub(crate) fn start(context: &Context, format: LogFormat) {
    let usual = match context.verbose() {
        0 => "info,russh=warn",
        1 => {
            "info,russh=warn,portcullis_cli=debug,portcullis_ca=debug,portcullis_proxy=debug,portcullis_store=debug,\
              portcullis_identity=debug,portcullis_recordings=debug"
        }
        2.. => "debug,hyper=info,h2=info,rustls=info",
    };
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(usual));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(context.output.colors_errors())
        .with_writer(BoxMakeWriter::new(std::io::stderr));
    // Only a second start in one process would fail, and there the first still logs.
    let _ = match format {
        LogFormat::Text => builder.with_target(context.verbose() > 0).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

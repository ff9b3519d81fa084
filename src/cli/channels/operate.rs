//! `stockgate channels pause` and `resume`: whether a channel is called at all.

use clap::Args;
use serde::Serialize;

use super::super::{Verdict, failure::CliError, gateway::Gateway, note::OperatorArgs, output::Output};
use crate::proto::{PauseChannelRequest, ResumeChannelRequest};

/// Stops all calls to a channel.
#[derive(Debug, Args)]
pub(in crate::cli) struct Pause {
    /// The channel
    channel: String,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Lets calls go out again.
#[derive(Debug, Args)]
pub(in crate::cli) struct Resume {
    /// The channel
    channel: String,
    /// Who, for the log [default: the user of this machine]
    #[arg(long, env = "USER", hide_env = true, default_value = "", hide_default_value = true)]
    actor: String,
}

#[derive(Debug, Serialize)]
struct Operated {
    channel: String,
    paused: bool,
}

impl Operated {
    fn text(&self) -> String {
        let Self { channel, paused } = self;
        if *paused {
            format!(
                "{channel} is paused: what is on its way is finished; go on with `stockgate channels resume {channel}`"
            )
        } else {
            format!("{channel} is told again")
        }
    }
}

impl Pause {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let OperatorArgs { actor, reason } = self.operator;
        let request = PauseChannelRequest { channel: self.channel.clone(), actor, reason };
        gateway.channels().pause_channel(gateway.request(request)).await?;
        output.text_or_json(&Operated { channel: self.channel, paused: true }, Operated::text)?;
        Ok(Verdict::Fine)
    }
}

impl Resume {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let request = ResumeChannelRequest { channel: self.channel.clone(), actor: self.actor };
        gateway.channels().resume_channel(gateway.request(request)).await?;
        output.text_or_json(&Operated { channel: self.channel, paused: false }, Operated::text)?;
        Ok(Verdict::Fine)
    }
}

//! `-D COMMAND NAME VALUE [VALUE]`: MQTT 5 properties on the command line, as mosquitto_pub and mosquitto_sub take them.
//! Kept as texts here; `client::properties` gives them their meaning.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

/// Every `-D`, in order; each has three or four texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertyArguments {
    /// Packet, name, value (a user property has a name and a value of its own).
    pub list: Vec<Vec<String>>,
}

impl FromArgMatches for PropertyArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let list = matches
            .get_occurrences::<String>("property")
            .map(|occurrences| occurrences.map(|words| words.cloned().collect()).collect())
            .unwrap_or_default();
        Ok(Self { list })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for PropertyArguments {
    fn augment_args(command: Command) -> Command {
        command.arg(
            Arg::new("property")
                .short('D')
                .long("property")
                .num_args(3..=4)
                .action(ArgAction::Append)
                .value_names(["PACKET", "NAME", "VALUE"])
                .help("MQTT 5 property: connect|publish|subscribe|unsubscribe|disconnect|will NAME VALUE [VALUE]"),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

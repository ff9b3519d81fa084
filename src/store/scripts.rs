//! The registry of Lua scripts: each is built once, from its parts, and called by hash.
//!
//! Why scripts: a sale reads, decides and writes; MULTI cannot decide. A script is atomic but not rolled back, so each
//! reads everything, decides, and only then writes.

use std::{fmt::Write as _, sync::LazyLock};

use redis::{Arg, ErrorKind, RedisResult, ServerErrorKind, Value, aio::ConnectionLike};

/// EVALSHA and the hash; the count of keys follows.
const ARGUMENTS_BEFORE_KEYS: usize = 2;

/// One script: its text and the hash Redis knows it by.
pub(super) struct Script {
    pub(super) name: &'static str,
    text: String,
    sha: String,
}

impl Script {
    fn new(name: &'static str, text: &str) -> Self {
        let script = redis::Script::new(text);
        Self { name, text: text.to_owned(), sha: script.get_hash().to_owned() }
    }

    /// Starts a call: EVALSHA with its keys; arguments are appended by the caller.
    pub(super) fn call<'a>(&self, keys: impl ExactSizeIterator<Item = &'a str>) -> redis::Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.sha).arg(keys.len());
        for key in keys {
            command.arg(key);
        }
        command
    }

    /// The first key of a call: all of them are in its slot.
    pub(super) fn first_key<'a>(&self, command: &'a redis::Cmd) -> &'a str {
        let key = command.args_iter().nth(ARGUMENTS_BEFORE_KEYS + 1);
        match key {
            Some(Arg::Simple(key)) => str::from_utf8(key).expect("keys are spelled as texts"),
            _ => "",
        }
    }

    /// Runs a call; a Redis that forgot the script (restart, SCRIPT FLUSH, promotion) gets its text with the call, so that
    /// it cannot be forgotten again in between.
    pub(super) async fn run(
        &self,
        connection: &mut impl ConnectionLike,
        command: &redis::Cmd,
    ) -> RedisResult<Value> {
        match ask(connection, command).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                ask(connection, &self.with_text(command)).await
            }
            answer => answer,
        }
    }

    /// The same call as EVAL.
    fn with_text(&self, command: &redis::Cmd) -> redis::Cmd {
        let mut whole = redis::cmd("EVAL");
        whole.arg(&self.text);
        for argument in command.args_iter().skip(ARGUMENTS_BEFORE_KEYS) {
            if let Arg::Simple(bytes) = argument {
                whole.arg(bytes);
            }
        }
        whole
    }

    async fn load(&self, connection: &mut impl ConnectionLike) -> RedisResult<()> {
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(&self.text);
        ask(connection, &load).await.map(drop)
    }
}

macro_rules! include_lua {
    ($($path:literal),+ $(,)?) => { concat!($(include_str!(concat!("../../lua/", $path, ".lua")), "\n"),+) };
}

/// Each verb becomes a function that makes it: most runs need one or two of them, and making all of
/// them costs a lone sale a twentieth more.
macro_rules! include_verbs {
    ($($verb:literal),+ $(,)?) => {
        concat!(
            $("function verbs.", $verb, "()\n", include_str!(concat!("../../lua/verbs/", $verb, ".lua")), "return ", $verb, "\nend\n"),+
        )
    };
}

/// What every run of `transact` needs.
const TRANSACT: &str = include_lua!(
    "transact",
    "include/redis",
    "include/digits",
    "include/level",
    "include/slots",
    "include/reading",
    "include/books",
    "include/answer",
    "include/single",
    "include/writing",
);

/// What a run needs only when there is more in it than sales of one line that go through. Redis makes every function of a
/// script anew for each run, which for a lone sale is a quarter of its cost: these are made when they are needed.
const TRANSACT_REST: [(&str, &str); 7] = [
    ("hold", include_lua!("include/hold")),
    ("expiry", include_lua!("include/expiry")),
    ("shortage", include_lua!("include/shortage")),
    ("rules", include_lua!("include/rules")),
    ("cart", include_lua!("include/cart")),
    ("promise", include_lua!("include/promise")),
    ("packed", include_lua!("include/packed")),
];

const TRANSACT_VERBS: &str = include_verbs!(
    "decrement",
    "restock",
    "reserve",
    "commit",
    "release",
    "extend",
    "adjust",
    "set",
    "resolve",
    "sweep",
    "repair",
    "peek",
    "prepare",
    "decide",
    "refuse",
    "align",
    "ask",
    "told"
);

/// The whole of `transact`: common parts, a function that makes the rest, engine.
fn transact() -> String {
    let names: Vec<&str> = TRANSACT_REST.iter().map(|(name, _)| *name).collect();
    let mut rest = String::new();
    for (name, text) in TRANSACT_REST {
        // A local of the script, where the common parts see it too.
        rest.push_str(&text.replacen(&format!("local {name} = {{}}"), &format!("{name} = {{}}"), 1));
    }
    let declared = format!("{END_OF_BINDINGS}local {}, verbs\n", names.join(", "));
    let common = TRANSACT.replacen(END_OF_BINDINGS, &declared, 1);
    let engine = include_lua!("include/parsing", "include/engine");
    format!(
        "{common}local function make_rest()\nif verbs then return end\nverbs = {{}}\n{rest}{TRANSACT_VERBS}end\n\
         {engine}return engine.run(keys, argv)\n"
    )
}

/// Where a script's own work begins: includes stand there, so that it may use them.
const END_OF_BINDINGS: &str = "-- end of bindings\n";

/// Puts the server's functions, and those of `parts`, before a script's own work.
fn with_parts(script: &str, parts: &str) -> String {
    let included = format!("{END_OF_BINDINGS}{}{parts}", include_lua!("include/redis"));
    script.replacen(END_OF_BINDINGS, &included, 1)
}

const WORK: &str = include_lua!("include/work");
const MARKING: &str =
    include_lua!("include/work", "include/sold_out", "include/timing", "include/marking", "include/plain");
const SETTLING: &str =
    include_lua!("include/work", "include/settling", "include/sold_out", "include/verdict");
const CONTROL: &str = include_lua!("include/control", "include/breaker", "include/bucket");
const LETTERS: &str = include_lua!("include/work", "include/letters");
const DELIVERIES: &str = include_lua!("include/digits", "include/deliveries");

/// Applies a vector of operations.
pub(super) static TRANSACT_SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new("transact", &transact()));

/// The same for batches that only give stock back: they run even when Redis is over maxmemory.
pub(super) static TRANSACT_GIVING_SCRIPT: LazyLock<Script> =
    LazyLock::new(|| Script::new("transact", &transact().replacen("#!lua", "#!lua flags=allow-oom", 1)));

/// Marks the SKUs of stream entries due on every channel and acknowledges the entries.
pub(super) static FAN_OUT_SCRIPT: LazyLock<Script> =
    LazyLock::new(|| Script::new("fan_out", &with_parts(include_lua!("fan_out"), MARKING)));

/// Leases what is due on a channel and reads its state now.
pub(super) static CLAIM_SCRIPT: LazyLock<Script> =
    LazyLock::new(|| Script::new("claim", &with_parts(include_lua!("claim"), WORK)));

/// Writes down what a channel answered.
pub(super) static SETTLE_SCRIPT: LazyLock<Script> =
    LazyLock::new(|| Script::new("settle", &with_parts(include_lua!("settle"), SETTLING)));

/// Says whether calls to a channel may go.
pub(super) static PERMIT_SCRIPT: LazyLock<Script> =
    LazyLock::new(|| Script::new("permit", &with_parts(include_lua!("permit"), CONTROL)));

/// Counts how calls to a channel went.
pub(super) static REPORT_SCRIPT: LazyLock<Script> =
    LazyLock::new(|| Script::new("report", &with_parts(include_lua!("report"), CONTROL)));

/// Reads dead letters.
pub(super) static DEAD_LETTERS_SCRIPT: LazyLock<Script> =
    LazyLock::new(|| Script::new("dead_letters", &with_parts(include_lua!("dead_letters"), "")));

/// Makes dead letters due again.
pub(super) static REPLAY_SCRIPT: LazyLock<Script> =
    LazyLock::new(|| Script::new("replay", &with_parts(include_lua!("replay"), LETTERS)));

/// Drops dead letters.
pub(super) static DISCARD_SCRIPT: LazyLock<Script> =
    LazyLock::new(|| Script::new("discard", &with_parts(include_lua!("discard"), LETTERS)));

/// Takes a consumer out of a group when nothing is pending for it.
pub(super) static LEAVE_GROUP_SCRIPT: LazyLock<Script> =
    LazyLock::new(|| Script::new("leave_group", &with_parts(include_lua!("leave_group"), "")));

/// Keeps a turn, or gives it back.
pub(super) static KEEP_TURN_SCRIPT: LazyLock<Script> =
    LazyLock::new(|| Script::new("keep_turn", &with_parts(include_lua!("keep_turn"), "")));

/// Counts a delivery.
pub(super) static RECORD_SCRIPT: LazyLock<Script> =
    LazyLock::new(|| Script::new("record", &with_parts(include_lua!("record"), DELIVERIES)));

/// All scripts, to be loaded at start and walked through by tests.
pub(super) fn all() -> [&'static Script; 13] {
    [
        &TRANSACT_SCRIPT,
        &TRANSACT_GIVING_SCRIPT,
        &FAN_OUT_SCRIPT,
        &CLAIM_SCRIPT,
        &SETTLE_SCRIPT,
        &PERMIT_SCRIPT,
        &REPORT_SCRIPT,
        &DEAD_LETTERS_SCRIPT,
        &REPLAY_SCRIPT,
        &DISCARD_SCRIPT,
        &LEAVE_GROUP_SCRIPT,
        &KEEP_TURN_SCRIPT,
        &RECORD_SCRIPT,
    ]
}

/// Loads every script, so that the first calls do not have to.
pub(super) async fn load_all(connection: &mut impl ConnectionLike) -> RedisResult<()> {
    for script in all() {
        script.load(connection).await?;
    }
    Ok(())
}

/// Sends one command. An error of Redis itself comes as a value from the client, and is made an error here.
async fn ask(connection: &mut impl ConnectionLike, command: &redis::Cmd) -> RedisResult<Value> {
    match connection.req_packed_command(command).await? {
        Value::ServerError(error) => Err(error.into()),
        reply => Ok(reply),
    }
}

/// A short picture of a reply, for errors.
pub(super) fn sketch(value: &Value) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(text, "{value:?}");
    text.truncate(text.floor_char_boundary(200));
    text
}

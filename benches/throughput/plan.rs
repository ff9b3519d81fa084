//! What is measured: groups of contenders that take turns, each under its load. The first of a group answers at once.

/// One table: its contenders take turns, round by round.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) contenders: Vec<Contender>,
}

/// One line of a table: who answers what.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) server: Server,
    pub(crate) load: Load,
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    /// Ourselves, with these settings beside the defaults, in TOML.
    Gateway(&'static str),
    /// Ourselves with so many partitions, on a server by itself or on so many masters of a cluster, over TCP.
    Foreign { masters: Option<usize>, partitions: u16 },
    /// Another program of this bench behind a front of tonic's own server.
    Rival(Rival),
}

/// What stands behind the front instead of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Rival {
    /// Nothing: it answers at once.
    AtOnce,
    /// Redis, by WATCH, MULTI and EXEC.
    Optimistic,
    /// PostgreSQL, by one statement, on disk before the answer.
    Postgres,
    /// The same with `synchronous_commit` off: on disk a moment after the answer.
    PostgresAsync,
}

/// What the callers ask for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Calls on their way at the same time.
    pub(crate) in_flight: usize,
    pub(crate) skus: usize,
    /// Units each SKU begins with; 0: every call is refused.
    pub(crate) units: i64,
    pub(crate) ask: Ask,
}

/// What is asked for again and again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask {
    /// By calls of their own.
    Call(Call),
    /// By Decrements of one unit over Transact: a stream on each connection.
    Stream,
}

/// What a caller does, and does again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Call {
    /// A Decrement of one unit of so many SKUs.
    Decrement { lines: usize },
    /// A Reserve of one unit, then its Commit.
    Pair,
    /// A SelectCarrier for one parcel: no stock, and so no books.
    SelectCarrier,
}

impl Server {
    /// When what it answered is on disk.
    pub(crate) fn durability(self) -> &'static str {
        match self {
            Self::Rival(Rival::AtOnce) => "-",
            Self::Gateway(FSYNC_ALWAYS) | Self::Rival(Rival::Postgres) => "before the answer",
            // The rival's Redis has the settings of the gateway's.
            Self::Gateway(_) | Self::Foreign { .. } | Self::Rival(Rival::Optimistic) => "everysec",
            // Its log writer comes every 0.2 s; what is committed is on disk within three of its turns.
            Self::Rival(Rival::PostgresAsync) => "within 0.6 s",
        }
    }
}

impl Ask {
    /// Lines in one request.
    pub(crate) fn lines(self) -> usize {
        match self {
            Self::Call(Call::Decrement { lines }) => lines,
            Self::Call(Call::Pair | Call::SelectCarrier) | Self::Stream => 1,
        }
    }
}

/// As much as a count may be: nothing is refused for lack of stock.
const PLENTY: i64 = 1_000_000_000;
/// As installed.
pub(crate) const DEFAULTS: &str = "";
const FSYNC_ALWAYS: &str = "[embedded]\nfsync = \"always\"\n";
/// The rate table of docs/rates.md as the only source.
const RATES: &str = concat!(
    "[[carriers.sources]]\nid = \"table\"\nkind = \"rate_table\"\nfile = \"",
    env!("CARGO_MANIFEST_DIR"),
    "/docs/rates/rates.toml\"\n"
);
/// Quotes that table has for the parcel that is asked for.
pub(crate) const QUOTES: usize = 3;
/// One script per call, each sent when its call comes.
const NO_BATCHES: &str = "[committer]\nbatch_max = 1\nscripts_in_flight_max = 64\noverlap_calls_min = 1\n";

const AT_ONCE: Server = Server::Rival(Rival::AtOnce);
pub(crate) const OURS: Server = Server::Gateway(DEFAULTS);
const POSTGRES_SYNC: Server = Server::Rival(Rival::Postgres);

/// One unit of one SKU in each call.
pub(crate) const SINGLE: Ask = Ask::Call(Call::Decrement { lines: 1 });
/// Over so many SKUs that no two calls are likely to meet.
pub(crate) const SPREAD_LOAD: Load = Load { skus: 1_000, ..BUSY };
const BUSY: Load = Load { in_flight: 64, skus: 1, units: PLENTY, ask: SINGLE };

/// All groups, in the order of the page.
pub(crate) fn groups() -> Vec<Group> {
    let line = |name, server, load| Contender { name, server, load };
    let over = |skus| Load { skus, ..BUSY };
    let cart = |lines| Load { ask: Ask::Call(Call::Decrement { lines }), ..over(1_000) };
    let rivals = |load| {
        vec![
            line(ANSWERS_AT_ONCE, AT_ONCE, load),
            line(DECREMENT, OURS, load),
            line(STREAM, OURS, Load { ask: Ask::Stream, ..load }),
            line(ONE_BY_ONE, Server::Gateway(NO_BATCHES), load),
            line(OPTIMISTIC, Server::Rival(Rival::Optimistic), load),
            line(POSTGRES, POSTGRES_SYNC, load),
            line(POSTGRES_ASYNC, Server::Rival(Rival::PostgresAsync), load),
        ]
    };
    let on = |masters, partitions| Server::Foreign { masters, partitions };
    // As many for each server as one has alone.
    let thrice = Load { in_flight: 3 * BUSY.in_flight, ..over(1_000) };
    let sold_out = Load { units: 0, ..BUSY };
    let alone = Load { in_flight: 1, ..BUSY };
    let always = Server::Gateway(FSYNC_ALWAYS);
    let parcel = Load { ask: Ask::Call(Call::SelectCarrier), ..BUSY };
    vec![
        Group { name: HOT, contenders: rivals(BUSY) },
        Group { name: SPREAD, contenders: rivals(over(1_000)) },
        Group {
            name: MANY,
            contenders: vec![
                line(ANSWERS_AT_ONCE, AT_ONCE, over(1_000)),
                line(SPREAD, OURS, over(1_000)),
                line(LARGE, OURS, over(100_000)),
                line(HUGE, OURS, over(1_000_000)),
            ],
        },
        Group {
            name: ALWAYS,
            contenders: vec![
                line(ANSWERS_AT_ONCE, AT_ONCE, BUSY),
                line(OURS_HOT, always, BUSY),
                line(POSTGRES_HOT, POSTGRES_SYNC, BUSY),
                line(OURS_SPREAD, always, over(1_000)),
                line(POSTGRES_SPREAD, POSTGRES_SYNC, over(1_000)),
            ],
        },
        Group {
            name: SOLD_OUT,
            contenders: vec![line(ANSWERS_AT_ONCE, AT_ONCE, sold_out), line(DECREMENT, OURS, sold_out)],
        },
        Group {
            name: ALONE,
            contenders: vec![line(ANSWERS_AT_ONCE, AT_ONCE, alone), line(DECREMENT, OURS, alone)],
        },
        Group {
            name: PAIRS,
            contenders: vec![
                line(ANSWERS_AT_ONCE, AT_ONCE, over(1_000)),
                line(PAIR, OURS, Load { ask: Ask::Call(Call::Pair), ..over(1_000) }),
            ],
        },
        Group {
            name: NODES,
            contenders: vec![
                line(ANSWERS_AT_ONCE, AT_ONCE, over(1_000)),
                line("one server, 1 partition", on(None, 1), over(1_000)),
                line("one server, 256 partitions", on(None, 256), over(1_000)),
                line("cluster of 1, 16 partitions", on(Some(1), 16), over(1_000)),
                line("cluster of 3, 16 partitions, 192 calls", on(Some(3), 16), thrice),
                line("cluster of 1, 256 partitions", on(Some(1), 256), over(1_000)),
                line("cluster of 3, 256 partitions, 192 calls", on(Some(3), 256), thrice),
            ],
        },
        Group {
            name: CARTS,
            contenders: vec![
                line(ANSWERS_AT_ONCE, AT_ONCE, cart(1)),
                line(CARTS_OF[0], OURS, cart(1)),
                line(CARTS_OF[1], OURS, cart(5)),
                line(CARTS_OF[2], OURS, cart(20)),
            ],
        },
        Group {
            name: CARRIERS,
            contenders: vec![
                line(ANSWERS_AT_ONCE, AT_ONCE, parcel),
                line(SELECT, Server::Gateway(RATES), parcel),
                line(SELECT_ALONE, Server::Gateway(RATES), Load { in_flight: 1, ..parcel }),
            ],
        },
    ]
}

// The names of groups and contenders, which the aims ask for.

pub(crate) const HOT: &str = "one SKU";
pub(crate) const SPREAD: &str = "1,000 SKUs";
pub(crate) const MANY: &str = "more and more SKUs";
pub(crate) const ALWAYS: &str = "fsync always";
pub(crate) const SOLD_OUT: &str = "sold out";
pub(crate) const ALONE: &str = "one call at a time";
pub(crate) const PAIRS: &str = "Reserve and Commit";
pub(crate) const CARTS: &str = "carts";
pub(crate) const NODES: &str = "past one server";
pub(crate) const CARRIERS: &str = "carriers";

pub(crate) const ANSWERS_AT_ONCE: &str = "answers at once";
pub(crate) const DECREMENT: &str = "Decrement";
pub(crate) const STREAM: &str = "Transact";
pub(crate) const ONE_BY_ONE: &str = "one script per call";
pub(crate) const OPTIMISTIC: &str = "Redis, WATCH and 3 retries";
pub(crate) const POSTGRES: &str = "PostgreSQL";
pub(crate) const POSTGRES_ASYNC: &str = "PostgreSQL, synchronous_commit off";
pub(crate) const OURS_HOT: &str = "Decrement, one SKU";
pub(crate) const OURS_SPREAD: &str = "Decrement, 1,000 SKUs";
pub(crate) const POSTGRES_HOT: &str = "PostgreSQL, one SKU";
pub(crate) const POSTGRES_SPREAD: &str = "PostgreSQL, 1,000 SKUs";
pub(crate) const LARGE: &str = "100,000 SKUs";
pub(crate) const HUGE: &str = "1,000,000 SKUs";
pub(crate) const PAIR: &str = "pairs";
pub(crate) const SELECT: &str = "SelectCarrier, rate table";
pub(crate) const SELECT_ALONE: &str = "SelectCarrier, one at a time";
pub(crate) const CARTS_OF: [&str; 3] = ["1 line", "5 lines", "20 lines"];

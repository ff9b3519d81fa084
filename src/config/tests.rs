//! Tests of the folder beside.

mod carriers;
mod channels;
mod redis;

use std::{collections::BTreeSet, fs, io::Write as _, time::Duration};

use ::config::{File, FileFormat, Source as _, ValueKind};
use secrecy::ExposeSecret as _;
use tempfile::NamedTempFile;

use super::{shape::Shape, *};
use crate::domain::Durability;

/// A channel that is as it should be, save for what a test adds.
const WEB: &str = "[[channels]]\nid = \"web\"\nurl = \"http://127.0.0.1:9001/stock\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n";

fn load(toml: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut file = NamedTempFile::with_suffix(".toml").unwrap();
    file.write_all(toml.as_bytes()).unwrap();
    Config::load(Some(file.path()), variables(env))
}

fn variables(env: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
}

/// All problems, with the file called FILE.
fn problems(toml: &str, env: &[(&str, &str)]) -> Vec<String> {
    let mut file = NamedTempFile::with_suffix(".toml").unwrap();
    file.write_all(toml.as_bytes()).unwrap();
    let path = file.path().display().to_string();
    match Config::load(Some(file.path()), variables(env)) {
        Ok(_) => Vec::new(),
        Err(error) => error.to_string().replace(&path, "FILE").lines().map(str::to_owned).collect(),
    }
}

fn check(toml: &str, env: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(problems(toml, env), expected, "{toml} {env:?}");
}

#[test]
fn the_defaults_are_complete_and_what_the_contract_says() {
    let config = Config::load(None, std::iter::empty()).unwrap();
    assert!(config.redis.url.is_none());
    assert_eq!(config.redis.partitions.count(), 1);
    assert_eq!(config.embedded.fsync, Fsync::Everysec);
    assert_eq!(config.grpc.listen.to_string(), "127.0.0.1:50051");
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.holds.retention, Duration::from_secs(24 * 3600));
    assert_eq!(config.propagation.backoff(), crate::domain::Backoff::default());
    let propagation = &config.propagation;
    let lags = [propagation.lag_critical, propagation.lag_cost];
    assert_eq!(lags, [5, 30].map(Duration::from_secs));
    let counts = (propagation.breaker_failures, propagation.breaker_rate, propagation.breaker_calls_min);
    assert_eq!(counts, (5, 0.5, 20));
    let waits = [propagation.breaker_window, propagation.breaker_first, propagation.breaker_cap];
    assert_eq!(waits, [30, 1, 30].map(Duration::from_secs));
    let durability = (config.durability.level, config.durability.wait_timeout);
    assert_eq!(durability, (Durability::Memory, Duration::from_secs(1)));
    assert!(config.channels.is_empty());
    assert_eq!([1, 2, 3, 64].map(|cores| config.grpc.threads_of(cores)), [1, 2, 2, 32]);
    assert_eq!([1, 2, 32].map(|threads| config.committer.scripts_of(threads)), [2, 1, 1]);
    assert_eq!(Role::default(), Role::All);
}

/// The manual, the schema and the structs name the same settings: the structs have no default of their own, so one
/// missing in the manual does not load, and one too many is unknown.
#[test]
fn the_manual_has_every_setting_and_no_other() {
    let mut written = BTreeSet::new();
    for (section, value) in layers::defaults() {
        let ValueKind::Table(fields) = value.kind else { panic!("{section} is no section") };
        written.extend(fields.into_keys().map(|field| format!("{section}.{field}")));
    }
    let known: BTreeSet<String> = schema::names().map(str::to_owned).collect();
    assert_eq!(written, known);
}

#[test]
fn the_manual_shows_every_setting_of_a_channel_with_its_default() {
    let lines = DEFAULTS.lines().filter_map(|line| line.strip_prefix("#channel "));
    let example: String = lines.map(|line| format!("{line}\n")).collect();
    let mut tree = File::from_str(&example, FileFormat::Toml).collect().unwrap();
    let ValueKind::Array(mut items) = tree.remove("channels").unwrap().kind else { panic!("no channels") };
    let ValueKind::Table(fields) = items.remove(0).kind else { panic!("no section") };
    let written: BTreeSet<&str> = fields.keys().map(String::as_str).collect();
    assert_eq!(written, schema::CHANNEL.iter().map(|(field, _)| *field).collect());
    let short = load(WEB, &[]).unwrap();
    let example = example.replace("secret = \"\"", "secret = \"whsec_x\"");
    let unset = ["secret_file", "cap", "rate", "burst"];
    let example = example.lines().filter(|line| !unset.iter().any(|field| line.starts_with(field)));
    let long = load(&example.collect::<Vec<_>>().join("\n"), &[]).unwrap();
    assert_eq!(format!("{:?}", short.channels), format!("{:?}", long.channels));
}

/// The range in the comment above a setting is the one that is checked.
#[test]
fn the_manual_tells_the_range_of_every_setting() {
    let lines: Vec<&str> = DEFAULTS
        .lines()
        .map(|line| line.trim_start_matches("#channel ").trim_start_matches("#source "))
        .collect();
    let sectioned = schema::SETTINGS.iter().map(|(name, shape)| (name.split_once('.').unwrap(), shape));
    let channel = schema::CHANNEL.iter().map(|(field, shape)| (("[channels]", *field), shape));
    let source = schema::SOURCE.iter().map(|(field, shape)| (("[carriers.sources]", *field), shape));
    for ((section, field), shape) in sectioned.chain(channel).chain(source) {
        let range = match shape {
            Shape::Integer(from, to) => format!("{from} to {to}"),
            Shape::Number(from, to) => format!("{from} to {to}"),
            Shape::Span(from, to) => format!("{from} to {to}"),
            _ => continue,
        };
        let start = lines.iter().position(|line| *line == format!("[{section}]")).unwrap();
        let after = lines[start..].iter().position(|line| line.starts_with(&format!("{field} = "))).unwrap();
        let comments = lines[..start + after].iter().rev().take_while(|line| line.starts_with("# "));
        assert!(comments.into_iter().any(|line| line.contains(&range)), "{section}.{field}: {range}");
    }
}

#[test]
fn a_later_layer_wins() {
    let toml = "[committer]\nbatch_max = 64\nlines_max = 500\n[redis]\nurl = \"redis://file\"\n";
    let env = [
        ("STOCKGATE__COMMITTER__BATCH_MAX", "32"),
        ("STOCKGATE_REDIS_URL", "redis://env"),
        ("STOCKGATE__PROPAGATION__JITTER", "0.5"),
        ("STOCKGATE__HOLDS__TTL_DEFAULT", "90s"),
        ("STOCKGATE_HTTP_LISTEN", "[::1]:0"),
        ("STOCKGATE_GRPC_LISTEN", "0.0.0.0:1"),
        ("PATH", "/bin"),
    ];
    let config = load(toml, &env).unwrap();
    assert_eq!(config.committer.batch_max, 32, "variable over file");
    assert_eq!(config.committer.lines_max, 500, "file over defaults");
    assert_eq!(config.committer.queue_max, 4096, "defaults");
    assert_eq!(config.redis.url.unwrap().expose(), "redis://env");
    assert_eq!(config.propagation.jitter, 0.5);
    assert_eq!(config.holds.ttl_default, Duration::from_secs(90));
    assert_eq!((config.http.listen.port(), config.grpc.listen.port()), (0, 1));
    assert!(load(toml, &[("STOCKGATE_REDIS_URL", "")]).unwrap().redis.url.is_none());
}

#[test]
fn an_unknown_setting_is_named_with_its_place_and_the_nearest_right_one() {
    check(
        "[committer]\nbach_max = 1\n",
        &[],
        &["unknown setting committer.bach_max in FILE: did you mean committer.batch_max?"],
    );
    check(
        "[commiter]\nbatch_max = 1\n",
        &[],
        &["unknown setting commiter.batch_max in FILE: did you mean committer.batch_max?"],
    );
    check("[[channel]]\n", &[], &["unknown setting channel in FILE: did you mean channels?"]);
    check(
        &format!("{WEB}xyzzy = 3\n"),
        &[],
        &["unknown setting channels.web.xyzzy in FILE: all settings are listed in config.default.toml"],
    );
    check(
        &format!("{WEB}timout = \"3s\"\n"),
        &[],
        &["unknown setting channels.web.timout in FILE: did you mean channels.web.timeout?"],
    );
    let variable = |name: &str, text: &str| check(WEB, &[(name, "1")], &[text]);
    variable(
        "STOCKGATE__COMMITTER__BACH_MAX",
        "unknown setting committer.bach_max in environment variable STOCKGATE__COMMITTER__BACH_MAX: \
         did you mean STOCKGATE__COMMITTER__BATCH_MAX?",
    );
    variable(
        "STOCKGATE__CHANNELS__WEB__BACH",
        "unknown setting channels.web.bach in environment variable STOCKGATE__CHANNELS__WEB__BACH: \
         did you mean STOCKGATE__CHANNELS__WEB__BATCH?",
    );
    variable(
        "STOCKGATE__HOLDS__TTL__MAX",
        "unknown setting holds.ttl.max in environment variable STOCKGATE__HOLDS__TTL__MAX: \
         all settings are listed in config.default.toml",
    );
    variable(
        "STOCKGATE_REDIS_ULR",
        "unknown setting STOCKGATE_REDIS_ULR in environment variable STOCKGATE_REDIS_ULR: \
         did you mean STOCKGATE_REDIS_URL?",
    );
    variable(
        "STOCKGATE_COMMITTER_BATCH_MAX",
        "unknown setting STOCKGATE_COMMITTER_BATCH_MAX in environment variable STOCKGATE_COMMITTER_BATCH_MAX: \
         did you mean STOCKGATE__COMMITTER__BATCH_MAX?",
    );
}

#[test]
fn variables_that_are_no_settings_are_left_alone() {
    let env = [
        ("STOCKGATE_CONFIG", "x.toml"),
        ("STOCKGATE_GATEWAY", "http://127.0.0.1:1"),
        ("STOCKGATE_PORT", "tcp://10.0.0.1:50051"),
        ("STOCKGATE_SERVICE_HOST", "10.0.0.1"),
        ("STOCKGATE_REDIS_SERVICE_PORT", "6379"),
    ];
    check("", &env, &[]);
}

#[test]
fn a_variable_sets_one_setting_of_one_channel() {
    let toml = WEB.replace("id = \"web\"", "id = \"Web-eu\"").replace("secret", "# secret");
    let name = "STOCKGATE__CHANNELS__WEB_EU__SECRET";
    let config = load(&toml, &[(name, "whsec_env"), ("STOCKGATE__CHANNELS__WEB_EU__BATCH", "7")]).unwrap();
    assert_eq!(config.channels[0].secret.expose_secret(), "whsec_env");
    assert_eq!(config.channels[0].batch, 7);
    check(
        WEB,
        &[(name, "x")],
        &[&format!("environment variable {name} names no channel: the settings file has web")],
    );
    check(
        "",
        &[(name, "x")],
        &[&format!(
            "environment variable {name} names a channel, but there is none: add a [[channels]] section with its id to \
         the settings file"
        )],
    );
}

#[test]
fn two_spellings_of_one_setting_must_agree() {
    let long = ("STOCKGATE__REDIS__URL", "redis://a");
    check("", &[long, ("STOCKGATE_REDIS_URL", "redis://a")], &[]);
    check(
        "",
        &[long, ("STOCKGATE_REDIS_URL", "redis://b")],
        &[
            "STOCKGATE_REDIS_URL and STOCKGATE__REDIS__URL set the same setting to different values: keep one of them",
        ],
    );
}

#[test]
fn a_value_that_cannot_be_is_refused_with_what_it_must_be() {
    let one = |section: &str, line: &str, detail: &str| {
        let field = line.split(' ').next().unwrap();
        check(&format!("[{section}]\n{line}\n"), &[], &[&format!("{section}.{field} in FILE {detail}")]);
    };
    one("committer", "batch_max = 0", "must be 1 to 512, is 0");
    one("committer", "batch_max = 513", "must be 1 to 512, is 513");
    one("committer", "batch_max = 1.5", "must be a whole number, 1 to 512, is 1.5");
    one("committer", "batch_max = true", "must be a whole number, 1 to 512, is true");
    one("committer", "batch_max = \"8\"", "must be a whole number, 1 to 512, is \"8\"");
    one("committer", "lines_max = 99", "must be 100 to 4000, is 99");
    one("redis", "partitions = 4097", "must be 0 to 4096, is 4097");
    one(
        "redis",
        "namespace = \"a b\"",
        "must be letters, digits, '-' or '_', has byte 0x20 at position 1, is \"a b\"",
    );
    one("redis", "namespace = \"\"", "must not be empty, is \"\"");
    one("redis", "response_timeout = \"0s\"", "must be 10ms to 1m, is \"0s\"");
    one("redis", "response_timeout = 5", "must be a duration with a unit such as \"5s\", 10ms to 1m, is 5");
    one(
        "redis",
        "response_timeout = \"5\"",
        "must be a duration with a unit such as \"5s\", 10ms to 1m, is \"5\"",
    );
    one("embedded", "fsync = \"never\"", "must be \"everysec\" or \"always\", is \"never\"");
    one("embedded", "data_dir = \"\"", "must be text in quotes, and not empty");
    one("log", "format = \"xml\"", "must be \"text\" or \"json\", is \"xml\"");
    one(
        "log",
        "level = \"stockgate=loud\"",
        "must be a level such as \"info\", or levels by target such as \"info,stockgate::workers=debug\", is \
         \"stockgate=loud\"",
    );
    one("propagation", "jitter = 1.1", "must be a number, 0 to 1, is 1.1");
    one("propagation", "jitter = nan", "must be a number, 0 to 1, is NaN");
    one("propagation", "breaker_failures = 0", "must be 1 to 1000, is 0");
    one("propagation", "breaker_rate = 0", "must be a number, 0.01 to 1, is 0");
    one("propagation", "breaker_calls_min = 0", "must be 1 to 1000000, is 0");
    one("propagation", "breaker_window = \"100ms\"", "must be 1s to 1h, is \"100ms\"");
    one("propagation", "breaker_first = \"1ms\"", "must be 10ms to 1h, is \"1ms\"");
    one("durability", "level = \"disk\"", "must be \"memory\" or \"replicated\" or \"fsync\", is \"disk\"");
    one("durability", "replicas = 0", "must be 1 to 16, is 0");
    one("durability", "wait_timeout = \"0s\"", "must be 1ms to 1m, is \"0s\"");
    one("holds", "ttl_max = \"25h\"", "must be 1ms to 24h, is \"25h\"");
    one(
        "grpc",
        "listen = \"localhost:1\"",
        "must be an IP address and a port such as \"127.0.0.1:8080\" or \"[::1]:8080\", is \"localhost:1\"",
    );
    check("redis = 5", &[], &["redis in FILE must be a section: write [redis]"]);
    check("[channels.web]\n", &[], &["channels in FILE must be sections: write [[channels]] and id = \"…\""]);
    check(
        "",
        &[("STOCKGATE__GRPC__THREADS", "two")],
        &[
            "grpc.threads in environment variable STOCKGATE__GRPC__THREADS must be a whole number, 0 to 256, is \"two\"",
        ],
    );
}

#[test]
fn a_level_of_durability_is_set_with_its_replicas_and_waits_no_longer_than_calls_do() {
    let level = |toml: &str| load(toml, &[]).unwrap().durability.level.to_string();
    assert_eq!(level("durability.level = \"replicated\"\n"), "replicated=1");
    assert_eq!(level("durability = { level = \"replicated\", replicas = 3 }\n"), "replicated=3");
    assert_eq!(level("durability = { level = \"fsync\", replicas = 3 }\n"), "fsync");
    let by_variable = load("", &[("STOCKGATE__DURABILITY__LEVEL", "fsync")]).unwrap();
    assert_eq!(by_variable.durability.level, Durability::Fsync);
    let longer = "grpc.default_deadline = \"5s\"\ndurability.wait_timeout = \"6s\"\n";
    check(longer, &[], &[]);
    check(
        &format!("{longer}durability.level = \"replicated\"\n"),
        &[],
        &[
            "durability.wait_timeout in FILE is 6s, must be at most grpc.default_deadline, 5s in FILE: lower the one or \
             raise the other",
        ],
    );
}

#[test]
fn every_kind_of_redis_url_is_taken_and_no_other() {
    let check = |url: &str, is_good: bool| {
        assert_eq!(load("", &[("STOCKGATE_REDIS_URL", url)]).is_ok(), is_good, "{url}");
    };
    check("redis://127.0.0.1", true);
    check("redis://shop:secret@redis:6379/3?protocol=resp3", true);
    check("rediss://redis:6380/0", true);
    check("redis+unix:///run/redis.sock", true);
    check("redis", false);
    check("http://redis:6379", false);
    check("redis+sentinel://shop:secret@a:26379,b,c:1/shop/2", true);
    check("rediss+sentinel://a/shop", true);
    check("redis+sentinel://redis:26379", false);
    check("redis+cluster://shop:secret@redis:7000,b", true);
    check("redis+cluster://redis:7000/3", false);
    check("redis://redis:port", false);
}

#[test]
fn settings_that_contradict_each_other_are_refused_with_both_names() {
    check(
        "[holds]\nttl_max = \"12h\"\nretention = \"6h\"\n",
        &[],
        &[
            "holds.ttl_max in FILE is 12h, must be at most holds.retention, 6h in FILE: lower the one or raise the other",
        ],
    );
    check(
        "",
        &[("STOCKGATE__HOLDS__TTL_MAX", "5m")],
        &[
            "holds.ttl_default in the defaults is 10m, must be at most holds.ttl_max, 5m in environment variable \
         STOCKGATE__HOLDS__TTL_MAX: lower the one or raise the other",
        ],
    );
    check(
        "[propagation]\nbackoff_first = \"31s\"\n",
        &[],
        &[
            "propagation.backoff_first in FILE is 31s, must be at most propagation.backoff_cap, 30s in the defaults: \
         lower the one or raise the other",
        ],
    );
    check(
        "[propagation]\nbreaker_cap = \"500ms\"\nlag_critical = \"1m\"\n",
        &[],
        &[
            "propagation.breaker_first in the defaults is 1s, must be at most propagation.breaker_cap, 500ms in FILE: \
         lower the one or raise the other",
            "propagation.lag_critical in FILE is 1m, must be at most propagation.lag_cost, 30s in the defaults: \
         lower the one or raise the other",
        ],
    );
    check(
        "[committer]\nqueue_max = 100\n",
        &[],
        &[
            "committer.batch_max in the defaults is 128, must be at most committer.queue_max, 100 in FILE: lower the one \
         or raise the other",
        ],
    );
    check(
        "[http]\nlisten = \"127.0.0.1:50051\"\n",
        &[],
        &["http.listen in FILE is 127.0.0.1:50051, the same as grpc.listen: give it another port"],
    );
    check(
        &format!("{WEB}timeout = \"30s\"\n"),
        &[],
        &[
            "channels.web.timeout in FILE is 30s, must be 500ms shorter than propagation.lease, 30s in the defaults: raise the \
         lease or lower the timeout",
        ],
    );
}

#[test]
fn all_problems_are_told_at_once() {
    let toml =
        format!("[redis]\nurl = \"x\"\npool_max = 0\nfoo = 1\n[holds]\nretention = \"1h\"\n{WEB}batch = 0\n");
    let found = problems(&toml, &[("STOCKGATE__LOG__LEVLE", "info")]);
    assert_eq!(found.len(), 6, "{found:#?}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing = Config::load(Some(Path::new("/nonexistent/s.toml")), std::iter::empty()).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "cannot read the settings file /nonexistent/s.toml: No such file or directory (os error 2)"
    );
    let found = problems("[redis]\nurl = \"redis://:hunter2@x\n", &[]);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("FILE is not valid TOML: TOML parse error at line 2, column "), "{found:?}");
    assert!(!found[0].contains("hunter2"), "{found:?}");
}

#[test]
fn no_secret_is_ever_printed() {
    let env = [("STOCKGATE_REDIS_URL", "redis://shop:hunter2@redis:6379/0")];
    let toml = WEB.replace("/stock", "/stock?token=hunter2").replace("whsec_", "whsec_hunter2");
    let config = load(&toml, &env).unwrap();
    let printed = format!("{config:?} {config:#?}");
    assert!(!printed.contains("hunter2") && !printed.contains("MfKQ9r8G"), "{printed}");
    assert!(printed.contains("redis://***@redis:6379/0"), "{printed}");
    let broken = [
        ("[redis]\nurl = \"hunter2\"\n".to_owned(), "redis.url"),
        ("[redis]\nurl = [\"hunter2\"]\n".to_owned(), "redis.url"),
        (WEB.replace("http://", "hunter2"), "channels.web.url"),
        (WEB.replace("\"whsec_", "[\"hunter2\"] #"), "channels.web.secret"),
    ];
    for (toml, setting) in broken {
        let error = load(&toml, &[]).unwrap_err();
        assert!(error.to_string().contains(setting), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn the_file_named_is_read_before_the_usual_one() {
    assert_eq!(file_to_read(Some("x.toml".into())), Some("x.toml".into()));
    assert_eq!(file_to_read(Some("".into())), file_to_read(None));
}

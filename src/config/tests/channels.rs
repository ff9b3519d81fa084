//! What a `[[channels]]` section may say.

use super::*;

#[test]
fn a_channel_is_complete_and_the_only_one_of_its_id() {
    let lacking = "[[channels]]\n";
    check(
        lacking,
        &[],
        &[
            "channels[0].id is not set: write id = \"web\", or what you call it",
            "channels[0].url is not set: write url = \"https://…\", where the channel is told",
            "channels[0].secret is not set: write secret = \"whsec_…\", or secret_file = \"PATH\"",
        ],
    );
    check(
        &format!("{WEB}{WEB}"),
        &[],
        &["channels.web.id in FILE is the id of more than one channel: give each its own"],
    );
    check(
        &format!("{WEB}secret_file = \"x\"\n"),
        &[],
        &["channels.web.secret_file in FILE is set beside secret in FILE: keep one of them"],
    );
    check(
        &WEB.replace("http://", "ftp://"),
        &[],
        &["channels.web.url in FILE must be a url such as \"https://shop.example/stock\""],
    );
    check(
        &format!("{WEB}kind = \"fax\"\nshare = 2\ncap = -1\n"),
        &[],
        &[
            "channels.web.kind in FILE must be \"webhook\", is \"fax\"",
            "channels.web.share in FILE must be a number, 0 to 1, is 2",
            "channels.web.cap in FILE must be 0 to 1000000000, is -1",
        ],
    );
    check(
        &format!("{WEB}pause_at = -2\nrate = 0\nburst = 0\nmax_attempts = 0\nmax_age = \"91d\"\n"),
        &[],
        &[
            "channels.web.pause_at in FILE must be -1 to 999999999, is -2",
            "channels.web.rate in FILE must be a number, 0.01 to 100000, is 0",
            "channels.web.burst in FILE must be 1 to 100000, is 0",
            "channels.web.max_attempts in FILE must be 1 to 1000000, is 0",
            "channels.web.max_age in FILE must be 1s to 90d, is \"91d\"",
        ],
    );
    let many: String = (0..65).map(|n| WEB.replace("web", &format!("c{n}"))).collect();
    check(&many, &[], &["channels in FILE are 65, must be at most 64"]);
}

#[test]
fn a_channel_pauses_and_resumes_where_it_says() {
    let thresholds = |toml: &str| {
        let publish = load(&format!("{WEB}{toml}"), &[]).unwrap().channels[0].publish;
        (publish.pause_at, publish.resume_at)
    };
    assert_eq!(thresholds(""), (Some(0), 1));
    assert_eq!(thresholds("pause_at = 3"), (Some(3), 4));
    assert_eq!(thresholds("pause_at = 3\nresume_at = 10\ncap = 10"), (Some(3), 10));
    assert_eq!(thresholds("cap = 0"), (Some(0), 1), "always paused, if somebody wants that");
    assert_eq!(thresholds("pause_at = -1").0, None);
    assert_eq!(thresholds("pause_at = -1\nresume_at = 5\ncap = 2").0, None);

    let refused = |toml: &str, detail: &str| {
        check(&format!("{WEB}{toml}"), &[], &[&format!("channels.web.resume_at in FILE {detail}")]);
    };
    refused("resume_at = 0", "is 0, must be above pause_at, 0 in the defaults");
    refused("pause_at = 5\nresume_at = 5", "is 5, must be above pause_at, 5 in FILE");
    refused(
        "pause_at = 5\nresume_at = 10\ncap = 9",
        "is 10, must be at most cap, since a paused listing could not come back, 9 in FILE",
    );
    refused("resume_at = -1", "must be 0 to 1000000000, is -1");
    // What is wrong already is not blamed on its neighbour.
    check(
        &format!("{WEB}pause_at = -2\nresume_at = 0"),
        &[],
        &["channels.web.pause_at in FILE must be -1 to 999999999, is -2"],
    );
}

#[test]
fn a_rate_brings_its_burst() {
    let terms = |toml: &str, env: &[(&str, &str)]| {
        let channel = &load(&format!("{WEB}{toml}"), env).unwrap().channels[0];
        (channel.rate, channel.burst)
    };
    assert_eq!(terms("", &[]), (None, 1));
    assert_eq!(terms("rate = 50", &[]), (Some(50.0), 50));
    assert_eq!(terms("rate = 2.5", &[]), (Some(2.5), 3));
    assert_eq!(terms("rate = 0.01", &[]), (Some(0.01), 1));
    assert_eq!(terms("rate = 100000\nburst = 7", &[]), (Some(100_000.0), 7));
    assert_eq!(terms("", &[("STOCKGATE__CHANNELS__WEB__RATE", "0.5")]), (Some(0.5), 1));

    check(
        &format!("{WEB}burst = 5\n"),
        &[],
        &["channels.web.burst in FILE is set without rate: set rate too, or leave it out"],
    );
    check(
        &format!("{WEB}rate = 0\nburst = 5\n"),
        &[],
        &["channels.web.rate in FILE must be a number, 0.01 to 100000, is 0"],
    );
}

#[test]
fn what_a_channel_may_use_up_is_set_per_channel() {
    let channel = &load(WEB, &[]).unwrap().channels[0];
    assert_eq!((channel.max_attempts, channel.max_age), (20, Duration::from_secs(24 * 3600)));
    let toml = format!("{WEB}max_attempts = 3\nmax_age = \"90s\"\n");
    let channel = &load(&toml, &[]).unwrap().channels[0];
    assert_eq!((channel.max_attempts, channel.max_age), (3, Duration::from_secs(90)));
}

#[test]
fn a_secret_comes_from_a_file_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let toml = WEB.lines().filter(|line| !line.starts_with("secret")).collect::<Vec<_>>().join("\n");
    let toml = format!("{toml}\nsecret_file = {path:?}\n");
    check(
        &toml,
        &[],
        &[&format!(
            "cannot read channels.web.secret_file {}: No such file or directory (os error 2)",
            path.display()
        )],
    );
    fs::write(&path, " \n").unwrap();
    check(&toml, &[], &["channels.web.secret_file in FILE names an empty file: write the secret into it"]);
    fs::write(&path, "x".repeat(5000)).unwrap();
    check(
        &toml,
        &[],
        &[&format!(
            "cannot read channels.web.secret_file {}: more than 4096 bytes: a secret is one short line",
            path.display()
        )],
    );
    fs::write(&path, "whsec_filed\n").unwrap();
    assert_eq!(load(&toml, &[]).unwrap().channels[0].secret.expose_secret(), "whsec_filed");
}

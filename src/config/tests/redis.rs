//! The `[redis]` section: what it may say together, and the files it names.

use super::*;

const SENTINEL: &str = "redis+sentinel://a,b/shop";

/// Problems of a section, by the text after the name of the setting.
fn refused(url: &str, lines: &str, expected: &str) {
    let toml = format!("[redis]\nurl = {url:?}\n{lines}\n");
    let found = problems(&toml, &[]);
    assert!(matches!(&found[..], [only] if only.contains(expected)), "{toml}: {found:#?}");
    assert!(!found[0].contains("hunter2"), "{found:?}");
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn a_bad_url_is_refused_with_the_way_to_mend_it() {
    refused(
        "redis+cluster://:hunter2@a,b/2",
        "",
        "redis.url in FILE names another database than 0: a cluster",
    );
    refused(
        "redis+sentinel://:hunter2@a,b",
        "",
        "redis.url in FILE names no master: write redis+sentinel://",
    );
    refused(
        "rediss://:hunter2@a/#insecure",
        "",
        "redis.url in FILE ends in #insecure, which would trust any",
    );
    refused("hunter2", "", "redis.url in FILE is not a redis url: write redis://host:6379/0, rediss://");
}

#[test]
fn user_and_password_come_from_files() {
    let (password, sentinel) = (file("hunter2\n"), file("whistle"));
    let toml = format!(
        "[redis]\nurl = {SENTINEL:?}\nuser = \"clerk\"\npassword_file = {:?}\nsentinel_password_file = {:?}\n",
        password.path(),
        sentinel.path()
    );
    let config = load(&toml, &[]).unwrap();
    let secret = |login: &crate::store::Login| {
        login.password.as_ref().map(|secret| secret.expose_secret().to_owned()).unwrap()
    };
    assert_eq!(config.redis.login.user.as_deref(), Some("clerk"));
    assert_eq!(secret(&config.redis.login), "hunter2");
    assert_eq!(
        (config.redis.sentinel_login.user.clone(), secret(&config.redis.sentinel_login)),
        (None, "whistle".into())
    );
    let printed = format!("{config:?}");
    assert!(!printed.contains("hunter2") && !printed.contains("whistle"), "{printed}");
}

#[test]
fn what_the_url_has_no_use_for_or_says_itself_is_refused() {
    let password = file("hunter2");
    let password_file = format!("password_file = {:?}", password.path());
    refused(
        "redis://clerk:hunter2@a",
        "user = \"clerk\"",
        "redis.user in FILE is set, and redis.url in FILE has a user too",
    );
    refused("redis://:hunter2@a", &password_file, "has a password too: keep one of them");
    refused("", &password_file, "redis.password_file in FILE is set, but redis.url in FILE is empty");
    refused(
        "redis://a",
        "user = \"clerk\"",
        "redis.user in FILE is set without a password: set redis.password_file too",
    );
    refused(SENTINEL, "sentinel_user = \"x\"", "without a password: set redis.sentinel_password_file too");
    let sentinel = format!("sentinel_password_file = {:?}", password.path());
    refused(
        "redis://a",
        &sentinel,
        "redis.sentinel_password_file in FILE is set, but redis.url in FILE is not redis+sentinel://",
    );
}

#[test]
fn a_file_that_holds_nothing_of_use_is_named() {
    let (empty, text) = (file(" \n"), file("hunter2"));
    let set = |field: &str, file: &NamedTempFile| format!("{field} = {:?}", file.path());
    refused(
        "redis://a",
        "password_file = \"/nonexistent\"",
        "cannot read redis.password_file /nonexistent: No such file",
    );
    refused("redis://a", &set("password_file", &empty), "redis.password_file in FILE names an empty file");
    refused(
        "rediss://a",
        "ca_file = \"/nonexistent\"",
        "cannot read redis.ca_file /nonexistent: No such file",
    );
    refused(
        "rediss://a",
        &set("ca_file", &text),
        "redis.ca_file in FILE names a file without a certificate in PEM",
    );
    let both = format!("{}\n{}", set("client_cert_file", &text), set("client_key_file", &text));
    refused("rediss://a", &both, "redis.client_cert_file in FILE names a file without a certificate in PEM");
    refused("rediss://a", &set("client_cert_file", &text), "is set without redis.client_key_file: set both");
    refused("rediss://a", &set("client_key_file", &text), "is set without redis.client_cert_file: set both");
}

#[test]
fn partitions_are_as_many_as_suit_the_address() {
    let count = |toml: &str| load(toml, &[]).unwrap().redis.partitions.count();
    assert_eq!(count(""), 1);
    assert_eq!(count("[redis]\nurl = \"redis+sentinel://a/shop\"\n"), 1);
    assert_eq!(count("[redis]\nurl = \"redis+cluster://a\"\n"), 256);
    assert_eq!(count("[redis]\nurl = \"redis+cluster://a\"\npartitions = 16\n"), 16);
}

//! Redis behind TLS that asks for certificates: who has the right ones is served, alone and through sentinels, and who has not
//! is told what is wrong.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::{
    gateway::{Setup, eventually},
    gateway_receiver::{Receiver, SECRET},
    guarded::{WITHIN, own_address, own_ports},
    sentinel_trio::{Extras, Trio},
};

/// Starts Redis with certificates. When the pipe from this process closes, Redis goes.
const GUARD: &str = r#"
redis-server "$@" </dev/null >/dev/null 2>&1 &
server=$!
read -r _
kill -9 "$server"
wait "$server" 2>/dev/null
"#;

/// An authority, and what it signed for a server at our own address and for a client, as PEM files.
struct Papers {
    directory: tempfile::TempDir,
}

impl Papers {
    fn issue(issuer: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("stockgate-tls-").tempdir().unwrap();
        let write = |name: &str, pem: &str| std::fs::write(directory.path().join(name), pem).unwrap();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Names that differ: what has the name of its issuer counts as signed by itself.
        authority.distinguished_name.push(DnType::CommonName, issuer);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        write("ca.pem", &authority.pem());
        for (name, usages) in [
            // A replica and a sentinel are clients of the master too.
            ("server", vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]),
            ("client", vec![ExtendedKeyUsagePurpose::ClientAuth]),
        ] {
            let mut params = CertificateParams::new([own_address()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params.extended_key_usages = usages;
            let key = KeyPair::generate().unwrap();
            write(&format!("{name}.pem"), &params.signed_by(&key, &authority).unwrap().pem());
            write(&format!("{name}.key"), &key.serialize_pem());
        }
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What a server is told of them.
    fn server_settings(&self) -> Vec<(&'static str, String)> {
        let path = |name| self.path(name).display().to_string();
        vec![
            ("tls-cert-file", path("server.pem")),
            ("tls-key-file", path("server.key")),
            ("tls-ca-cert-file", path("ca.pem")),
            ("tls-auth-clients", "yes".to_owned()),
            ("tls-replication", "yes".to_owned()),
        ]
    }
}

/// Lets a gateway have these files, some of which may be those of somebody else.
fn with_files(setup: Setup, files: &[(&str, PathBuf)]) -> Setup {
    files.iter().fold(setup, |setup, (setting, path)| setup.set(&format!("redis.{setting} = {path:?}")))
}

/// A redis-server that speaks nothing but TLS.
struct Redis {
    port: u16,
    guard: Child,
}

impl Redis {
    async fn start(papers: &Papers) -> Self {
        let port = own_ports(1);
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "guard", "--port", "0", "--save", "", "--bind", &own_address()]);
        command.args(["--tls-port", &port.to_string(), "--dir"]).arg(papers.directory.path());
        for (name, value) in papers.server_settings() {
            command.arg(format!("--{name}")).arg(value);
        }
        let guard =
            command.stdin(Stdio::piped()).spawn().expect("sh is there; redis-server too, by `make test`");
        let listens = async || std::net::TcpStream::connect((own_address(), port)).ok();
        eventually("redis listens", WITHIN, listens).await;
        Self { port, guard }
    }

    fn url(&self) -> String {
        format!("rediss://{}:{}/0", own_address(), self.port)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

#[tokio::test]
async fn who_has_the_right_certificates_is_served_and_nobody_else() {
    let (papers, strange, web) = (Papers::issue("ours"), Papers::issue("theirs"), Receiver::start().await);
    let redis = Redis::start(&papers).await;
    let on = |files: &[(&str, PathBuf)]| {
        let setup = Setup::embedded().set(&format!("redis.url = {:?}", redis.url()));
        with_files(setup, files)
    };
    let ours =
        [("client_cert_file", papers.path("client.pem")), ("client_key_file", papers.path("client.key"))];
    let trusting = |authority: PathBuf| [("ca_file", authority), ours[0].clone(), ours[1].clone()];

    let gateway = on(&trusting(papers.path("ca.pem"))).channel("web", &web.url(), SECRET, "").serve().await;
    gateway.put(&[("a", 5)]).await;
    assert_eq!(gateway.sell("k", "a", 1).await.on_hand, 4);
    // Blocking readers are on connections of their own.
    gateway.in_sync("web", "a").await;
    assert_eq!(web.shows("a").unwrap().quantity, 4);

    let refused = async |files: &[(&str, PathBuf)], expected: &str| {
        let (code, said) = on(files).refusal().await;
        assert_ne!(code, Some(0));
        assert!(said.contains("redis.ca_file") && said.contains(expected), "{expected}: {said}");
    };
    refused(&trusting(strange.path("ca.pem")), "UnknownIssuer").await;
    refused(&ours, "UnknownIssuer").await;
    refused(&[("ca_file", papers.path("ca.pem"))], "CertificateRequired").await;
    let strangers = [
        ("ca_file", papers.path("ca.pem")),
        ("client_cert_file", strange.path("client.pem")),
        ("client_key_file", strange.path("client.key")),
    ];
    refused(&strangers, "UnknownCA").await;
}

#[tokio::test]
async fn sentinels_and_their_master_are_reached_over_tls() {
    let papers = Papers::issue("ours");
    let lines = papers.server_settings().into_iter().map(|(name, value)| format!("{name} {value}\n"));
    let tls = Some(lines.collect());
    let trio = Trio::start_with(Extras { tls, ..Extras::default() }).await;
    let files = [
        ("ca_file", papers.path("ca.pem")),
        ("client_cert_file", papers.path("client.pem")),
        ("client_key_file", papers.path("client.key")),
    ];
    let setup = Setup::embedded().set(&format!("redis.url = {:?}", trio.url("")));
    let gateway = with_files(setup, &files).serve().await;
    gateway.put(&[("a", 5)]).await;
    assert_eq!(gateway.sell("k", "a", 1).await.on_hand, 4);
}

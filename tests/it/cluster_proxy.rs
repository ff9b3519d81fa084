//! Proxies between gateways and the nodes of a cluster: they count scripts, lose answers, and cut all ways at one script.

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, copy, sink},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::guarded::{own_address, own_ports};

/// What happens at one script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Redis never hears of it, and all ways are cut.
    Before,
    /// Redis runs it, nobody hears the answer, and all ways are cut.
    After,
    /// Redis runs it, nobody hears the answer, and only its own connection breaks.
    Answer,
    /// Redis runs it, and its own connection says nothing any more.
    Silence,
}

/// What goes wrong, and when: at the script that makes this many.
#[derive(Debug, Clone, Copy, Default)]
struct Plan {
    cut: Option<(Cut, usize)>,
    /// All ways are cut.
    is_cut: bool,
}

struct Shared {
    /// Scripts that came since the last plan.
    scripts: AtomicUsize,
    plan: watch::Sender<Plan>,
    /// How often a plan came true.
    done: AtomicUsize,
}

impl Shared {
    /// Counts a script; what happens at this one, if it is the one.
    fn next_script(&self) -> Option<Cut> {
        let count = self.scripts.fetch_add(1, Ordering::SeqCst) + 1;
        let mut taken = None;
        self.plan.send_if_modified(|plan| {
            taken = plan.cut.filter(|(_, at_script)| *at_script == count).map(|(cut, _)| cut);
            if taken.is_some() {
                // Nothing that comes after it gets through, however soon.
                *plan = Plan { cut: None, is_cut: matches!(taken, Some(Cut::Before | Cut::After)) };
            }
            taken.is_some()
        });
        taken
    }
}

/// One proxy before each node, and one plan for all.
pub(crate) struct Proxies {
    ports: Vec<u16>,
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl Proxies {
    /// Listens for each of the nodes. What is forwarded is not changed.
    pub(crate) async fn start(nodes: impl Iterator<Item = String>) -> Self {
        let plan = watch::Sender::new(Plan::default());
        let shared = Arc::new(Shared { scripts: AtomicUsize::new(0), plan, done: AtomicUsize::new(0) });
        let (mut ports, mut tasks) = (Vec::new(), Vec::new());
        for node in nodes {
            let listener = TcpListener::bind((own_address(), own_ports(1))).await.unwrap();
            ports.push(listener.local_addr().unwrap().port());
            tasks.push(tokio::spawn(accept(listener, node.parse().unwrap(), Arc::clone(&shared))));
        }
        Self { ports, shared, tasks }
    }

    /// Where the proxy of a node listens.
    pub(crate) fn port(&self, node: usize) -> u16 {
        self.ports[node]
    }

    /// Scripts that came since the last plan was made.
    pub(crate) fn script_count(&self) -> usize {
        self.shared.scripts.load(Ordering::SeqCst)
    }

    /// Counts from nought again, and plans what happens at the script that makes this many, from 1 on.
    pub(crate) fn plan(&self, cut: Cut, at_script: usize) {
        self.shared.scripts.store(0, Ordering::SeqCst);
        self.shared.plan.send_replace(Plan { cut: Some((cut, at_script)), is_cut: false });
    }

    /// Counts from nought again; nothing goes wrong any more, and what was cut may be made again.
    pub(crate) fn heal(&self) {
        self.shared.scripts.store(0, Ordering::SeqCst);
        self.shared.plan.send_replace(Plan::default());
    }

    /// How often a plan has come true: what Redis was to run of it has run.
    pub(crate) fn done_count(&self) -> usize {
        self.shared.done.load(Ordering::SeqCst)
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn accept(listener: TcpListener, node: SocketAddr, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        connections.spawn(serve(client, node, Arc::clone(&shared)));
    }
}

/// Carries one connection until one side ends it, or a plan does.
async fn serve(client: TcpStream, node: SocketAddr, shared: Arc<Shared>) {
    let mut plans = shared.plan.subscribe();
    if plans.borrow().is_cut {
        return;
    }
    let Ok(server) = TcpStream::connect(node).await else { return };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (client_read, client_write) = client.into_split();
    let (server_read, mut server_write) = server.into_split();
    let is_mute = Arc::new(AtomicBool::new(false));
    let mut answers = pin!(carry_answers(server_read, client_write, Arc::clone(&is_mute)));
    let mut commands = BufReader::new(client_read);
    let cut = loop {
        let read = tokio::select! {
            read = read_command(&mut commands) => read,
            _ = &mut answers => return,
            _ = plans.wait_for(|plan| plan.is_cut) => return,
        };
        let Ok((bytes, is_script)) = read else { return };
        let cut = if is_script { shared.next_script() } else { None };
        is_mute.store(cut.is_some(), Ordering::SeqCst);
        let is_forwarded = cut != Some(Cut::Before);
        if is_forwarded && server_write.write_all(&bytes).await.is_err() {
            return;
        }
        if let Some(cut) = cut {
            break cut;
        }
    };
    if cut == Cut::Before {
        shared.done.fetch_add(1, Ordering::SeqCst);
        return;
    }
    // Redis reads what it was sent, runs it, and only then sees the end.
    server_write.shutdown().await.unwrap();
    let _client = answers.await;
    shared.done.fetch_add(1, Ordering::SeqCst);
    if cut == Cut::Silence {
        // Until the gateway gives up.
        let _ = copy(&mut commands, &mut sink()).await;
    }
}

/// Hands on what a node says, or keeps it to itself, until the node ends the connection.
async fn carry_answers(
    mut node: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    is_mute: Arc<AtomicBool>,
) -> OwnedWriteHalf {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = node.read(&mut bytes).await {
        if !is_mute.load(Ordering::SeqCst) && client.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
    client
}

/// The bytes of the next command, and whether it runs a script.
async fn read_command(commands: &mut BufReader<OwnedReadHalf>) -> io::Result<(Vec<u8>, bool)> {
    let (mut bytes, mut is_script) = (Vec::new(), false);
    let words = read_count(commands, b'*', &mut bytes).await?;
    for word in 0..words {
        let length = read_count(commands, b'$', &mut bytes).await?;
        let start = bytes.len();
        bytes.resize(start + length + 2, 0);
        commands.read_exact(&mut bytes[start..]).await?;
        is_script |= word == 0 && bytes[start..start + length].eq_ignore_ascii_case(b"evalsha");
    }
    Ok((bytes, is_script))
}

/// Reads a line of a mark and a number. Nodes and gateways say everything in lists of words.
async fn read_count(
    commands: &mut BufReader<OwnedReadHalf>,
    mark: u8,
    bytes: &mut Vec<u8>,
) -> io::Result<usize> {
    let start = bytes.len();
    commands.read_until(b'\n', bytes).await?;
    let number = bytes[start..].strip_prefix(&[mark]).and_then(|rest| rest.strip_suffix(b"\r\n"));
    let parsed = number.and_then(|number| std::str::from_utf8(number).ok()?.parse().ok());
    parsed.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
}

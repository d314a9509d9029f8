//! Hundreds of cases through the binary, on real sockets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use vertex_bridge::base::Rng;

use super::write::Case;
use super::{check, configuration, first_seed, message};
use crate::e2e::gateway::{FLAVOURS, Folder, Gateway};

const CASES: u64 = 250;

/// What the upstream is to send next, in these pieces, and does the connection end with it?
type Script = (Vec<Vec<u8>>, bool);
type Message = (String, Vec<u8>);

/// Answers requests one after the other, as scripted, and tells what they were.
fn upstream(listener: &TcpListener, script: &Receiver<Script>, seen: &Sender<Message>) {
    let (mut stream, mut bytes) = (None::<TcpStream>, Vec::new());
    while let Ok((pieces, ends)) = script.recv() {
        let request = loop {
            // A new connection takes the place of an old one that the gateway has left.
            let open = stream.get_or_insert_with(|| accept(listener));
            if let Some(request) = message::take(&mut bytes) {
                break request;
            }
            if !more(open, &mut bytes) {
                (stream, bytes) = (None, Vec::new());
            }
        };
        seen.send(request).expect("the test goes on");
        let open = stream.as_mut().expect("a connection");
        pieces.iter().for_each(|piece| open.write_all(piece).expect("the gateway reads"));
        if ends {
            stream = None;
        }
    }
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("a connection");
    stream.set_nodelay(true).expect("pieces leave as they are written");
    stream
}

fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 8192];
    let count = stream.read(&mut buffer).unwrap_or(0);
    bytes.extend_from_slice(&buffer[..count]);
    count > 0
}

fn connect(gateway: &Gateway) -> TcpStream {
    let stream = TcpStream::connect(gateway.address).expect("the gateway accepts");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
    stream.set_nodelay(true).expect("nodelay can be set");
    stream
}

#[test]
fn bodies_and_streams_pass_as_they_came() {
    for (number, flavour) in (0..).zip(FLAVOURS) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let folder = Folder::new();
        let file = folder.0.join("gateway.toml");
        std::fs::write(&file, configuration(&address.to_string())).expect("a file can be written");
        // One core has one idle connection to the upstream, so its requests come in their order.
        let variables =
            [("VERTEX_BRIDGE_CONFIG", &*file.to_string_lossy()), ("APP_RUNTIME__CORES", "1")];
        let gateway = Gateway::start(flavour, &variables);
        let ((script, next), (tell, seen)) = (channel(), channel());
        let vendor = thread::spawn(move || upstream(&listener, &next, &tell));
        let (mut stream, mut bytes) = (connect(&gateway), Vec::new());
        let first = first_seed() + (1 << 19) + number * CASES;
        println!("{flavour:?}: Rng::new({first}) and the {CASES} behind it");
        for seed in first..first + CASES {
            let rng = &mut Rng::new(seed);
            let case = Case::random(rng);
            let (answer, ends) = message::answer(&case, rng);
            let pieces = message::cuts(&answer, rng).into_iter().map(<[u8]>::to_vec).collect();
            script.send((pieces, ends)).expect("the upstream runs");
            let request = message::request(&case, rng);
            for piece in message::cuts(&request, rng) {
                stream.write_all(piece).expect("the gateway reads");
            }
            let got = loop {
                match message::take(&mut bytes) {
                    Some(got) => break got,
                    None => {
                        let came = more(&mut stream, &mut bytes);
                        assert!(came, "Rng::new({seed}): {case} {}", gateway.log());
                    }
                }
            };
            let closes = got.0.contains("connection: close");
            let request = seen.recv_timeout(Duration::from_secs(20));
            let request =
                request.unwrap_or_else(|_| panic!("Rng::new({seed}): nobody asked: {got:?}"));
            check(seed, &case, &request, &got);
            if closes {
                (stream, bytes) = (connect(&gateway), Vec::new());
            }
        }
        drop((script, gateway));
        vendor.join().expect("the upstream ends well");
    }
}

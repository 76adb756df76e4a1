//! A hub on this machine: it answers by a function and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What was asked.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub token: Option<String>,
    pub range_start: Option<usize>,
}

/// What is answered.
#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Bytes of the body after which the connection breaks.
    pub cut: Option<usize>,
    /// Whether the body comes byte by byte, each a while after the one before.
    pub drips: bool,
    /// Whether nothing is ever answered.
    pub silent: bool,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Reply { status, headers: Vec::new(), body: body.into(), cut: None, drips: false, silent: false }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

pub struct Server {
    pub address: String,
    pub requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, &seen, &*answer));
            }
        });
        Server { address, requests }
    }

    pub fn paths(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|request| request.path.clone()).collect()
    }

    pub fn forget(&self) {
        self.requests.lock().unwrap().clear();
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Request>>, answer: &dyn Fn(&Request) -> Reply) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).is_err() {
        return;
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut request = Request { path, token: None, range_start: None };
    loop {
        line.clear();
        if reader.read_line(&mut line).is_err() || line.trim().is_empty() {
            break;
        }
        let Some((name, value)) = line.trim().split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => request.token = Some(value.trim().to_owned()),
            "range" => {
                request.range_start =
                    value.trim().strip_prefix("bytes=").and_then(|r| r.trim_end_matches('-').parse().ok());
            }
            _ => {}
        }
    }
    seen.lock().unwrap().push(request.clone());
    let reply = answer(&request);
    if reply.silent {
        let _ = reader.get_mut().set_read_timeout(Some(Duration::from_secs(30)));
        let _ = reader.read(&mut [0]);
        return;
    }
    send(stream, &reply);
}

fn send(mut stream: TcpStream, reply: &Reply) {
    let mut head =
        format!("HTTP/1.1 {} X\r\nConnection: close\r\nContent-Length: {}\r\n", reply.status, reply.body.len());
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let body = &reply.body[..reply.cut.unwrap_or(reply.body.len())];
    if reply.drips {
        let mut all = head.bytes().map(|byte| (byte, false)).chain(body.iter().map(|&byte| (byte, true)));
        // The client goes away when it has had enough.
        let _ = all.try_for_each(|(byte, waits)| {
            std::thread::sleep(Duration::from_millis(if waits { 20 } else { 0 }));
            stream.write_all(&[byte])
        });
        return;
    }
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

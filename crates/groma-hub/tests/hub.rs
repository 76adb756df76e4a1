//! The hub client against a server on this machine: what works, and everything that a hub can do wrong.

// The lints spare test functions; here they would also meet the helpers.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)]

mod server;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use groma_hub::{Error, Hub, HubId, Settings, Snapshot, Token};
use groma_run::{Class, Classify};
use server::{Reply, Request, Server};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const SECRET: &str = "hf_very_secret_canary";

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn listing(names: &[&str]) -> Reply {
    let siblings: Vec<_> = names.iter().map(|name| serde_json::json!({"rfilename": name})).collect();
    Reply::new(200, serde_json::json!({"sha": COMMIT, "siblings": siblings, "gated": false}).to_string())
}

/// A file's content, with the headers and ranges of the hub.
fn content(request: &Request, body: &[u8]) -> Reply {
    let start = request.range_start.unwrap_or(0);
    let reply = match request.range_start {
        Some(start) => Reply::new(206, &body[start..])
            .header("Content-Range", &format!("bytes {start}-{}/{}", body.len() - 1, body.len())),
        None => Reply::new(200, body),
    };
    assert!(start <= body.len());
    reply.header("ETag", &format!("\"{}\"", hex(body))).header("X-Repo-Commit", COMMIT)
}

fn settings(server: &str, cache: &TempDir) -> Settings {
    Settings {
        endpoint: server.to_owned(),
        cache: cache.path().join("hub"),
        token: None,
        offline: false,
        patience: Duration::from_secs(20),
        retry_wait: Duration::from_millis(1),
        attempts: 3,
    }
}

fn hub(server: &str, cache: &TempDir) -> Hub {
    Hub::new(settings(server, cache)).unwrap()
}

fn id(text: &str) -> HubId {
    text.parse().unwrap()
}

fn model(hub: &Hub, text: &str) -> Result<Snapshot, Error> {
    hub.model(&id(text), &mut |_| {})
}

const MODEL: [&str; 8] = [
    "README.md",
    "config.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "tokenizer.json",
    "modeling_evil.py",
];

fn file_of(path: &str) -> Option<&str> {
    path.split_once(&format!("/resolve/{COMMIT}/")).map(|(_, file)| file)
}

/// A well-behaved hub with one sharded model.
fn good(request: &Request) -> Reply {
    match file_of(&request.path) {
        None if request.path == "/api/models/org/name/revision/main" => listing(&MODEL),
        None if request.path == format!("/api/models/org/name/revision/{COMMIT}") => listing(&MODEL),
        None => Reply::new(404, "").header("X-Error-Code", "RepoNotFound"),
        Some("model.safetensors.index.json") => {
            let index =
                r#"{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}"#;
            content(request, index.as_bytes())
        }
        Some(file) => content(request, format!("content of {file}").repeat(100).as_bytes()),
    }
}

#[test]
fn a_model_is_fetched_once_and_nothing_else_with_it() {
    let (server, cache) = (Server::start(good), TempDir::new().unwrap());
    let hub = hub(&server.address, &cache);
    let mut seen = Vec::new();
    let snapshot = hub
        .model(&id("org/name"), &mut |progress| {
            assert!(progress.bytes <= progress.total_bytes.unwrap());
            seen.push((progress.file.to_owned(), progress.bytes));
        })
        .unwrap();
    assert_eq!(snapshot.commit, COMMIT);
    let names: Vec<&str> = snapshot.files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, [MODEL[1], MODEL[2], MODEL[3], MODEL[4], MODEL[6]]);
    assert!(seen.iter().any(|(file, bytes)| file == "tokenizer.json" && *bytes == 2500), "{seen:?}");
    assert!(
        !server.paths().iter().any(|path| path.ends_with(".bin") || path.ends_with(".py") || path.ends_with(".md"))
    );
    let folder = cache.path().join("hub/models--org--name");
    assert_eq!(snapshot.directory, folder.join("snapshots").join(COMMIT));
    assert_eq!(std::fs::read_to_string(folder.join("refs/main")).unwrap(), COMMIT);
    let config = std::fs::read(snapshot.directory.join("config.json")).unwrap();
    assert_eq!(std::fs::read(folder.join("blobs").join(hex(&config))).unwrap(), config);
    assert!(!folder.join("blobs").read_dir().unwrap().any(|e| e.unwrap().path().extension().is_some()), "no leftovers");
    server.forget();
    assert_eq!(hub.model(&id("org/name"), &mut |_| {}).unwrap(), snapshot);
    assert_eq!(server.paths(), ["/api/models/org/name/revision/main"]);
    let pinned = model(&hub, &format!("org/name@{COMMIT}")).unwrap();
    assert_eq!(pinned, snapshot);
}

#[test]
fn offline_uses_the_cache_or_says_what_is_missing() {
    let (server, cache) = (Server::start(good), TempDir::new().unwrap());
    let online = model(&hub(&server.address, &cache), "org/name").unwrap();
    server.forget();
    let offline = Hub::new(Settings { offline: true, ..settings(&server.address, &cache) }).unwrap();
    assert_eq!(model(&offline, "org/name").unwrap(), online);
    assert_eq!(model(&offline, &format!("org/name@{COMMIT}")).unwrap(), online);
    for (text, why) in [("org/other", "never downloaded"), ("org/name@v2", "revision v2 was never downloaded")] {
        let error = model(&offline, text).unwrap_err();
        assert!(matches!(error, Error::Offline { .. }) && error.to_string().contains(why), "{error}");
        assert!(error.hint().unwrap().contains("unset HF_HUB_OFFLINE"));
    }
    std::fs::remove_file(online.directory.join("model-00002-of-00002.safetensors")).unwrap();
    let error = model(&offline, "org/name").unwrap_err().to_string();
    assert!(error.contains("has no model-00002-of-00002.safetensors"), "{error}");
    let error = offline.dataset(&id("org/name"), &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::Offline { .. }), "{error}");
    assert!(server.paths().is_empty(), "offline means no request");
}

#[test]
fn an_unreachable_hub_names_the_cached_commit() {
    let (server, cache) = (Server::start(good), TempDir::new().unwrap());
    let nowhere = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let error = model(&hub(&nowhere, &cache), "org/name").unwrap_err();
    assert!(matches!(&error, Error::Unreachable { cached: None, .. }), "{error}");
    assert!(error.hint().unwrap().contains("HF_ENDPOINT") && error.class() == Class::Usage);
    model(&hub(&server.address, &cache), "org/name").unwrap();
    let error = model(&hub(&nowhere, &cache), "org/name").unwrap_err();
    assert!(error.hint().unwrap().contains(COMMIT), "{error}");
}

#[test]
fn a_silent_hub_is_given_up() {
    let (server, cache) = (Server::start(|_| Reply { silent: true, ..Reply::new(200, "") }), TempDir::new().unwrap());
    let impatient = Settings { patience: Duration::from_millis(100), attempts: 2, ..settings(&server.address, &cache) };
    let error = model(&Hub::new(impatient).unwrap(), "org/name").unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert_eq!(server.paths().len(), 2, "tried again once");
}

/// The error that a status and the hub's code lead to.
fn refusal(status: u16, code: &'static str, token: bool) -> Error {
    let server = Server::start(move |_| Reply::new(status, "").header("X-Error-Code", code));
    let cache = TempDir::new().unwrap();
    let token = token.then(|| Token::new(SECRET).unwrap());
    let hub = Hub::new(Settings { token, ..settings(&server.address, &cache) }).unwrap();
    let error = model(&hub, "org/name@v1").unwrap_err();
    let shown = format!("{error} {error:?} {:?} {hub:?}", error.hint());
    assert!(!shown.contains(SECRET), "{shown}");
    error
}

#[test]
fn refusals_are_told_apart() {
    type Check = (u16, &'static str, bool, fn(&Error) -> bool, &'static str);
    let checks: [Check; 11] = [
        (
            404,
            "RepoNotFound",
            false,
            |e| matches!(e, Error::NotFound { .. }),
            "no model org/name that somebody without",
        ),
        (401, "RepoNotFound", false, |e| matches!(e, Error::NotFound { .. }), "set HF_TOKEN"),
        (401, "", false, |e| matches!(e, Error::NotFound { .. }), "set HF_TOKEN"),
        (404, "RepoNotFound", true, |e| matches!(e, Error::NotFound { .. }), "that the given token may see"),
        (401, "", true, |e| matches!(e, Error::TokenRefused { .. }), "wrong, expired"),
        (403, "", true, |e| matches!(e, Error::TokenRefused { .. }), "renew it"),
        (403, "GatedRepo", true, |e| matches!(e, Error::Gated { .. }), "/org/name"),
        (401, "GatedRepo", false, |e| matches!(e, Error::Gated { .. }), "set HF_TOKEN"),
        (404, "RevisionNotFound", false, |e| matches!(e, Error::NoRevision { .. }), "no revision \"v1\""),
        (429, "", false, |e| matches!(e, Error::Answer { status: 429, .. }), "too many requests"),
        (503, "", false, |e| matches!(e, Error::Answer { status: 503, .. }), "try again later"),
    ];
    for (status, code, token, is_kind, text) in checks {
        let error = refusal(status, code, token);
        let shown = format!("{error} {}", error.hint().unwrap_or_default());
        assert!(is_kind(&error) && shown.contains(text), "{status} {code}: {shown}");
        assert_eq!(error.class(), Class::Usage);
    }
}

#[test]
fn transient_failures_are_tried_again() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |request| match count.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => Reply::new(502, ""),
        _ => good(request),
    });
    assert!(model(&hub(&server.address, &TempDir::new().unwrap()), "org/name").is_ok());
    let gone = Server::start(|_| Reply::new(404, ""));
    let _ = model(&hub(&gone.address, &TempDir::new().unwrap()), "org/name").unwrap_err();
    assert_eq!(gone.paths().len(), 1, "a refusal is final");
}

#[test]
fn a_broken_transfer_is_resumed() {
    let server = Server::start(|request| {
        let reply = good(request);
        let cut = (request.path.ends_with("tokenizer.json") && request.range_start.is_none()).then_some(1000);
        Reply { cut, ..reply }
    });
    let cache = TempDir::new().unwrap();
    let snapshot = model(&hub(&server.address, &cache), "org/name").unwrap();
    let text = std::fs::read_to_string(snapshot.directory.join("tokenizer.json")).unwrap();
    assert_eq!(text, "content of tokenizer.json".repeat(100));
    let ranges: Vec<_> = server.requests.lock().unwrap().iter().filter_map(|request| request.range_start).collect();
    assert_eq!(ranges.len(), 1);
    assert!(ranges[0] > 0 && ranges[0] <= 1000, "{ranges:?}");
}

#[test]
fn a_transfer_that_always_breaks_leaves_no_file() {
    let server = Server::start(|request| Reply { cut: file_of(&request.path).map(|_| 0), ..good(request) });
    let cache = TempDir::new().unwrap();
    let error = model(&hub(&server.address, &cache), "org/name").unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. } | Error::Damaged { .. }), "{error}");
    let folder = cache.path().join("hub/models--org--name");
    assert!(!folder.join("snapshots").exists() && !folder.join("refs").exists());
}

#[test]
fn a_server_that_ignores_ranges_still_serves() {
    let server = Server::start(|request| {
        let whole = Request { range_start: None, ..request.clone() };
        let cut = (request.path.ends_with("config.json") && request.range_start.is_none()).then_some(700);
        Reply { cut, ..good(&whole) }
    });
    let cache = TempDir::new().unwrap();
    let snapshot = model(&hub(&server.address, &cache), "org/name").unwrap();
    let text = std::fs::read_to_string(snapshot.directory.join("config.json")).unwrap();
    assert_eq!(text, "content of config.json".repeat(100));
}

#[test]
fn content_that_is_not_what_was_announced_is_refused() {
    let wrong_hash = Server::start(|request| match file_of(&request.path) {
        Some("tokenizer.json") => Reply::new(200, "other").header("ETag", &format!("\"{}\"", hex(b"announced"))),
        _ => good(request),
    });
    let cache = TempDir::new().unwrap();
    let error = model(&hub(&wrong_hash.address, &cache), "org/name").unwrap_err();
    assert!(matches!(&error, Error::Damaged { file, .. } if file == "tokenizer.json"), "{error}");
    assert!(!cache.path().join("hub/models--org--name/blobs").join(hex(b"announced")).exists());
    let short = Server::start(|request| match file_of(&request.path) {
        Some("tokenizer.json") => content(request, b"short").header("X-Linked-Size", "50"),
        _ => good(request),
    });
    let error = model(&hub(&short.address, &TempDir::new().unwrap()), "org/name").unwrap_err();
    assert!(error.to_string().contains("of 50 bytes arrived"), "{error}");
    let long = Server::start(|request| match file_of(&request.path) {
        Some("tokenizer.json") => content(request, &[b'x'; 100_000]).header("X-Linked-Size", "50"),
        _ => good(request),
    });
    let error = model(&hub(&long.address, &TempDir::new().unwrap()), "org/name").unwrap_err();
    assert!(matches!(error, Error::Suspicious { .. }) && error.to_string().contains("longer than the 50"), "{error}");
}

#[test]
fn a_small_file_is_held_against_its_git_hash() {
    // `printf 'hello\n' | git hash-object --stdin`
    let announced = "\"ce013625030ba8dba906f756967f9e9ca394464a\"";
    for (body, is_right) in [("hello\n", true), ("hullo\n", false)] {
        let server = Server::start(move |request| match file_of(&request.path) {
            Some("tokenizer.json") => Reply::new(200, body).header("ETag", announced).header("X-Repo-Commit", COMMIT),
            _ => good(request),
        });
        let found = model(&hub(&server.address, &TempDir::new().unwrap()), "org/name");
        match found {
            Ok(_) => assert!(is_right),
            Err(error) => assert!(!is_right && error.to_string().contains("git hash"), "{error}"),
        }
    }
}

#[test]
fn an_answer_that_drips_is_given_up() {
    let server = Server::start(|request| Reply { drips: true, ..good(request) });
    let cache = TempDir::new().unwrap();
    let impatient = Settings { patience: Duration::from_millis(100), attempts: 1, ..settings(&server.address, &cache) };
    let error = model(&Hub::new(impatient).unwrap(), "org/name").unwrap_err();
    assert!(matches!(&error, Error::Unreachable { why, .. } if why.contains("too slowly")), "{error}");
}

#[test]
fn the_disk_is_asked_before_the_download() {
    let huge = Server::start(|request| match file_of(&request.path) {
        Some("tokenizer.json") => content(request, b"x").header("X-Linked-Size", &(1_u64 << 60).to_string()),
        _ => good(request),
    });
    let error = model(&hub(&huge.address, &TempDir::new().unwrap()), "org/name").unwrap_err();
    assert!(matches!(error, Error::NoSpace { .. }) && error.class() == Class::Resources, "{error}");
}

#[test]
fn the_token_goes_to_the_hub_and_nowhere_else() {
    let store =
        Server::start(|request| Reply::new(200, format!("content of {}", request.path.trim_start_matches("/blob/"))));
    let address = store.address.clone();
    let server = Server::start(move |request| match file_of(&request.path) {
        Some("model.safetensors.index.json") | None => good(request),
        Some(file) => Reply::new(302, "moved")
            .header("Location", &format!("{address}/blob/{file}?signature=abc"))
            .header("X-Repo-Commit", COMMIT)
            .header("X-Linked-Etag", &format!("\"{}\"", hex(format!("content of {file}?signature=abc").as_bytes()))),
    });
    let cache = TempDir::new().unwrap();
    let hub = Hub::new(Settings { token: Token::new(SECRET), ..settings(&server.address, &cache) }).unwrap();
    model(&hub, "org/name").unwrap();
    let bearer = Some(format!("Bearer {SECRET}"));
    assert!(server.requests.lock().unwrap().iter().all(|request| request.token == bearer));
    let elsewhere = store.requests.lock().unwrap();
    assert_eq!(elsewhere.len(), 4);
    assert!(elsewhere.iter().all(|request| request.token.is_none()));
}

#[test]
fn relative_redirects_are_followed_and_odd_ones_are_not() {
    let server = Server::start(|request| match request.path.strip_prefix("/moved") {
        Some(path) => good(&Request { path: path.to_owned(), ..request.clone() }),
        None if file_of(&request.path).is_some() => {
            Reply::new(307, "").header("Location", &format!("/moved{}", request.path))
        }
        None => good(request),
    });
    assert!(model(&hub(&server.address, &TempDir::new().unwrap()), "org/name").is_ok());
    for (location, why) in [
        ("/api/models/org/name/revision/main", "redirects too often"),
        ("http://169.254.169.254/latest/meta-data", "private address"),
        ("http://10.0.0.1/x", "private address"),
        ("http://[::ffff:127.0.0.1]/x", "private address"),
        ("file:///etc/passwd", "no address"),
        ("ftp://example.org/x", "not https"),
        ("", "no address"),
        ("http://", "no address"),
    ] {
        let server = Server::start(move |_| Reply::new(302, "").header("Location", location));
        let error = model(&hub(&server.address, &TempDir::new().unwrap()), "org/name").unwrap_err();
        assert!(matches!(error, Error::Suspicious { .. }) && error.to_string().contains(why), "{location}: {error}");
    }
    let nowhere = Server::start(|_| Reply::new(302, ""));
    let error = model(&hub(&nowhere.address, &TempDir::new().unwrap()), "org/name").unwrap_err();
    assert!(error.to_string().contains("to nowhere"), "{error}");
}

#[test]
fn hostile_answers_write_nothing_outside() {
    type Answer = fn(&Request) -> Reply;
    let answers: [(Answer, &str); 9] = [
        (|_| Reply::new(200, "<html>not json</html>"), "list of files"),
        (|_| Reply::new(200, "{\"sha\":\"../../../x\",\"siblings\":[]}"), "commit"),
        (|_| Reply::new(200, format!("{{\"sha\":\"{}\",\"siblings\":[]}}", "A".repeat(40))), "commit"),
        (|_| Reply::new(200, "[".repeat(100_000)), "list of files"),
        (
            |request| match file_of(&request.path) {
                Some(_) => Reply::new(200, "x").header("ETag", "\"../../../../evil\""),
                None => good(request),
            },
            "ETag",
        ),
        (
            |request| match file_of(&request.path) {
                Some(_) => Reply::new(200, "x").header("ETag", "\"a.lock\""),
                None => good(request),
            },
            "ETag",
        ),
        (
            |request| match file_of(&request.path) {
                Some(_) => Reply::new(200, "x"),
                None => good(request),
            },
            "no ETag",
        ),
        (
            |request| match file_of(&request.path) {
                Some(_) => Reply::new(200, "x").header("ETag", "e").header("X-Repo-Commit", &"f".repeat(40)),
                None => good(request),
            },
            "another commit",
        ),
        (
            |request| match file_of(&request.path) {
                Some("model.safetensors.index.json") => {
                    content(request, br#"{"weight_map":{"a":"../../../evil.safetensors"}}"#)
                }
                _ => good(request),
            },
            "the index names",
        ),
    ];
    for (answer, why) in answers {
        let (server, cache) = (Server::start(answer), TempDir::new().unwrap());
        let error = model(&hub(&server.address, &cache), "org/name").unwrap_err();
        assert!(matches!(error, Error::Suspicious { .. }) && error.to_string().contains(why), "{error}");
        let names: Vec<_> = cache.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.is_empty() || names == ["hub"], "{names:?}");
    }
    let traversal = Server::start(|request| match file_of(&request.path) {
        None => listing(&["config.json", "../../evil.safetensors", "/etc/evil.safetensors"]),
        Some(_) => good(request),
    });
    let error = model(&hub(&traversal.address, &TempDir::new().unwrap()), "org/name").unwrap_err();
    assert!(error.to_string().contains("has no safetensors weights"), "{error}");
}

#[test]
fn pickles_are_refused_with_a_remedy() {
    let server = Server::start(|_| listing(&["config.json", "pytorch_model.bin"]));
    let error = model(&hub(&server.address, &TempDir::new().unwrap()), "org/name").unwrap_err();
    assert!(matches!(&error, Error::OnlyPickle { found, .. } if found == "pytorch_model.bin"), "{error}");
    assert!(error.hint().unwrap().contains("convert"));
    assert_eq!(server.paths().len(), 1, "the pickle is not even fetched");
}

#[test]
fn datasets_and_folders() {
    let server = Server::start(|request| match file_of(&request.path) {
        Some(file) => content(request, file.as_bytes()),
        None if request.path.starts_with("/api/datasets/org/one") => listing(&["README.md", "data.jsonl.gz"]),
        None if request.path.starts_with("/api/datasets/") => listing(&["train.jsonl", "test.jsonl", "d/été.csv"]),
        None => listing(&["sub/config.json", "sub/model.safetensors", "config.json", "other.safetensors"]),
    });
    let cache = TempDir::new().unwrap();
    let hub = hub(&server.address, &cache);
    let one = hub.dataset(&id("org/one@v1.0"), &mut |_| {}).unwrap();
    assert_eq!(one.files, [cache.path().join(format!("hub/datasets--org--one/snapshots/{COMMIT}/data.jsonl.gz"))]);
    assert_eq!(std::fs::read_to_string(cache.path().join("hub/datasets--org--one/refs/v1.0")).unwrap(), COMMIT);
    let error = hub.dataset(&id("org/several"), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("org/several:FILE, of train.jsonl, test.jsonl, d/été.csv"), "{error}");
    let error = hub.dataset(&id("org/several:none.csv"), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("no file \"none.csv\"; its data files are train.jsonl"), "{error}");
    assert_eq!(hub.dataset(&id("org/several:t*.jsonl"), &mut |_| {}).unwrap().files.len(), 2);
    assert_eq!(hub.dataset(&id("org/several:d/été.csv"), &mut |_| {}).unwrap().files.len(), 1);
    assert!(server.paths().iter().any(|path| path.ends_with("/d/%C3%A9t%C3%A9.csv")));
    let model = hub.model(&id("org/name:sub"), &mut |_| {}).unwrap();
    assert!(model.directory.ends_with("sub") && model.directory.join("model.safetensors").is_file());
}

#[test]
fn several_downloads_of_the_same_model_get_along() {
    let (server, cache) = (Server::start(good), TempDir::new().unwrap());
    let snapshots: Vec<Snapshot> = std::thread::scope(|scope| {
        let start = || scope.spawn(|| model(&hub(&server.address, &cache), "org/name").unwrap());
        let threads: Vec<_> = (0..6).map(|_| start()).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(snapshots.windows(2).all(|pair| pair[0] == pair[1]));
    let text = std::fs::read_to_string(snapshots[0].directory.join("config.json")).unwrap();
    assert_eq!(text, "content of config.json".repeat(100));
}

#[test]
fn endpoints_are_checked() {
    let cache = TempDir::new().unwrap();
    for endpoint in ["http://example.org", "https://user:sesame@example.org", "nonsense", ""] {
        let error = Hub::new(settings(endpoint, &cache)).unwrap_err();
        assert!(matches!(error, Error::Setting { name: "HF_ENDPOINT", .. }), "{error}");
        assert!(!format!("{error:?}").contains("sesame"), "{error:?}");
    }
}

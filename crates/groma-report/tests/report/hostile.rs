//! Whatever data and models say, the page keeps its structure and the terminal its state.

use groma_report::{Headline, Options, compare_runs, render, render_comparison};
use scraper::{Html, node::Node};

const PAYLOADS: [&str; 66] = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<ScRiPt src=//evil.example></sCrIpT>",
    "<script\n>alert(1)</script\n>",
    "<<script>alert(1)//<</script>",
    "<img src=x onerror=alert(1)>",
    "<img src=\"javascript:alert(1)\">",
    "<img/src=x/onerror=alert(1)//",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "</svg><script>alert(1)</script>",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<svg><foreignObject><iframe src=//evil.example></iframe></foreignObject></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<math href=javascript:alert(1)>x</math>",
    "\" onmouseover=\"alert(1)",
    "' onmouseover='alert(1)",
    "\"><script>alert(1)</script>",
    "'><script>alert(1)</script>",
    "x\" style=\"background:url(//evil.example)",
    "` onclick=`alert(1)",
    "<a href=javascript:alert(1)>x</a>",
    "<a href=\"data:text/html,<script>alert(1)</script>\">x</a>",
    "javascript:alert(1)",
    "java\tscript:alert(1)",
    "vbscript:msgbox(1)",
    "data:text/html;base64,PHNjcmlwdD4=",
    "<iframe src=//evil.example></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data=//evil.example></object>",
    "<embed src=//evil.example>",
    "<link rel=stylesheet href=//evil.example>",
    "<link rel=prefetch href=//evil.example>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<base href=//evil.example>",
    "<form action=//evil.example><input type=submit>",
    "<button formaction=javascript:alert(1)>x</button>",
    "<input autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<audio src=x onerror=alert(1)>",
    "<body onload=alert(1)>",
    "<marquee onstart=alert(1)>",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
    "<textarea></textarea><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</pre></details></table><script>alert(1)</script>",
    "<style>@import '//evil.example';</style>",
    "<style>*{background:url(//evil.example)}</style>",
    "}</style><img src=x>",
    "<!-- --><script>alert(1)</script>",
    "--><script>alert(1)</script><!--",
    "<![CDATA[<script>alert(1)</script>]]>",
    "]]><script>alert(1)</script>",
    "<?php echo 1 ?><?xml version='1.0'?>",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    "[x](javascript:alert(1)) ![x](//evil.example/y.png)",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#60;script&#62; &#x3c;b&#x3e;",
    "line\u{2028}paragraph\u{2029}<b>x</b>",
    "\u{202e}evil\u{2066}\u{200b}\u{feff}<b>",
    "nul\0byte<script\0>alert(1)</script>\r\n\u{1b}[2J",
    "＜script＞alert(1)＜/script＞ +ADw-script+AD4-alert(1)+ADw-/script+AD4-",
];

/// Tags, names of attributes, and where text stands; not what it says.
fn structure(page: &str) -> Vec<String> {
    let parsed = Html::parse_document(page);
    let describe = |node: &Node| match node {
        Node::Element(element) => {
            let mut names: Vec<_> = element.attrs().map(|(name, _)| name).collect();
            names.sort_unstable();
            Some(format!("{} {names:?}", element.name()))
        }
        Node::Text(_) => Some("text".to_owned()),
        Node::Comment(_) => Some("comment".to_owned()),
        _ => None,
    };
    // The depth keeps an element that was moved out of its parent from going unnoticed.
    parsed
        .tree
        .root()
        .descendants()
        .filter_map(|n| Some(format!("{} {}", n.ancestors().count(), describe(n.value())?)))
        .collect()
}

#[test]
fn every_field_holds_every_payload_as_text() {
    let root = tempfile::tempdir().unwrap();
    let twin = structure(&render(&crate::runs::run_with(&root.path().join("twin"), "word"), &Options::default()));
    assert!(twin.len() > 300, "{}", twin.len());
    for (number, payload) in PAYLOADS.iter().enumerate() {
        let records = crate::runs::run_with(&root.path().join(number.to_string()), payload);
        let page = render(&records, &Options::default());
        let found = structure(&page);
        let differs = found.iter().zip(&twin).position(|(a, b)| a != b);
        assert!(differs.is_none(), "{payload:?}: {:?} for {:?}", found[differs.unwrap()], twin[differs.unwrap()]);
        assert_eq!(found.len(), twin.len(), "{payload:?}");
        assert_eq!(page.matches("<script").count(), 1, "{payload:?}");
    }
}

#[test]
fn a_comparison_holds_every_payload_as_text() {
    let root = tempfile::tempdir().unwrap();
    let page = |word: &str, name: &str| {
        let runs = ["a", "b", "c"].map(|side| crate::runs::run_with(&root.path().join(format!("{name}{side}")), word));
        let of = |runs: &[groma_run::RunRecords]| render_comparison(runs, &compare_runs(runs, None).unwrap());
        [of(&runs[..2]), of(&runs)].concat()
    };
    let twin = structure(&page("word", "twin"));
    for (number, payload) in PAYLOADS.iter().enumerate() {
        let page = page(payload, &number.to_string());
        assert_eq!(structure(&page), twin, "{payload:?}");
        assert_eq!(page.matches("<script").count(), 2, "{payload:?}");
    }
}

#[test]
fn the_page_asks_for_nothing() {
    let root = tempfile::tempdir().unwrap();
    let page = render(&crate::runs::run_with(&root.path().join("run"), "https://evil.example/x"), &Options::default());
    let parsed = Html::parse_document(&page);
    for node in parsed.tree.root().descendants() {
        let Node::Element(element) = node.value() else { continue };
        for (name, value) in element.attrs() {
            let loads =
                ["src", "href", "srcset", "action", "formaction", "data", "poster", "background", "style", "ping"];
            assert!(!loads.contains(&name) && !name.starts_with("on"), "<{} {name}={value:?}>", element.name());
        }
        let plain =
            ["iframe", "object", "embed", "link", "base", "img", "video", "audio", "image", "use", "foreignObject"];
        assert!(!plain.contains(&element.name()), "{}", element.name());
    }
    let policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-";
    let at = page.find(policy).expect("a policy");
    assert!(at < page.find("<style").unwrap(), "the policy stands before what it rules");
    assert!(!page.contains("unsafe-inline") && !page.contains("unsafe-eval"));
}

#[test]
fn the_policy_names_the_digests_of_what_is_embedded() {
    use sha2::Digest;
    let root = tempfile::tempdir().unwrap();
    let page = render(&crate::runs::run_with(&root.path().join("run"), "word"), &Options::default());
    for tag in ["style", "script"] {
        let start = page.find(&format!("<{tag}>")).unwrap() + tag.len() + 2;
        let end = start + page[start..].find(&format!("</{tag}>")).unwrap();
        let digest = sha2::Sha256::digest(&page[start..end]);
        let policy_at = page.find(&format!("{tag}-src 'sha256-")).unwrap() + tag.len() + "-src 'sha256-".len();
        assert_eq!(decode(&page[policy_at..policy_at + 44]), digest.as_slice());
    }
}

fn decode(text: &str) -> Vec<u8> {
    let value =
        |c: u8| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|d| *d == c);
    let bits: String = text.bytes().filter_map(value).map(|v| format!("{v:06b}")).collect();
    bits.as_bytes()
        .chunks_exact(8)
        .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
        .collect()
}

#[test]
fn nothing_reaches_the_state_of_a_terminal() {
    let root = tempfile::tempdir().unwrap();
    let sequences = [
        "\u{1b}[2J\u{1b}]0;title\u{7}",
        "\u{9b}31m",
        "\u{1b}]52;c;eA==\u{7}",
        "\u{202e}\u{2066}x",
        "\r\u{8}\u{7f}\u{85}",
    ];
    for (number, sequence) in sequences.iter().chain(&PAYLOADS).enumerate() {
        let records = crate::runs::run_with(&root.path().join(number.to_string()), sequence);
        let text = Headline::of_run(&records).to_text(80);
        let bad = text.chars().find(|c| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c));
        assert_eq!(bad, None, "{text}");
        let json = serde_json::to_value(Headline::of_run(&records)).unwrap();
        assert_eq!(json["rows"][0]["metric"], **sequence, "JSON is faithful");
    }
}

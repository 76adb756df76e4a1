"""Chat templates that loop, grow, nest, reach out or fail."""

import json
import shutil

from running import in_parallel, run

BODIES = [
    "{% for i in range(1000000000) %}x{% endfor %}",
    "{% set ns = namespace(s='a') %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}",
    "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
    "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
    "{{ 'a' * 1000000000 }}", "{{ ['a'] * 100000000 }}", "{{ 'a'.rjust(1000000000) }}", "{{ 'a' | center(1000000000) }}",
    "{{ 'ab'.replace('', 'x' * 100000) | length }}", "{{ range(100000000) | list | length }}", "{{ range(100000000) | join(',') }}",
    "{{ 'a'.join(range(100000000)) }}", "{{ '%1000000000d' | format(1) }}", "{{ 2 ** 100000 }}", "{{ 10 ** 1000000000 }}",
    "{{ 1 / 0 }}", "{{ 1 // 0 }}", "{{ 1 % 0 }}", "{{ undefined.a.b.c }}", "{{ messages[100]['content'] }}", "{{ messages[-9] }}",
    "{% include '/etc/passwd' %}", "{% import '/etc/passwd' as x %}", "{% extends '/etc/passwd' %}", "{{ ''.__class__.__mro__ }}",
    "{{ self.__init__.__globals__ }}", "{{ cycler.__init__.__globals__.os.popen('id').read() }}", "{{ lipsum.__globals__ }}",
    "{{ config }}", "{{ request }}", "{{ get_flashed_messages.__globals__ }}", "{{ raise_exception('x' * 100000000) }}",
    "{{ strftime_now('%Y' * 1000000) }}", "{{ strftime_now('%100000000d') }}", "{{ strftime_now('%') }}", "{{ tojson(messages) * 100000 }}",
    "{{ messages | tojson(indent=1000000000) }}", "{{ ((((1)))) }}", "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{{ " + "[" * 5000 + "]" * 5000 + " }}", "{{ " + "not " * 20000 + "1 }}", "{{ 1" + " + 1" * 20000 + " }}", "{{ a" + ".a" * 20000 + " }}",
    "{{ a" + "[0]" * 20000 + " }}", "{{ a" + "|upper" * 20000 + " }}", "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
    "{% for a in messages %}" * 30 + "x" + "{% endfor %}" * 30, "{% for a in range(99) %}" * 12 + "x" + "{% endfor %}" * 12, "{% raw %}" * 100,
    "{#" * 100000, "{{" * 100000, "{%" * 100000, "}}" * 100000, "{% set a = [] %}{% set a = [a, a] %}{{ a }}" * 50, "\x00\ufffe{{ messages }}",
    "{% set x %}{% set y %}{% set z %}{{ messages }}{% endset %}{% endset %}{% endset %}{{ x }}", "{% generation %}{% generation %}",
    "{% generation %}" * 100 + "{% endgeneration %}" * 100, "{% endgeneration %}", "{% call(x) m() %}{% endcall %}", "{% filter upper %}" * 500,
    "{{ messages | map('upper') | list }}", "{{ messages | sort(attribute='content') | groupby('role') | list }}", "{{ dict(a=1).items() | list }}",
    "{{ messages | batch(0) | list }}", "{{ messages | slice(0) | list }}", "{{ 'a,b' | split('') }}", "{{ 'x' | indent(1000000000) }}",
    "{{ 'x\n' * 10000 | indent(100000) }}", "{{ messages.append(messages) }}{{ messages }}", "{% set ns = namespace(x=1) %}{% set ns.x = ns %}{{ ns }}",
    "{{ 'a'.encode() }}", "{{ '\\ud800' }}", "{{ 'a' | regex_replace('(a+)+b', '') }}", "{{ loop.index }}", "{% break %}", "{% continue %}",
    "{% for m in messages recursive %}{{ loop([m]) }}{% endfor %}", "{{ debug() }}", "{{ 0x7fffffffffffffff + 1 }}", "{{ -9223372036854775808 // -1 }}",
    "{{ 'a'[::0] }}", "{{ 'a'[10:1:-1] }}", "{{ messages[0].content[999999999:] }}", "{{ 1e308 * 10 }}", "{{ 'é' * 3 | urlencode }}",
    "{{ messages | length | string * 100000000 }}", "{% set a = 'x' * 60000 %}{% for i in range(60000) %}{{ a }}{% endfor %}",
    "{{ ('a' * 50000).split('a') | join(('b' * 50000)) }}", "{% autoescape true %}{{ '<' }}{% endautoescape %}", "{% do messages.clear() %}",
    "{{ messages | selectattr('role', 'equalto', 'user') | first }}", "{{ namespace }}", "{{ range }}",
    "{% macro m(a, n) %}{% if n > 0 %}{{ m(a + a, n - 1) }}{% else %}{{ 'x' in a }}{% endif %}{% endmacro %}{{ m([1], 60) }}",
    "{% for i in range(100000) %}{{ 'x' in (['a'] * 100000000) }}{% endfor %}", "{{ (['a'] * 100000000) | tojson }}",
]
"""Each is the whole template of a model."""


def attack(place, tally, tries, draw):
    shutil.copytree(place.path("model"), place.path("templated"))
    rows = [{"prompt": [{"role": "user", "content": "Hello"}], "completion": [{"role": "assistant", "content": "Hi"}]}]
    place.write("talk.jsonl", "\n".join(json.dumps(row) for row in rows))
    bodies = BODIES[:tries] if tries <= len(BODIES) else BODIES + [draw.choice(BODIES) + draw.choice(BODIES) for _ in range(tries - len(BODIES))]

    def one(job):
        number, body = job
        directory = place.path(f"template-{number}")
        shutil.copytree(place.path("model"), directory)
        with open(f"{directory}/chat_template.jinja", "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(body)
        outcome = run([place.groma, "check", "--data", "talk.jsonl", "--model", directory], place.root)
        shown = "root:" in outcome.said or "uid=" in outcome.said
        problem = outcome.problem(len(body)) or ("something of this machine is shown" if shown else None)
        if problem is None:
            shutil.rmtree(directory)
        return repr(body[:60]), problem, directory

    in_parallel(one, list(enumerate(bodies)), tally)

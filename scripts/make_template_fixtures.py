"""Writes fixtures/chat/expressions.json: what transformers' Jinja makes of small templates, by features of the language.

    python scripts/make_template_fixtures.py

Needs transformers 5.23 and jinja2 3.1.6.
"""

import datetime
import json
import pathlib

import jinja2
import transformers
from transformers.utils import chat_template_utils

ROOT = pathlib.Path(__file__).resolve().parent.parent
NOW = datetime.datetime(2024, 7, 6, 15, 4, 9)


class PinnedDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


VALUES = {
    "text": "  Hello, World!\n",
    "word": "straße",
    "empty": "",
    "number": 7,
    "float": 1.5,
    "large": 1e16,
    "small": 1.5e-05,
    "yes": True,
    "nothing": None,
    "list": [3, 1, 2],
    "words": ["b", "A", "c", "a"],
    "rows": [{"name": "x", "n": 2, "on": True}, {"name": "y", "n": 1, "on": False}, {"name": "z", "n": 2}],
    "map": {"b": 1, "a": [True, None, 1.5], "items": "it's", "nested": {"k": "é\n\"<&>"}},
    "separators": "a\u001cb\u0085c\u2028d\r\ne\x0bf",
}

EXPRESSIONS = """
text.strip() ~ '|'
text|trim ~ '|'
text.lstrip()
text.rstrip() ~ '|'
'xxaxx'.strip('x')
'\\x1c a \\x1f'|trim ~ '|'
'\\x1c a \\x1f'.strip() ~ '|'
nothing|trim
number|trim ~ '|'
text|upper
word|upper
word.upper()
word.title()
word|title
"they're bill's friends"|title
"they're bill's friends".title()
'hELLO wORLD'|capitalize
'hELLO wORLD'.capitalize()
'ABC'|lower
'a,b,,c'.split(',')
'a,b,,c'.split(',', 1)
'a,b,,c'.rsplit(',', 1)
' a  b c '.split()
' a  b c '.split(none, 1)
''.split(',')
''.split()
'a\\nb\\r\\nc\\n'.splitlines()
'a\\nb\\r\\nc\\n'.splitlines(true)
separators.splitlines()
separators.split()
'k=v=w'.partition('=')
'k=v=w'.rpartition('=')
'abc'.partition('=')
'aXbXc'.replace('X', '--')
'aXbXc'.replace('X', '--', 1)
'aXbXc'|replace('X', '--')
'aXbXc'|replace('X', '--', 1)
'abc'.startswith('ab')
'abc'.startswith(('x', 'a'))
'abc'.endswith('bc')
'abc'.endswith(('x', 'c'))
'abc'.startswith('b', 1)
'abc'.find('c')
'abc'.find('z')
'éàc'.find('c')
'abcabc'.rfind('b')
'abcabc'.index('b')
'abc'.index('z')
'banana'.count('a')
'abc'.removeprefix('a')
'abc'.removesuffix('c')
'-'.join(['a', 'b'])
'-'.join([1, 2])
'{} and {}'.format('a', 2)
'{1}{0}'.format('a', 'b')
'{x}'.format(x=3)
'{{}}'.format()
'%s-%d' % ('a', 3)
'%s-%d'|format('a', 3)
'12'.isdigit()
'a1'.isalnum()
'ab'.isalpha()
' \\t'.isspace()
'Ab'.islower()
'AB'.isupper()
'5'.zfill(3)
'-5'.zfill(4)
'a'.ljust(3) ~ '|'
'a'.rjust(3)
'a'.center(4) ~ '|'
'ABC'.casefold()
'abc'[1]
'abc'[-1]
'abc'[9]
'abcdef'[1:-1]
'abcdef'[::-1]
'abcdef'[4:1:-2]
'abcdef'[-100:100:5]
'éà'[1:]
list[0]
list[-1]
list[1:]
list[::-1]
list[5]
list + [4]
list * 2
('a', 'b')
('a',)
()
list|first
list|last
[]|first
list|length
text|length
word|length
map|length
number|length
list|join
list|join(', ')
words|join('-')
rows|join(',', attribute='name')
[true, none, 1.5]|join(' ')
list|sort
words|sort
words|sort(case_sensitive=true)
words|sort(reverse=true)
rows|sort(attribute='n')|map(attribute='name')|list
rows|map(attribute='name')|list
rows|map(attribute='missing', default='-')|list
words|map('upper')|list
rows|selectattr('on')|map(attribute='name')|list
rows|selectattr('on', 'defined')|map(attribute='name')|list
rows|selectattr('n', 'equalto', 2)|map(attribute='name')|list
rows|rejectattr('n', '==', 2)|map(attribute='name')|list
list|select('odd')|list
list|reject('odd')|list
list|max
list|min
list|sum
rows|sum(attribute='n')
list|unique|list
words|unique|list
[1, 1, 2]|unique|list
list|reverse|list
'abc'|reverse
list|batch(2)|list
'abc'|list
map|list
map|items|list
map|dictsort
map.items()
map.items()|list
map.keys()|list
map.values()|list
map.get('b')
map.get('z')
map.get('z', 5)
map['items']
map.nested.k
map.missing
map.missing.deeper
map
rows
list|string
map|tojson
map|tojson(indent=2)
map|tojson(indent=4, sort_keys=true)
map|tojson(ensure_ascii=true)
map|tojson(separators=(',', ':'))
text|tojson
[]|tojson
{}|tojson(indent=2)
large|tojson
small|tojson
1e22|tojson
0.1|tojson
-0.0|tojson
undefined_thing|tojson
large
small
float
1/3
'a' ~ 1.0
7 // 2
-7 // 2
7 % -3
-7 % 3
2 ** 10
4 / 2
1 / 0
number + float
'a' + 1
'a' * 3
'5' + '6'
number == 7.0
yes == 1
'1' == 1
none == undefined_thing
1 < 2 < 3
1 < 3 < 2
'a' < 'b'
'a' < 1
'b' in 'abc'
'z' not in 'abc'
1 in list
'b' in map
'x' in nothing
'x' in undefined_thing
not yes
yes and number
empty or 'default'
'a' if yes else 'b'
'a' if empty
number is defined
missing is defined
missing is not defined
nothing is none
yes is boolean
yes is true
number is integer
float is float
yes is number
number is string
text is string
map is mapping
list is mapping
list is sequence
text is sequence
map is sequence
text is iterable
list is iterable
nothing is iterable
number is iterable
map is iterable
number is odd
number is divisibleby 7
number is eq 7
number is in list
3 is in list
'abc' is lower
nothing is sameas none
missing|default('d')
empty|default('d')
empty|default('d', true)
nothing|default('d')
missing
nothing
yes
yes|string
nothing|string
yes ~ nothing
'3'|int
'x'|int
'x'|int(default=9)
'3.7'|float
3.7|int
-3|abs
2.5|round
3.5|round
2.567|round(2)
2.1|round(method='ceil')
'a\\nb'|indent(2)
'a\\nb'|indent(2, true)
'a\\n\\nb'|indent(2, blank=true)
'a\\n\\nb\\n'|indent
'a b  c'|wordcount
'<a>'|escape
'<a>'|e
'<a>'|safe
'a' 'b'
"\\u00e9\\x41\\101\\q\\'"
range(3)|list
range(5, 0, -2)|list
dict(a=1, b='x')
namespace(a=1).a
strftime_now('%d %B %Y, %A %j %H:%M:%S %p %y %b %a %I %%')
strftime_now('%-d')
strftime_now('%e %F %T')
raise_exception('no')
unknown_function()
text|unknown_filter
text is unknown_test
text.unknown_method()
''.__class__
map.__class__
''|attr('__class__')
list.append(1)
map.update({'a': 1})
range(10 ** 9)
[1, 2] == [1, 2]
{'a': 1} == {'a': 1.0}
[1] < [2]
(1, 'a') == (1, 'a')
list|first + 1
-list[0]
2 ** 3 ** 2
'a' ~ 'b' + 'c'
not 1 == 2
rows[0].name
rows[0]['name']
rows.0.name
words|map('replace', 'a', 'o')|list
words|map('length')|list
""".strip().split("\n")

TEMPLATES = [
    "a\n  {% if yes %}\n  b\n  {% endif %}\nc\n",
    "a {%- if yes -%} \n b {%+ endif +%}\nc",
    "x {{- number -}} z",
    "x {# c #}\ny {#- c -#} z",
    "{{ number }}  {% if yes %}a{% endif %}",
    "a\r\nb\n\n",
    "{% raw %}{{ x }}{% endraw %}y",
    "{{ '}}' }}{{ {'a': {'b': 1}} }}",
    "{% for x in list %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }};{% endfor %}",
    "{% for x in list %}{{ loop.previtem }}-{{ loop.nextitem }};{% endfor %}",
    "{% for x in list %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for x in [] %}a{% else %}b{% endfor %}",
    "{% for x in list if x > 1 %}{{ x }}{{ loop.last }}{% endfor %}",
    "{% for k, v in map.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k in map %}{{ k }}{% endfor %}",
    "{% for c in 'abc' %}{{ c }}.{% endfor %}",
    "{% for x in nothing %}a{% endfor %}",
    "{% for x in missing %}a{% endfor %}",
    "{% for x in number %}a{% endfor %}",
    "{% for x in 1, 2 %}{{ x }}{% endfor %}",
    "{% for x in list %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in list %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% set x = 1 %}{% for y in list %}{% set x = y %}{% endfor %}{{ x }}",
    "{% set ns = namespace(x=0) %}{% for y in list %}{% set ns.x = ns.x + y %}{% endfor %}{{ ns.x }}",
    "{% set x %}a{{ number }}{% endset %}{{ x }}{{ x|length }}",
    "{% set x | upper %}abc{% endset %}{{ x }}",
    "{% set x, y = 1, 2 %}{{ x }}{{ y }}",
    "{% set x = 1, 2 %}{{ x }}",
    "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}",
    "{% macro f(a, b='d') %}[{{ a }}{{ b }}]{% endmacro %}{{ f(1) }}{{ f(1, 2) }}{{ f(b=3, a=4) }}",
    "{% macro f() %}<{{ caller() }}>{% endmacro %}{% call f() %}x{% endcall %}",
    "{% macro f(x) %}{{ x }}{% endmacro %}{{ f('a') ~ 'b' }}{{ f(' a ')|trim }}",
    "{% filter upper %}abc{{ number }}{% endfilter %}",
    "{% if missing %}a{% elif number %}b{% else %}c{% endif %}",
    "{% generation %}a{% set number = 3 %}{% endgeneration %}{{ number }}",
    "{% set ns = namespace(a=1) %}{% generation %}{% set ns.a = 2 %}{% endgeneration %}{{ ns.a }}",
    "a \n {%- generation -%} b {%- endgeneration -%} \n c",
    "{% set list = list + [4] %}{{ list }}{% set list = list[1:] %}{{ list }}{{ list|length }}",
    "{{ missing.x }}",
    "{{ missing ~ 'a' }}",
    "{% include 'x' %}",
    "{% import 'x' as y %}",
    "{% extends 'x' %}",
    "{% if x %}",
    "{% endif %}",
    "{{ 'a",
    "{% unknown %}",
]


def main():
    chat_template_utils.datetime = PinnedDatetime
    cases = []
    for template in ["{{ " + expression + " }}" for expression in EXPRESSIONS] + TEMPLATES:
        case = {"template": template}
        try:
            case["text"] = chat_template_utils._compile_jinja_template(template).render(**VALUES)
        except Exception as error:  # what transformers refuses, we refuse
            case["error"] = type(error).__name__
        cases.append(case)
    versions = f"transformers {transformers.__version__}, jinja2 {jinja2.__version__}"
    result = {"made_by": f"scripts/make_template_fixtures.py, {versions}", "now": NOW.isoformat(), "values": VALUES, "cases": cases}
    target = ROOT / "fixtures/chat/expressions.json"
    target.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n")
    print(f"{target.relative_to(ROOT)}: {len(cases)} cases, {sum('text' in case for case in cases)} rendered")


if __name__ == "__main__":
    main()

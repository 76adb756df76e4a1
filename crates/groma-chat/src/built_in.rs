//! Templates for checkpoints that bring none, written for training: answers and what ends them are marked.

/// A template that is part of this library.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn {
    /// By which it is asked for.
    pub id: &'static str,
    /// What it looks like and whose it is.
    pub description: &'static str,
    /// Jinja.
    pub source: &'static str,
    /// Strings before which an answer ends, where it does not end with a token of its own.
    pub stop_strings: &'static [&'static str],
    /// Control tokens that it writes as text; the tokenizer should have them.
    pub control_tokens: &'static [&'static str],
}

/// All of them.
pub const BUILT_IN: &[BuiltIn] = &[CHATML, LLAMA2, LLAMA3, ZEPHYR, ALPACA, USER_BOT, HUMAN_ASSISTANT];

const CHATML: BuiltIn = BuiltIn {
    id: "chatml",
    description: "<|im_start|>role, line break, text, <|im_end|> (Qwen, SmolLM and many others)",
    source: "\
{%- for message in messages -%}
    {{- '<|im_start|>' ~ message.role ~ '\\n' -}}
    {%- if message.role == 'assistant' -%}
        {%- generation -%}{{- message.content ~ '<|im_end|>' -}}{%- endgeneration -%}
    {%- else -%}
        {{- message.content ~ '<|im_end|>' -}}
    {%- endif -%}
    {{- '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\\n' -}}
{%- endif -%}",
    stop_strings: &["<|im_end|>"],
    control_tokens: &["<|im_start|>", "<|im_end|>"],
};

const LLAMA2: BuiltIn = BuiltIn {
    id: "llama2",
    description: "[INST] ... [/INST], system text in <<SYS>> (Llama 2 chat); user and assistant alternate",
    source: "\
{%- if messages and messages[0].role == 'system' -%}
    {%- set system = '<<SYS>>\\n' ~ messages[0].content ~ '\\n<</SYS>>\\n\\n' -%}
    {%- set turns = messages[1:] -%}
{%- else -%}
    {%- set system = '' -%}
    {%- set turns = messages -%}
{%- endif -%}
{%- for message in turns -%}
    {%- if (message.role == 'user') != (loop.index0 % 2 == 0) or message.role not in ['user', 'assistant'] -%}
        {{- raise_exception('user and assistant must alternate, beginning with user') -}}
    {%- endif -%}
    {%- if message.role == 'user' -%}
        {{- (bos_token | default('')) ~ '[INST] ' ~ (system if loop.first else '') ~ message.content ~ ' [/INST]' -}}
    {%- else -%}
        {%- generation -%}{{- ' ' ~ message.content ~ ' ' ~ (eos_token | default('')) -}}{%- endgeneration -%}
    {%- endif -%}
{%- endfor -%}",
    stop_strings: &["[INST]"],
    control_tokens: &[],
};

const LLAMA3: BuiltIn = BuiltIn {
    id: "llama3",
    description: "<|start_header_id|>role<|end_header_id|>, empty line, text, <|eot_id|> (Llama 3)",
    source: "\
{{- bos_token | default('') -}}
{%- for message in messages -%}
    {{- '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\\n\\n' -}}
    {%- if message.role == 'assistant' -%}
        {%- generation -%}{{- message.content | trim ~ '<|eot_id|>' -}}{%- endgeneration -%}
    {%- else -%}
        {{- message.content | trim ~ '<|eot_id|>' -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
{%- endif -%}",
    stop_strings: &["<|eot_id|>"],
    control_tokens: &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
};

const ZEPHYR: BuiltIn = BuiltIn {
    id: "zephyr",
    description: "<|role|>, line break, text, end-of-sequence token (Zephyr, TinyLlama chat)",
    source: "\
{%- for message in messages -%}
    {{- '<|' ~ message.role ~ '|>\\n' -}}
    {%- if message.role == 'assistant' -%}
        {%- generation -%}{{- message.content ~ (eos_token | default('')) -}}{%- endgeneration -%}
    {%- else -%}
        {{- message.content ~ (eos_token | default('')) -}}
    {%- endif -%}
    {{- '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|assistant|>\\n' -}}
{%- endif -%}",
    stop_strings: &["<|user|>", "<|system|>"],
    control_tokens: &[],
};

const ALPACA: BuiltIn = BuiltIn {
    id: "alpaca",
    description: "### Instruction: / ### Response: (Stanford Alpaca and what was trained on its form)",
    source: "\
{{- bos_token | default('') -}}
{%- if not messages or messages[0].role != 'system' -%}
    {{- 'Below is an instruction that describes a task. Write a response that appropriately completes the request.\\n\\n' -}}
{%- endif -%}
{%- for message in messages -%}
    {%- if message.role == 'system' -%}
        {{- message.content ~ '\\n\\n' -}}
    {%- elif message.role == 'assistant' -%}
        {{- '### Response:\\n' -}}
        {%- generation -%}{{- message.content ~ (eos_token | default('')) -}}{%- endgeneration -%}
        {{- '\\n\\n' -}}
    {%- else -%}
        {{- '### Instruction:\\n' ~ message.content ~ '\\n\\n' -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '### Response:\\n' -}}
{%- endif -%}",
    stop_strings: &["\n\n### Instruction:", "\n### Instruction:"],
    control_tokens: &[],
};

const USER_BOT: BuiltIn = BuiltIn {
    id: "user-bot",
    description: "User: ... and Bot: ..., a line each, answers end with the end-of-sequence token; system text comes first as it is",
    source: "\
{%- for message in messages -%}
    {%- if message.role == 'assistant' -%}
        {{- 'Bot:' -}}
        {%- generation -%}{{- ' ' ~ message.content ~ (eos_token | default('')) -}}{%- endgeneration -%}
        {{- '\\n' -}}
    {%- elif message.role == 'system' -%}
        {{- message.content ~ '\\n' -}}
    {%- else -%}
        {{- 'User: ' ~ message.content ~ '\\n' -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- 'Bot:' -}}
{%- endif -%}",
    stop_strings: &["\nUser:", "\nBot:"],
    control_tokens: &[],
};

const HUMAN_ASSISTANT: BuiltIn = BuiltIn {
    id: "human-assistant",
    description: "\\n\\nHuman: ... and \\n\\nAssistant: ..., as in Anthropic's preference transcripts",
    source: "\
{%- for message in messages -%}
    {%- if message.role == 'assistant' -%}
        {{- '\\n\\nAssistant:' -}}
        {%- generation -%}{{- ' ' ~ message.content ~ (eos_token | default('')) -}}{%- endgeneration -%}
    {%- elif message.role == 'system' -%}
        {{- message.content -}}
    {%- else -%}
        {{- '\\n\\nHuman: ' ~ message.content -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '\\n\\nAssistant:' -}}
{%- endif -%}",
    stop_strings: &["\n\nHuman:", "\n\nAssistant:"],
    control_tokens: &[],
};

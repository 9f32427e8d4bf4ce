"""Chat templates as models have them, and conversations; written for these tests."""

CHATML = """{% for message in messages %}
{% if loop.first and message['role'] != 'system' %}
{{ '<|im_start|>system\\nYou are helpful.<|im_end|>\\n' }}
{% endif %}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' }}
{% if enable_thinking is defined and enable_thinking is false %}
{{ '<think>\\n\\n</think>\\n\\n' }}
{% endif %}
{% endif %}
"""

HEADERS = """{{- bos_token }}
{%- if messages[0].role == 'system' %}
  {%- set system = messages[0].content | trim %}
  {%- set messages = messages[1:] %}
{%- else %}
  {%- set system = 'Be brief.' %}
{%- endif %}
{{- '<|start_header_id|>system<|end_header_id|>\\n\\n' ~ system ~ '<|eot_id|>' }}
{%- for message in messages %}
  {{- '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\\n\\n' }}
  {{- message.content | trim ~ '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
  {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

INSTRUCTIONS = """{{ bos_token }}{% for message in messages %}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('user and assistant must take turns') }}
{%- endif %}
{%- if message['role'] == 'user' %}
{{- '[INST] ' + message['content'] + ' [/INST]' }}
{%- else %}
{{- ' ' + message['content'] + eos_token }}
{%- endif %}
{%- endfor %}"""

TURNS = """{{ bos_token }}{% for message in messages %}
{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}
{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}
{% endfor %}
{% if add_generation_prompt %}
{{ '<start_of_turn>model\\n' }}
{% endif %}"""

TOOLS = """{%- if tools %}
<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content }}

{% endif %}
# Tools
{% for tool in tools %}
{{ tool | tojson }}
{% endfor %}
{{- '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- set content = message.content %}
{%- if message.role == 'assistant' and '</think>' in content %}
{%- set content = content.split('</think>')[-1].lstrip('\\n') %}
{%- endif %}
{%- if not (loop.first and message.role == 'system' and tools) %}
<|im_start|>{{ message.role }}
{{ content }}
{%- for call in message.tool_calls or [] %}

{{ {'name': call.name, 'arguments': call.arguments} | tojson(indent=2) }}
{%- endfor %}
<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}
<|im_start|>assistant
{% endif %}"""

# Name of a folder -> its templates.
TEMPLATES = {
  "qwen": {"chatml": CHATML, "tools": TOOLS},
  "llama3": {"headers": HEADERS},
  "llama2": {"instructions": INSTRUCTIONS},
  "mistral": {"instructions": INSTRUCTIONS},
  "gemma": {"turns": TURNS},
}

_LOOK = {
  "type": "function",
  "function": {
    "name": "look",
    "description": 'Looks up "a" <word>, \u00e9 or \u4e2d.',
    "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
  },
}


def _said(*contents: str, system: str = "") -> list[dict[str, str]]:
  roles = ("user", "assistant")
  said = [{"role": roles[i % 2], "content": c} for i, c in enumerate(contents)]
  return [{"role": "system", "content": system}] * bool(system) + said


# Messages and what else is given.
CHATS = [
  (_said("hello"), {"add_generation_prompt": True}),
  (_said("  two  spaces \n", "ok.", "and\n\n\tnow?"), {"add_generation_prompt": True}),
  (_said("\u4e2d\u6587 \U0001f468\u200d\U0001f469 e\u0301", "\n\nyes\n", "\n"), {}),
  (_said("hi", "<think>\nhm\n</think>\n\nhello", "so?", system=" Be kind. "), {}),
  (_said("a {{ b }} {% c %}", "x" * 70, system="\n"), {"add_generation_prompt": True}),
  (_said("hi"), {"add_generation_prompt": True, "enable_thinking": False}),
  (_said("look up cat", system="Use tools."), {"tools": [_LOOK, _LOOK]}),
  (
    [
      {"role": "user", "content": "look"},
      {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"name": "look", "arguments": {"word": "<b>\u00e9"}}],
      },
      {"role": "user", "content": "[1, 2]", "name": None},
    ],
    {"tools": [_LOOK], "add_generation_prompt": True},
  ),
]

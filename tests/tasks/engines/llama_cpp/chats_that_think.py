"""Chat templates that ask llama-server's variables, by how they take undefined ones.

    off      the model thinks only if it is asked to, as the small Qwen 3.5 do
    gemma    the same, as Gemma 4 does
    on       the model thinks unless it is asked not to, as Qwen 3 does
    unseen   as `on`, but llama-server does not see in the template that the model thinks
    drops    the thoughts of earlier turns are dropped unless it is asked to keep them, as Qwen 3.6 does
    sent     the same, of the thoughts that a client sends back, as GLM 4.5 does
    neither  a third text is written if nothing is asked
    plain    nothing is asked
    opened   the same, between the tokens that begin and end a text
    picky    the same, and a chat with a turn of a tool is refused
    unread   the same, by a filter that llama-server lacks

llama-server knows the families of `off` and `gemma` by their words for calls of tools.
"""

TURNS = "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}\n{% endfor %}"
PROMPT = "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
NO_THOUGHTS = "<think>\n\n</think>\n\n"
QWEN_TOOLS = "{% if tools %}<tool_call>\n<function=f>\n<parameter=p>\n{% endif %}"
GEMMA_TOOLS = "{% if tools %}{{ '<|tool_call>call:' }}{% endif %}"


def answer(start: str) -> str:
    """Return what opens the model's answer. start: how the answer begins."""
    return f"{{% if add_generation_prompt %}}<|assistant|>\n{start}{{% endif %}}"


TEMPLATES = {
    "off": f"{QWEN_TOOLS}{TURNS}"
    + answer(f"{{% if enable_thinking is true %}}<think>\n{{% else %}}{NO_THOUGHTS}{{% endif %}}"),
    "gemma": GEMMA_TOOLS
    + "{% if enable_thinking is defined and enable_thinking %}<|think|>{% endif %}"
    + TURNS
    + PROMPT,
    "on": "{% for message in messages %}<|{{ message.role }}|>\n"
    "{% if message.reasoning_content %}<think>\n{{ message.reasoning_content }}\n</think>\n\n{% endif %}"
    "{{ message.content }}\n{% endfor %}"
    + answer(f"{{% if enable_thinking is defined and enable_thinking is false %}}{NO_THOUGHTS}{{% endif %}}"),
    "unseen": "{% if enable_thinking is not defined or enable_thinking %}Take your time.\n{% endif %}" + TURNS + PROMPT,
    "drops": "{% for message in messages %}<|{{ message.role }}|>\n"
    "{% if message.role == 'assistant' and preserve_thinking is defined and preserve_thinking is true %}"
    f"{NO_THOUGHTS}{{% endif %}}{{{{ message.content }}}}\n{{% endfor %}}{PROMPT}",
    "sent": "{% for message in messages %}<|{{ message.role }}|>\n"
    "{% if message.reasoning_content and clear_thinking is defined and not clear_thinking %}"
    "<think>{{ message.reasoning_content }}</think>\n{% endif %}{{ message.content }}\n{% endfor %}" + PROMPT,
    "neither": "{% if enable_thinking is not defined %}Guess.\n{% elif enable_thinking %}Think.\n{% endif %}"
    + TURNS
    + PROMPT,
    "plain": TURNS + PROMPT,
    "opened": "{{ bos_token }}" + TURNS + "{{ eos_token }}" + PROMPT,
    "picky": "{% if messages[-1].role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}" + TURNS + PROMPT,
    "unread": "{% set roles = messages | map(attribute='role') | unique | list %}" + TURNS + PROMPT,
}

"""Renders one chat template, in a process with limits of time and memory that may write no files.

This is a script and imports nothing of the product. Standard input is a JSON object with `source`, `variables` and
`conversations`. The variable `add_generation_prompt` is true unless the object says otherwise. Standard output is
{"rendered": [text or null, ...], "error": the first error or null, "kind": its type}.
"""

import json
import resource
import sys
from typing import Any

from jinja2 import TemplateError, TemplateRuntimeError, Undefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment, modifies_known_mutable

CPU_SECONDS = 5
MEMORY_BYTES = 1024**3
TEXT_CHARACTERS = 1_000_000


class Refusal(TemplateError):
    """Raised by a template for a conversation that its model does not accept."""


class Change(TemplateRuntimeError):
    """Raised by a template that changes a list or another value, which transformers forbids."""


class Environment(ImmutableSandboxedEnvironment):
    """Tells a change of a value, as in `items.append(x)`, from an attempt to leave the sandbox."""

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """Return what fails when the template uses it."""
        if modifies_known_mutable(obj, attribute):
            return self.undefined(f"it calls {attribute!r} of a {type(obj).__name__}", exc=Change)
        return super().unsafe_undefined(obj, attribute)


class GenerationTag(Extension):
    """The tag `generation` of transformers, which marks the assistant's text. Its body is rendered unchanged."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return the tag's body."""
        next(parser.stream)
        return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))


def environment() -> ImmutableSandboxedEnvironment:
    """Return the environment in which transformers renders chat templates."""
    made = Environment(trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols])
    made.filters["tojson"] = _to_json
    made.globals["raise_exception"] = _refuse
    made.globals["strftime_now"] = lambda _: "2026-01-01"
    return made


def render(source: str, variables: dict[str, Any], conversations: list[Any]) -> dict[str, Any]:
    """Render every conversation; None for one that does not render."""
    rendered: list[str | None] = []
    error: Exception | None = None
    try:
        template = environment().from_string(source)
    except (TemplateError, RecursionError, ValueError) as failure:
        return {"rendered": [], "error": str(failure), "kind": type(failure).__name__}
    for messages in conversations:
        try:
            parts = template.generate(messages=messages, **{"add_generation_prompt": True, **variables})
            rendered.append(_join(parts))
        except SecurityError as failure:
            return {"rendered": [], "error": str(failure), "kind": "SecurityError"}
        except Exception as failure:  # A template may raise whatever Python's operators raise.
            rendered.append(None)
            error = error or failure
    return {"rendered": rendered, "error": error and str(error), "kind": error and type(error).__name__}


def _join(parts: Any) -> str:
    """Join the parts; stops a template whose output does not end before it fills the memory."""
    text, size = [], 0
    for part in parts:
        text.append(part)
        size += len(part)
        if size > TEXT_CHARACTERS:
            raise MemoryError(f"its output has more than {TEXT_CHARACTERS} characters")
    return "".join(text)


def _to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def _refuse(message: str) -> None:
    raise Refusal(message)


def main() -> None:
    """Set the limits, render the template, and print the answer."""
    # At the first limit comes SIGXCPU, at the second SIGKILL, which others send, too.
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    asked = json.load(sys.stdin)
    json.dump(render(asked["source"], asked["variables"], asked["conversations"]), sys.stdout)


if __name__ == "__main__":
    main()

"""Makes the view of a source: the files beside its weights, each settled once.

    config.json, generation_config.json    without ids that mean "none"; both name every end, and no other; the token
                                           that begins a text is the tokenizer's; config.json names its architecture,
                                           and has numbers in transformers' types, no window of no tokens, nothing of
                                           the publisher's machine, and no tie of a head that the weights have apart
    tokenizer.json, tokenizer_config.json  one tokenizer, and the class that cuts as its file says
    chat_template.jinja                    one template

Everything that is made from the source, and the reference, works on these files (see tasks/checkpoint/view.py).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.checkpoint import named_tokens
from tasks.checkpoint.model_config import CONFIG
from tasks.checkpoint.normalization import read_normalization
from tasks.checkpoint.preferences import without_preferences
from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.special_ids import count_rows, without_unused
from tasks.checkpoint.text_facts import TextFacts
from tasks.checkpoint.typed_fields import with_typed_fields
from tasks.checkpoint.view_files import write
from tasks.source.view.architectures import name_architecture
from tasks.source.view.ends import gather_ends, with_ends, without_stale_ends
from tasks.source.view.marks import read_marks
from tasks.source.view.own_ids import BOS, PAD, follow_tokenizer, own_tokens
from tasks.source.view.special_ids import settle_special_ids
from tasks.source.view.stop_strings import read_stop_strings, stop_notes
from tasks.source.view.template import ends_of_turn, settle_template
from tasks.source.view.ties import untie_own_head
from tasks.source.view.tokenizer import settle_tokenizer
from tasks.source.view.windows import without_empty_windows

GENERATION = "generation_config.json"


def make_view(snapshot: Snapshot, view: Path) -> TextFacts:
    """Write the view's files into the new folder `view` and return the facts.

    Raises Corrupt for a file that cannot be read or an id without a row, and Refused for files that contradict each
    other where no rule says which one is the truth.
    """
    view.mkdir()
    rows = count_rows(snapshot)
    config, preferences = without_preferences(snapshot.json(CONFIG) or {})
    config, typed = with_typed_fields(config)
    config, built = name_architecture(config)
    config, windows = without_empty_windows(config)
    config, untied = untie_own_head(snapshot, config)
    config = settle_special_ids(CONFIG, config, rows)
    write(snapshot, view, CONFIG, config)
    generation, surplus = without_unused(GENERATION, snapshot.json(GENERATION) or {}, rows)
    generation = settle_special_ids(GENERATION, generation, rows)
    template = settle_template(snapshot, view)
    settled = settle_tokenizer(snapshot, view)
    vocabulary = dict(settled.loaded.get_vocab()) if settled.loaded is not None else {}
    marks = read_marks(view, settled.loaded) if settled.loaded is not None else None
    turn = ends_of_turn(view, settled.loaded, marks) if marks is not None and template.file else ()
    named = [snapshot.json(name) or {} for name in (named_tokens.CONFIG, named_tokens.MAP)]
    own = own_tokens(settled.loaded, vocabulary, rows)
    config, begun = follow_tokenizer(CONFIG, config, own, (BOS,))
    generation, filled = follow_tokenizer(GENERATION, generation, own, (BOS, PAD))
    marked = None if marks is None else set(marks.values())
    believed, stale = without_stale_ends(config, generation, marked)
    stops = read_stop_strings(generation)
    # The class may have an end that no file names. The view names it, so whatever serves the model ends a text there.
    own_end = getattr(settled.loaded, "eos_token", None)
    ends = gather_ends((generation, believed), named, (*turn, *stops, own_end), vocabulary)
    if rows:
        ends = tuple(end for end in ends if end < rows)
    ordered = _in_order(ends, generation)
    # Some servers stop by config.json.
    write(snapshot, view, CONFIG, with_ends(config, ordered))
    if generation := with_ends(generation, ordered):
        write(snapshot, view, GENERATION, generation)
    return TextFacts(
        tokenizer_file=settled.file,
        opening_ids=settled.opening,
        closing_ids=settled.closing,
        end_ids=ends,
        template_file=template.file,
        normalization=read_normalization(view),
        class_replaced=settled.class_replaced,
        notes=(
            *preferences,
            *typed,
            *built,
            *windows,
            *untied,
            *surplus,
            *settled.notes,
            *template.notes,
            *stale,
            *begun,
            *filled,
            *stop_notes(stops, vocabulary, marked),
        ),
    )


def _in_order(ends: tuple[int, ...], generation: Mapping[str, Any]) -> list[int]:
    """Return the ends, first those that generation_config.json names, in its order."""
    value = generation.get("eos_token_id")
    first = [one for one in (value if isinstance(value, list) else [value]) if one in ends]
    return list(dict.fromkeys([*first, *ends]))

"""What is settled of a source's text side: how it cuts, opens, ends and renders a text."""

from tasks.model import Model


class TextFacts(Model):
    """The facts that decide tokens and text, each from one file of the source.

    tokenizer_file: the file by which texts are cut; None if the source has no tokenizer.
    opening_ids, closing_ids: the tokens that the tokenizer puts before and after a text.
    end_ids: every token that ends a text or a turn, sorted.
    template_file: the file of the chat template; None if there is none.
    normalization: the steps that change characters before a text is cut, as the tokenizer's file names them (`NFC`).
    class_replaced: why the tokenizer class that the source names was replaced; None if it was kept.
    notes: what else was settled; whole sentences for the log and the report.
    """

    tokenizer_file: str | None = None
    opening_ids: tuple[int, ...] = ()
    closing_ids: tuple[int, ...] = ()
    end_ids: tuple[int, ...] = ()
    template_file: str | None = None
    normalization: tuple[str, ...] = ()
    class_replaced: str | None = None
    notes: tuple[str, ...] = ()

from tasks.evaluation.definitions import REFERENCE


def test_a_readme_is_no_part_of_the_reference() -> None:
    from fnmatch import fnmatchcase

    read = [name for name in ("README.md", "LICENSE", "config.json", "model.safetensors", "chat_template.jinja")
            if any(fnmatchcase(name, pattern) for pattern in REFERENCE.reads["snapshot"])]  # fmt: skip
    assert read == ["config.json", "model.safetensors", "chat_template.jinja"]

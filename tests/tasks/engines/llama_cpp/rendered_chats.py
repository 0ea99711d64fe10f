"""Renders chats by the code that travels with an artifact, which MLflow runs.

A program for the runtime llama-cpp: rendered_chats.py FOLDER. made_thinking.py has filled FOLDER. Prints a JSON object
with the texts by the name of the template.
"""

import json
import sys
from pathlib import Path

from tasks.engines.llama_cpp.serving import open_engine


def main(folder: Path) -> None:
    """Print the texts."""
    texts = {}
    for made in folder.iterdir():
        engine = open_engine(made / "output", 1)
        chats = json.loads((made / "source.json").read_text())["chats"]
        texts[made.name] = [engine.render_chat(chat, add_generation_prompt=True) for chat in chats]
        engine.close()
    print(json.dumps(texts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

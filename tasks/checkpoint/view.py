"""Opens the view of a source: its weights, and beside them only the files that `analyze` settled.

A repository may hold two tokenizers, two chat templates, or a tokenizer class that cuts texts in another way than the
tokenizer's file. Each library picks another one of them. So no converter reads the snapshot as it was found.
"""

from pathlib import Path

from tasks.checkpoint.companions import WEIGHTS, is_companion

FOLDER = "view"
"""The folder of the view's files in an analysis artifact."""

FILES = (f"{FOLDER}/*",)
"""The glob pattern of these files, for keys."""


def open_view(snapshot: Path, analysis: Path, folder: Path) -> Path:
    """Make `folder` with links to the snapshot's weights and to the settled files, and return it.

    snapshot, analysis: the folders of the two artifacts. Libraries read the links. `read_weights` refuses them, and
    takes the snapshot itself.
    """
    folder.mkdir(parents=True)
    for path in sorted(snapshot.iterdir()):
        if is_companion(path.name, WEIGHTS):
            (folder / path.name).symlink_to(path.resolve())
    settled = analysis / FOLDER
    for path in sorted(settled.rglob("*")):
        if path.is_file():
            link = folder / path.relative_to(settled)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
    return folder

"""python -m bench.by_hand.download REPOSITORY FOLDER: fetch a repository, compare its digests."""

import hashlib
import sys
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download


def main(repository: str, folder: Path) -> None:
    """Download, then hash."""
    info = HfApi().model_info(repository, files_metadata=True)
    snapshot_download(repository, revision=info.sha, local_dir=folder)
    for file in info.siblings or []:
        if file.lfs:
            with (folder / file.rfilename).open("rb") as content:
                found = hashlib.file_digest(content, "sha256").hexdigest()
            assert found == file.lfs.sha256, file.rfilename


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

"""python -m bench.by_hand.upload PREFIX FOLDER...: send folders to the bucket with boto3's own transfer."""

import sys
from pathlib import Path

import boto3

BUCKET = "hallmark"


def main(prefix: str, folders: list[Path]) -> None:
    """Send every file."""
    client = boto3.client("s3")
    for folder in folders:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            client.upload_file(str(file), BUCKET, f"{prefix}/{folder.name}/{file.relative_to(folder)}")


if __name__ == "__main__":
    main(sys.argv[1], [Path(word) for word in sys.argv[2:]])

"""Makes CIFAR-100 small enough to copy: all labels and test images, but only the training images that CIFAR100-LT needs.

    python experiments/gpu/pack_cifar.py --source FOLDER --out data/cifar100

Images are stored as lossless WebP and compared with the originals. The files are Parquet, which the lab reads. Training images
that are not needed for any of the imbalances are empty.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from gradlens.longtail.data.cifar import load_cifar
from gradlens.longtail.data.subset import long_tailed_subset


def stored(picture: np.ndarray) -> bytes:
    """Returns a picture as lossless WebP. It is read back and compared.

    Raises:
        SystemExit: The stored picture differs.
    """
    target = io.BytesIO()
    Image.fromarray(picture).save(target, "WEBP", lossless=True, quality=60, method=2)
    again = np.asarray(Image.open(io.BytesIO(target.getvalue())).convert("RGB"))
    if not np.array_equal(again, picture):
        raise SystemExit("a picture did not survive; nothing was written")
    return target.getvalue()


def main() -> None:
    """Writes the Parquet files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", required=True, help="folder with CIFAR-100")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--imbalances", type=float, nargs="+", default=[50.0, 100.0, 200.0])
    args = parser.parse_args()
    data = load_cifar(args.source)
    kept = np.unique(np.concatenate([long_tailed_subset(data.train.labels, i).indices for i in args.imbalances]))
    args.out.mkdir(parents=True, exist_ok=True)
    for name, split, positions in (
        ("train", data.train, kept),
        ("test", data.test, np.arange(len(data.test.labels))),
    ):
        content = [b""] * len(split.labels)
        for position, picture in zip(positions.tolist(), split.decode(positions), strict=True):
            content[position] = stored(picture)
        images = pa.StructArray.from_arrays(
            [pa.array(content, pa.binary()), pa.nulls(len(content), pa.string())], ["bytes", "path"]
        )
        table = pa.table({"img": images, "fine_label": pa.array(split.labels)})
        target = args.out / f"{name}-00000-of-00001.parquet"
        pq.write_table(table, target, compression="zstd")
        print(f"{target}: {len(positions)} images, {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

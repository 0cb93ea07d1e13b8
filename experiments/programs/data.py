"""Makes small data sets of random numbers in the formats that programs read. They need no download and are always the same."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WORDS = [f"word{i}" for i in range(20)]


def _images(labels: NDArray[np.int64], size: int, channels: int) -> NDArray[np.uint8]:
    """Returns [N, size, size, channels] images: noise around a pattern of each class."""
    patterns = np.random.default_rng(1).integers(0, 256, (int(labels.max()) + 1, 4, 4, channels))
    wide = patterns.repeat(size // 4, axis=1).repeat(size // 4, axis=2)[labels]
    noise = np.random.default_rng(2).normal(0, 40, (len(labels), size, size, channels))
    return np.clip(wide + noise, 0, 255).astype(np.uint8)


def _long_tail(classes: int, most: int) -> NDArray[np.int64]:
    """Returns shuffled labels. The first class has ``most`` samples, the last class a tenth of that."""
    counts = [max(1, int(most * 0.1 ** (c / (classes - 1)))) for c in range(classes)]
    return np.random.default_rng(0).permutation(np.repeat(np.arange(classes), counts))


def mnist(folder: Path) -> None:
    """Writes the four files of MNIST into the folder that torchvision reads."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, most in (("train", 150), ("t10k", 30)):
        labels = _long_tail(10, most)
        header = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (len(labels), 28, 28))
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header + _images(labels, 28, 1).tobytes())
        header = b"\0\0\x08\x01" + len(labels).to_bytes(4, "big")
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(header + labels.astype(np.uint8).tobytes())


def _cifar(labels: NDArray[np.int64], key: str) -> bytes:
    data = _images(labels, 32, 3).transpose(0, 3, 1, 2).reshape(len(labels), -1)
    return pickle.dumps({"data": data, key: labels.tolist()})


def _cifar10(folder: Path, each: int) -> None:
    place = folder / "cifar-10-batches-py"
    place.mkdir(parents=True)
    for batch in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        (place / batch).write_bytes(_cifar(np.arange(each) % 10, "labels"))
    (place / "batches.meta").write_bytes(pickle.dumps({"label_names": [str(i) for i in range(10)]}))
    (folder / "cifar-10-python.tar.gz").write_bytes(b"")


def cifar10(folder: Path) -> None:
    """Writes the batches of CIFAR-10: five of 60 images for training, and a test batch."""
    _cifar10(folder, 60)


def few_cifar10(folder: Path) -> None:
    """Writes the batches of CIFAR-10: five of 8 images for training. They are for programs that train on all at once."""
    _cifar10(folder, 8)


def cifar100(folder: Path) -> None:
    """Writes the files of CIFAR-100, with 10,000 images for training."""
    place = folder / "cifar-100-python"
    place.mkdir(parents=True)
    for part, count in (("train", 10000), ("test", 100)):
        (place / part).write_bytes(_cifar(np.arange(count) % 100, "fine_labels"))
    (place / "meta").write_bytes(pickle.dumps({"fine_label_names": [str(i) for i in range(100)]}))
    (folder / "cifar-100-python.tar.gz").write_bytes(b"")


def image_folder(folder: Path) -> None:
    """Writes folders ``train`` and ``val``. Each has a folder of 64 x 64 pictures for each of five classes."""
    for part, most in (("train", 20), ("val", 5)):
        labels = _long_tail(5, most)
        for i, (label, image) in enumerate(zip(labels, _images(labels, 64, 3), strict=True)):
            place = folder / part / f"class{label}"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{i}.png")


def words(folder: Path) -> None:
    """Writes a corpus of words: train.txt, valid.txt and test.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for part, lines in (("train", 200), ("valid", 20), ("test", 20)):
        rows = generator.zipf(1.5, (lines, 12)) % len(WORDS)
        text = "\n".join(" ".join(WORDS[word] for word in row) for row in rows)
        (folder / f"{part}.txt").write_text(text + "\n")


def characters(folder: Path) -> None:
    """Writes a corpus of characters: train.bin and val.bin with 16-bit ids, and meta.pkl."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, size in (("train", 4000), ("val", 800)):
        ids = np.random.default_rng(size).zipf(1.4, size) % 26
        ids.astype(np.uint16).tofile(folder / f"{part}.bin")
    letters = "abcdefghijklmnopqrstuvwxyz"
    meta = {"vocab_size": 26, "itos": dict(enumerate(letters)), "stoi": {c: i for i, c in enumerate(letters)}}
    (folder / "meta.pkl").write_bytes(pickle.dumps(meta))


def cora(folder: Path) -> None:
    """Writes the two files of Cora: 2,708 papers of seven classes with words and citations, as the training split expects."""
    folder.mkdir(parents=True, exist_ok=True)
    generator, papers = np.random.default_rng(0), 2708
    classes = _long_tail(7, 800)[np.arange(papers) % 2000 % 1000]
    has = generator.random((papers, 60)) < 0.05 + 0.3 * (np.arange(60) % 7 == classes[:, None])
    lines = [f"{i}\t" + "\t".join("01"[int(w)] for w in has[i]) + f"\tclass{classes[i]}" for i in range(papers)]
    (folder / "cora.content").write_text("\n".join(lines) + "\n")
    cites = generator.integers(0, papers, (5000, 2))
    (folder / "cora.cites").write_text("\n".join(f"{a}\t{b}" for a, b in cites) + "\n")


MAKERS: dict[str, Callable[[Path], None]] = {
    f.__name__: f for f in (mnist, cifar10, few_cifar10, cifar100, image_folder, words, characters, cora)
}

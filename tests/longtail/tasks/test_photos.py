"""Settings of photos, with their sources."""

from gradlens.longtail.tasks.photos import FOLDER_SETTINGS, IMAGENET_SETTINGS


def test_borrowed_settings_keep_their_source():
    assert dict(FOLDER_SETTINGS) == dict(IMAGENET_SETTINGS)
    for name in set(FOLDER_SETTINGS) - {"precision", "memory_format", "compile"}:
        assert FOLDER_SETTINGS.source(name) == f"{IMAGENET_SETTINGS.source(name)}; as for ImageNet-LT"
    assert "the paper does not say" in FOLDER_SETTINGS.source("epochs")
    assert "inferred" in FOLDER_SETTINGS.source("batch")

"""The warning that the func engine keeps quiet, and no other one."""

from __future__ import annotations

import warnings

from gradlens.engines.fallback_warning import no_fallback_warning


def test_fallback_warning_is_ignored_and_others_are_still_shown_once():
    registry, shown = {}, []
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = lambda message, *_: shown.append(str(message))

        def warn(text):
            warnings.warn_explicit(text, UserWarning, "script.py", 1, registry=registry)

        warn("of the script")
        with no_fallback_warning():
            warn("There is a performance drop because ...")
            warn("of the script")
        warn("of the script")
        warn("There is a performance drop because ...")

    assert shown == ["of the script", "There is a performance drop because ..."]

"""Images: each names a version, so that what runs is what was tested."""

import re
from collections.abc import Iterator, Sequence

from k8s.validation.objects import Object, Problem
from k8s.validation.pods import pods

_VERSIONED = re.compile(r"[^@\s]+(:(?P<tag>[\w][\w.-]{0,127}))|[^@\s]+@sha256:[0-9a-f]{64}")


def check_images(objects: Sequence[Object]) -> Iterator[Problem]:
    """Images without a version."""
    for pod in pods(objects):
        for container in pod.containers:
            image = container.get("image", "")
            found = _VERSIONED.fullmatch(image)
            if found is None or found["tag"] == "latest":
                what = f"image {image!r} needs a tag other than latest, or a digest"
                yield Problem(where=pod.where, what=f"{pod.role}: {what}")

"""Durations in metadata: whole milliseconds, as decimal digits."""


def to_milliseconds(seconds: float) -> str:
    """The digits of a duration that is not negative."""
    return str(round(seconds * 1000))


def from_milliseconds(text: str | bytes | None) -> float | None:
    """Seconds; None where the text is no duration.

    Anybody may have written it. More than twelve digits are none: eleven are a year.
    """
    if not isinstance(text, str) or not text.isascii() or not text.isdigit() or len(text) > 12:
        return None
    return int(text) / 1000

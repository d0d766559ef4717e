"""What counts as a query: one check for every front door and for the reasoner itself."""

import unicodedata

from reasoncd.errors import InvalidInputError

MAX_QUERY_CHARACTERS = 2000
"""Longest query that is accepted, counted as typed."""


def validate_query(query: str) -> str:
    """Check a query as a user typed it and bring it into one line.

    Runs of white space, line breaks included, become one space. Nothing else is rewritten: what
    looks like a control token stays text, and the tokenizer keeps it so.

    Args:
        query: the user's words.

    Returns:
        The query without white space at its ends.

    Raises:
        InvalidInputError: the query is empty, longer than 2,000 characters, or holds control
            characters or lone surrogates.
    """
    if len(query) > MAX_QUERY_CHARACTERS:
        raise InvalidInputError(
            f"query has {len(query)} characters; shorten it to at most {MAX_QUERY_CHARACTERS}"
        )
    line = " ".join(query.split())
    if not line:
        raise InvalidInputError("query is empty; say in words which change you look for")
    for character in line:
        # Cc holds NUL, escape and the like, Cs the halves of broken surrogate pairs.
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise InvalidInputError(
                f"query holds the control character U+{ord(character):04X}; send plain words"
            )
    return line

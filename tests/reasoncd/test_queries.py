import pytest

from reasoncd.errors import InvalidInputError
from reasoncd.queries import MAX_QUERY_CHARACTERS, validate_query


def test_white_space_and_line_breaks_become_single_spaces() -> None:
    assert validate_query("  where are\n\tnew \u00a0 houses?\r\n") == "where are new houses?"


@pytest.mark.parametrize("query", ["<SEG>", "</s>", "où est la forêt 🌲?", "a\u200db", "新しい建物"])
def test_everything_else_stays_as_typed(query: str) -> None:
    assert validate_query(query) == query


@pytest.mark.parametrize("query", ["", "   ", "\n\t"])
def test_empty_query_is_refused(query: str) -> None:
    with pytest.raises(InvalidInputError, match="query is empty"):
        validate_query(query)


def test_length_is_bounded() -> None:
    assert validate_query("a" * MAX_QUERY_CHARACTERS)
    with pytest.raises(InvalidInputError, match="2001 characters"):
        validate_query("a" * (MAX_QUERY_CHARACTERS + 1))


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x7f", "\ud800"])
def test_control_characters_and_lone_surrogates_are_refused(character: str) -> None:
    with pytest.raises(InvalidInputError, match=f"U\\+{ord(character):04X}"):
        validate_query(f"new{character}roads")

"""Rows of different lengths in one cache against each row by itself."""

from collections.abc import Callable, Sequence

import pytest
import torch

from services.reasoner.model import ReasonerModel
from services.reasoner.prefix_cache import Prefix, prefill
from services.reasoner.prompt import prefix_ids
from services.reasoner.rows import Rows

MakeModel = Callable[..., ReasonerModel]
Fed = Sequence[int]


@pytest.fixture(scope="module")
def prefixes(model: ReasonerModel) -> list[Prefix]:
    clip = torch.randn(3, 2, 5, 12, generator=torch.Generator().manual_seed(7))
    return [prefill(model, pair, prefix_ids(model.tokenizer)) for pair in clip]


def alone(model: ReasonerModel, prefix: Prefix, *passes: Fed) -> list[torch.Tensor]:
    """States of each pass of a row that never had company."""
    rows = Rows(model, [prefix])
    return [rows.feed([ids])[0] for ids in passes]


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_a_row_by_itself_runs_without_a_mask_and_bit_for_bit_as_the_model(
    model: ReasonerModel, prefixes: list[Prefix]
) -> None:
    cache = prefixes[0].clone()
    rows = Rows(model, prefixes[:1])
    for ids in ((5, 6, 7), (8,), (9, 10)):
        with torch.inference_mode():
            expected = model.run(model.splice(ids).embeddings.unsqueeze(0), cache=cache)[0]
        assert torch.equal(rows.feed([ids])[0], expected)
    assert rows._mask is None


def test_rows_of_different_lengths_do_not_see_each_other(
    model: ReasonerModel, prefixes: list[Prefix]
) -> None:
    passes: tuple[tuple[Fed, Fed, Fed], ...] = (
        ((5, 6, 7), (8,), (9, 10, 11, 12, 13)),
        ((14,), (15, 16), (17,)),
        ((18,), (19,), (20,)),
    )
    rows = Rows(model, prefixes)
    together = [rows.feed(fed) for fed in passes]
    for n, prefix in enumerate(prefixes):
        for found, expected in zip(together, alone(model, prefix, *(p[n] for p in passes)), strict=True):
            assert found[n].shape == expected.shape
            same(found[n], expected)


@pytest.mark.parametrize("counts", [(0, 2, 1), (1, 1, 1), (2, 1, 2)])
def test_dropped_positions_are_as_if_never_fed(
    model: ReasonerModel, prefixes: list[Prefix], counts: tuple[int, int, int]
) -> None:
    fed: tuple[Fed, Fed, Fed] = ((5, 6, 7), (8, 9, 10), (11, 12, 13, 14))
    rows = Rows(model, prefixes)
    rows.feed(fed)
    rows.drop(counts)
    found = rows.feed([(20,), (21,), (22,)])
    for n, prefix in enumerate(prefixes):
        kept = fed[n][: len(fed[n]) - counts[n]]
        same(found[n], alone(model, prefix, kept, (20 + n,))[-1])


def test_what_all_rows_drop_takes_no_room(model: ReasonerModel, prefixes: list[Prefix]) -> None:
    rows = Rows(model, prefixes)
    rows.feed([(5, 6), (7, 8), (9, 10)])
    rows.drop((1, 2, 1))
    assert rows.slots == prefixes[0].length + 1


@pytest.mark.parametrize("late_first", [False, True])
def test_rows_join_at_any_length(model: ReasonerModel, prefixes: list[Prefix], late_first: bool) -> None:
    long, short = Rows(model, prefixes[:2]), Rows(model, prefixes[2:])
    long.feed([(5, 6, 7), (8,)])
    long.feed([(9,), (10,)])
    short.feed([(11, 12)])
    order = [2, 0, 1] if late_first else [0, 1, 2]
    rows = short if late_first else long
    rows.join(long if late_first else short)
    assert len(rows) == 3
    last = ((20,), (21, 22), (23,))
    found = rows.feed([last[n] for n in order])
    before: list[tuple[Fed, ...]] = [((5, 6, 7), (9,)), ((8,), (10,)), ((11, 12),)]
    for place, n in enumerate(order):
        same(found[place], alone(model, prefixes[n], *before[n], last[n])[-1])


def test_who_is_left_alone_has_no_gaps_and_no_mask(model: ReasonerModel, prefixes: list[Prefix]) -> None:
    rows = Rows(model, prefixes)
    rows.feed([(5, 6, 7), (8,), (9, 10, 11, 12)])
    rows.drop((1, 0, 2))
    rows.keep([1])
    assert (len(rows), rows.slots, rows._mask) == (1, prefixes[0].length + 1, None)
    same(rows.feed([(20,)])[0], alone(model, prefixes[1], (8,), (20,))[-1])


def test_rows_leave_from_the_middle(model: ReasonerModel, prefixes: list[Prefix]) -> None:
    rows = Rows(model, prefixes)
    rows.feed([(5, 6, 7), (8,), (9, 10, 11, 12)])
    rows.keep([0, 2])
    found = rows.feed([(20,), (21,)])
    same(found[0], alone(model, prefixes[0], (5, 6, 7), (20,))[-1])
    same(found[1], alone(model, prefixes[2], (9, 10, 11, 12), (21,))[-1])


def test_prefixes_stay_as_they_are(model: ReasonerModel, prefixes: list[Prefix]) -> None:
    before = [[(k.clone(), v.clone()) for k, v in prefix.layers] for prefix in prefixes]
    rows = Rows(model, prefixes)
    rows.feed([(5, 6), (7,), (8,)])
    rows.drop((1, 0, 0))
    rows.keep([0, 1])
    with torch.inference_mode():
        for layer in rows.cache.layers:
            layer.keys.zero_()  # type: ignore[union-attr]
    for prefix, layers in zip(prefixes, before, strict=True):
        for (k, v), (k0, v0) in zip(prefix.layers, layers, strict=True):
            assert torch.equal(k, k0) and torch.equal(v, v0)

"""Simulated clicks and boxes."""

import torch

from training.corrections import boxes_around, click_errors

SIDE = 64


def _case() -> tuple[torch.Tensor, torch.Tensor]:
    """A missed square at the upper left, and a false one at the lower right."""
    truth = torch.zeros(1, SIDE, SIDE, dtype=torch.uint8)
    truth[0, 8:28, 10:30] = 1
    logits = torch.full((1, SIDE, SIDE), -4.0)
    logits[0, 40:60, 42:62] = 4.0
    return logits, truth


def test_clicks_lie_inside_the_errors_and_say_which_kind() -> None:
    logits, truth = _case()
    points, labels = click_errors(logits, truth, 2)
    assert points.shape == (1, 2, 2)
    assert labels.dtype == torch.int64
    found = {int(v): tuple(map(int, p)) for p, v in zip(points[0], labels[0], strict=True)}
    assert set(found) == {0, 1}
    # x comes first; four pixels from the rim at least, half the averaging window.
    x, y = found[1]
    assert 14 <= x < 26
    assert 12 <= y < 24
    x, y = found[0]
    assert 46 <= x < 58
    assert 44 <= y < 56


def test_a_click_is_in_the_middle_of_a_large_error() -> None:
    truth = torch.zeros(1, SIDE, SIDE, dtype=torch.uint8)
    truth[0, 4:44, 10:60] = 1
    points, labels = click_errors(torch.full((1, SIDE, SIDE), -4.0), truth, 1)
    assert labels.tolist() == [[1]]
    assert (points[0, 0] - torch.tensor([34.5, 23.5])).abs().max() <= 3


def test_the_middle_of_a_ring_is_no_error() -> None:
    truth = torch.ones(1, SIDE, SIDE, dtype=torch.uint8)
    truth[0, 16:48, 16:48] = 0
    ((x, y),) = click_errors(torch.full((1, SIDE, SIDE), -4.0), truth, 1)[0][0].long().tolist()
    assert truth[0, y, x] == 1


def test_clicks_anywhere_are_all_over_the_errors_and_repeat_by_the_seed() -> None:
    logits, truth = _case()
    found, kinds = [], []
    for seed in range(40):
        torch.manual_seed(seed)
        points, labels = click_errors(logits, truth, 1, anywhere=True)
        x, y = points[0, 0].long().tolist()
        kinds.append(int(labels))
        assert (truth[0, y, x] == 1) == kinds[-1]
        assert (logits[0, y, x] > 0) != kinds[-1]
        found.append(points[0, 0] - torch.tensor([19.5, 17.5] if kinds[-1] else [51.5, 49.5]))
    spread = torch.stack(found)
    assert spread.std(dim=0).min() > 2
    assert spread.mean(dim=0).abs().max() < 2
    assert 0.25 < sum(kinds) / len(kinds) < 0.75
    again = []
    for _ in range(2):
        torch.manual_seed(39)
        again.append(click_errors(logits, truth, 1, anywhere=True)[0])
    assert torch.equal(*again)


def test_a_right_map_needs_no_click() -> None:
    _, truth = _case()
    _, labels = click_errors(truth.float() * 8 - 4, truth, 3)
    assert labels.tolist() == [[-1, -1, -1]]


def test_unknown_pixels_are_no_error() -> None:
    logits, truth = _case()
    truth[0, 8:28, 10:30] = 255
    truth[0, 40:60, 42:62] = 255
    assert click_errors(logits, truth, 1)[1].tolist() == [[-1]]


def test_each_query_is_clicked_for_itself() -> None:
    logits, truth = _case()
    both = torch.cat([logits, -logits]), torch.cat([truth, truth])
    points, _ = click_errors(*both, 1)
    assert torch.equal(points[0], click_errors(logits, truth, 1)[0][0])
    assert not torch.equal(points[0], points[1])


def test_a_box_holds_the_change_and_everything_where_there_is_none() -> None:
    _, truth = _case()
    boxes = boxes_around(torch.cat([truth, torch.zeros_like(truth)]), jitter=0.0)
    assert boxes.tolist() == [[10.0, 8.0, 29.0, 27.0], [0.0, 0.0, SIDE - 1.0, SIDE - 1.0]]
    torch.manual_seed(0)
    drawn = boxes_around(truth)
    assert not torch.equal(drawn, boxes[:1])
    assert (drawn - boxes[:1]).abs().max() <= 0.1 * 19 + 1e-4

"""What labels mean: reading the file, and the three-valued masks that follow from it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from reasoncd.errors import CorruptDataError, InvalidInputError, NotFoundError, ReasonCDError
from reasoncd.ontology import CLASSES, TARGET_BY_KEY, TARGETS
from training.data.labels import MEMBERSHIP, NO, UNKNOWN, YES, LandCover, target_truth
from training.data.prepare.label_ontology import LabelOntology, read_ontology

pytestmark = pytest.mark.unit

Save = Callable[[Path, NDArray[np.generic]], Path]

# The codes that the rest of training knows, in this file's words; "other" has no code there.
CODES = """
labels:
  0: unknown
  1: building
  2: bare_ground
  3: road
  4: low_vegetation
  5: water
  6: tree
  7: playground
  8: vegetation
  9: not building
"""


def _ontology(folder: Path, text: str) -> LabelOntology:
    path = folder / "ontology.yaml"
    path.write_text(text)
    return read_ontology(path)


def test_it_agrees_with_the_codes_of_training(tmp_path: Path) -> None:
    ontology = _ontology(tmp_path, CODES)
    for cls in CLASSES:
        assert tuple(ontology.membership(cls, code) for code in LandCover) == MEMBERSHIP[cls]
    before, after = (a.astype(np.uint8) for a in np.divmod(np.arange(100).reshape(10, 10), 10))
    for target, mask in zip(TARGETS, ontology.masks(before, after), strict=True):
        wanted = [[target_truth(target, a, b) for b in LandCover] for a in LandCover]
        np.testing.assert_array_equal(mask, wanted, err_msg=target.key)


def test_one_of_several_is_unknown_and_none_of_them_is_no(tmp_path: Path) -> None:
    ontology = _ontology(tmp_path, "labels: {0: [road, bare_ground], 1: building, 2: other}")
    before, after = np.array([[0, 0, 1, 2]], np.uint8), np.array([[0, 1, 0, 1]], np.uint8)
    wanted = {
        "building.gain": [NO, YES, NO, YES],
        "building.loss": [NO, NO, YES, NO],
        "road.loss": [UNKNOWN, UNKNOWN, NO, NO],
        "road.gain": [UNKNOWN, NO, UNKNOWN, NO],
        "road>building": [NO, UNKNOWN, NO, NO],
        "water.change": [NO, NO, NO, NO],
    }
    masks = ontology.masks(before, after, [TARGET_BY_KEY[key] for key in wanted])
    assert masks[:, 0].tolist() == list(wanted.values())


def test_unchanged_is_no_change_of_anything_and_at_one_date_only_unknown(tmp_path: Path) -> None:
    ontology = _ontology(tmp_path, "unchanged: 7\nlabels: {1: building, 2: tree}")
    assert ontology.unchanged == 2
    before, after = np.array([[2, 2, 0]], np.uint8), np.array([[2, 0, 1]], np.uint8)
    for target, mask in zip(TARGETS, ontology.masks(before, after), strict=True):
        assert mask[0, 0] == NO and mask[0, 1] == UNKNOWN, target.key
    assert ontology.half_changed(before, after) == 1
    assert ontology.seen("building", before) == YES
    assert ontology.seen("water", before) == UNKNOWN
    assert ontology.seen("water", np.zeros((2, 2), np.uint8)) == NO


@pytest.mark.parametrize(
    ("kind", "values"), [("L", [3, 200]), ("P", [3, 200]), ("I;16", [3, 60000]), ("1", [0, 1])]
)
def test_maps_of_numbers_are_read(tmp_path: Path, kind: str, values: list[int]) -> None:
    array = np.array([values, values[::-1]])
    path = tmp_path / "map.png"
    if kind == "1":
        Image.fromarray(array.astype(bool)).save(path)
    elif kind == "I;16":
        Image.fromarray(array.astype(np.uint16)).save(path)
    else:
        picture = Image.fromarray(array.astype(np.uint8))
        if kind == "P":
            picture.putpalette([i // 3 for i in range(768)])
        picture.save(path)
    ontology = _ontology(tmp_path, f"labels: {{{values[1]}: tree, {values[0]}: water}}")
    assert ontology.read(path).tolist() == [[1, 0], [0, 1]]


def test_a_strange_label_is_named_with_its_place(tmp_path: Path, save: Save) -> None:
    colours = _ontology(tmp_path, 'labels: {"#FF0000": tree, "#000000": unknown}')
    picture = np.zeros((4, 5, 3), np.uint8)
    picture[2, 3] = (255, 0, 0)
    path = save(tmp_path / "map.png", picture)
    assert colours.read(path)[2].tolist() == [1, 1, 1, 0, 1]
    picture[3, 1:3] = (254, 0, 0)
    save(path, picture)
    said = r"map.png shows the colour #fe0000 at row 3, column 1 \(2 such pixels\), which ontology.yaml does"
    with pytest.raises(InvalidInputError, match=said):
        colours.read(path)
    numbers = _ontology(tmp_path, "labels: {0: tree}")
    with pytest.raises(InvalidInputError, match="is of mode RGB; give label maps with one channel"):
        numbers.read(path)
    save(path, np.full((2, 2), 9, np.uint8))
    with pytest.raises(InvalidInputError, match="shows the value 9 at row 0, column 0"):
        numbers.read(path)


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("labels: {2001-99-99: x}", CorruptDataError, r"ontology.yaml is no YAML at line 1; mend it there"),
        ("labels: [", CorruptDataError, r"ontology.yaml is no YAML at line \d; mend it there"),
        ("tree", InvalidInputError, "has no `labels`; list there"),
        ("labels: {}", InvalidInputError, "has no `labels`"),
        ("labels: {0: tree}\ncolours: 1", InvalidInputError, "colours is no entry; give labels"),
        ('labels: {"#FFFFFF": tree, "#ffffff": water}', InvalidInputError, "'#ffffff' stands twice"),
        ("labels: {1: tree, 1: water}", CorruptDataError, "is no YAML at line 1"),
        ("labels: {0: castle}", InvalidInputError, "label 0 is 'castle'; give bare_ground, building"),
        ("labels: {0: not castle}", InvalidInputError, "label 0 is 'not castle'"),
        ("labels: {0: []}", InvalidInputError, r"label 0 is \[\]; give"),
        ("labels: {0: [tree, 3]}", InvalidInputError, "label 0 is 3; give"),
        ("labels: {0: not unknown}", InvalidInputError, "label 0 can be nothing at all; give unknown"),
        ("labels: {-1: tree}", InvalidInputError, "-1 is no label; give a colour in quotes"),
        ("labels: {true: tree}", InvalidInputError, "True is no label"),
        ("labels: {70000: tree}", InvalidInputError, "70000 is no label"),
        ('labels: {"#12": tree}', InvalidInputError, "'#12' is no label"),
        ('labels: {"#123456": tree, 3: water}', InvalidInputError, "both colours and numbers"),
        ("labels: {0: tree}\nunchanged: '#ffffff'", InvalidInputError, "unchanged is of another kind"),
        ("labels: {0: tree}\nunchanged: 0", InvalidInputError, "unchanged stands among the labels too"),
        (f"labels: {dict.fromkeys(range(251), 'tree')}", InvalidInputError, "lists 251 labels; give at most"),
    ],
)
def test_files_that_make_no_sense_are_refused(
    tmp_path: Path, text: str, error: type[ReasonCDError], said: str
) -> None:
    with pytest.raises(error, match=said):
        _ontology(tmp_path, text)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"none\.yaml cannot be read"):
        read_ontology(tmp_path / "none.yaml")


def test_it_says_what_it_knows_in_words(tmp_path: Path) -> None:
    ontology = _ontology(
        tmp_path, 'unchanged: "#ffffff"\nlabels: {"#000001": not building, "#0000ff": [road, tree]}'
    )
    assert ontology.in_words() == "#000001 not building; #0000ff road or tree; #ffffff unchanged"

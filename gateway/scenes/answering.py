"""What a scene's tiles say together, apart from their maps."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from gateway import wording
from gateway.detection import Meaning
from gateway.scenes.tile_store import TileFacts
from reasoncd.errors import ReasonCDError
from reasoncd.ontology import Target


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The answer about a scene before it is known how much changed."""

    model_answer: str
    """The reasoner's own words."""
    seg_emitted: bool
    presence: float
    """The highest of any tile. In [0, 1]."""
    confidence: float | None
    """Predicted IoU, tiles weighted by their changed pixels; None where nothing changed."""
    threshold: float
    presence_threshold: float

    @property
    def target(self) -> Target | None:
        """Class and direction, where the answer names them and the question was not refused."""
        return wording.split_answer(self.model_answer)[1] if self.seg_emitted else None

    def text(self, *, places: int, fraction: float) -> str:
        """The sentence for a person, so that it agrees with the map.

        Args:
            places: connected changed regions worth telling.
            fraction: changed part of the valid area.
        """
        if not self.seg_emitted:
            return wording.refused(self.model_answer)
        if not places:
            return wording.nothing(self.model_answer)
        return wording.changed(self.model_answer, places=places, fraction=fraction)


def conclude(meaning: Meaning | None, tiles: Iterable[TileFacts]) -> Answer:
    """Join what the tiles say.

    Args:
        meaning: of the question where it was read once; else the words that most changed pixels were found
            by are taken, and where none changed those of most tiles.
        tiles: at least one.

    Raises:
        ReasonCDError: there is no tile.
    """
    known = list(tiles)
    if not known:
        raise ReasonCDError("no tile of the scene could be detected; run it again")
    changed = sum(tile.changed_pixels for tile in known)
    confidence = None
    if changed:
        sure = [(tile.confidence or 0.0) * tile.changed_pixels for tile in known]
        confidence = sum(sure) / changed
    if meaning is not None:
        words, emitted = meaning.answer, meaning.seg_embedding is not None
    else:
        votes: Counter[tuple[bool, str]] = Counter()
        for tile in known:
            votes[tile.seg_emitted, tile.answer] += tile.changed_pixels if changed else 1
        # Equal votes go by the words, never by the order in which tiles were finished.
        (emitted, words), _ = max(votes.items(), key=lambda vote: (vote[1], vote[0]))
    return Answer(
        model_answer=words,
        seg_emitted=emitted,
        presence=max(tile.presence for tile in known),
        confidence=confidence,
        threshold=known[0].threshold,
        presence_threshold=known[0].presence_threshold,
    )

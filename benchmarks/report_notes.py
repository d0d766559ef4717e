"""The fixed words of the accuracy report: what was asked, and how each column is computed."""

HEAD = """# Accuracy

Written by `reasoncd-bench accuracy`; never edited by hand. Every figure is free-running, through the
pipeline that
users get, in short answers, on fixed lists of pairs that training does not see.
"""

READING = """
## How to read it

| level | the question |
|---|---|
| E0, E0-any | class and direction ("new buildings"); the class alone ("building"), gain or loss |
| E1 | a synonym of the phrase bank |
| I1 | an implicit phrase of the phrase bank, seen in training |
| I2, I3 | held-out implicit phrases; of cause families that training never has |
| T | a transition ("vegetation that became buildings") |
| N0, N1, N2 | a class in neither image; there and unchanged; the wrong direction; in all words by turns |
| N3 | off-topic |
| -N2, -held-out | held-out phrases where only the opposite happened; other held-out lines |

- Only targets that the labels know are asked, of the classes building, road, vegetation, water and bare
  ground. A change
  is there from 24 pixels on, and absent where no pixel may belong to it. Unknown pixels count nowhere.
- F1, IoU, P, R: of "changed", pixels summed per target, then the mean over the targets that are present in
  the truth
  (they are listed under each list). Intervals are 95 % bootstrap intervals over pairs. "With absent" adds the
  N0-N2 questions in the same words, whose every marked pixel is a false alarm.
- gIoU: mean IoU over questions; with empty targets, an empty map on an empty truth counts 1 and any other 0.
- False rejection: the share of empty maps although the change is there. `<SEG>`: the share of answers that
  mark a region.
- Right target named: the answer's words name the asked class and direction; held-out lines may accept others.
- Wrong direction: marked pixels on which only the opposite happened, of the marked pixels of known truth.
- Correct-empty: no marked pixel and an answer that says "no such change is seen"; for N3 that it is no
  question about a
  change of land cover.
- AUROC: of `presence`, questions whose change is there against N0-N2 in the same words.
- Swap test: the images exchanged and the opposite asked, one change a pair.

Controls answer the same questions in another way. *oracle*: the model, prompted with the plain wording of
the true
target. *lexicon*: the model, prompted with the plain wording of the target that keywords in the question
suggest,
or *any change* where none does. *shuffled*: the model, prompted with the plain wording of another of the
ten targets.
*any change*: the question is ignored, the map is the union of the model's maps for any change of each of
the five classes.
*any change, truth*: that union, of the true changes. *all positive*: every pixel. If the lexicon does as
well as the model on
I2, I3 and their N2, the model does not reason.
"""

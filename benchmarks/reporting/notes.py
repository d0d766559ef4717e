"""The fixed words of the accuracy report: what was asked, and how each column is computed."""

HEAD = """# Accuracy

Written by `reasoncd-bench accuracy`; never edited by hand. Every figure is free-running, through the pipeline
that users get, in short answers unless said otherwise, on fixed lists of pairs that training does not see.
Thresholds were chosen on other pairs; but those of the validation split are made of the same images, so for
composites a figure may be a little kind. `--split test` has images of its own. One trained model is
measured, not several seeds.
"""

LEADS = (
    "Macro F1; for N2, where only the opposite of what was asked happened, the share of empty maps, in words "
    "of training and others together. A map that is always empty would win N2. So a level is compared with "
    "its N2, too: by F1, with every pixel marked on N2 a false alarm. The model must be better than each "
    "control, and outside the interval of the difference for those that read the words alone: the lexicons, "
    "nearest phrases, logistic regression. Where it is level with one of these it does not reason."
)

READING = """
## How to read it

| level | the question |
|---|---|
| E0, E0-any | class and direction ("new buildings"); the class alone ("building"), gain or loss |
| E1 | a synonym of the phrase bank |
| I1 | an implicit phrase of the phrase bank, seen in training |
| I2, I3 | held-out implicit phrases; of cause families that training never has |
| D1, D2, D3, DN3 | development queries, never trained on, in the place of E1, I2, I3 and N3 |
| T | a transition ("vegetation that became buildings") |
| N0, N1, N2 | a class in neither image; there and unchanged; the wrong direction; in E0, E1 and I1 words |
| N3 | off-topic lines of the phrase bank, seen in training |
| N3-held-out, DN3 | off-topic lines that training has not seen: held-out ones, development queries |
| -N2, -held-out | held-out or development phrases where only the opposite happened; other such lines |

- Targets: a figure is met or missed by its value alone; the interval tells how sure that is. Composites
  and scenes are pooled where a row says so, each pair counting as one draw of the bootstrap.
- Only targets that the labels know are asked, of the classes building, road, vegetation, water and bare
  ground. A change is there from 24 pixels on, and absent where no pixel may belong to it. Unknown pixels
  count nowhere. Footprint composites are asked for new and lost buildings in E0 words alone.
- F1, IoU, P, R: of "changed", pixels summed per target, then the mean over the targets that are present
  in the truth (they are listed under each list). Intervals are 95 % bootstrap intervals over pairs. "With
  absent" adds the N0-N2 questions in the same words, whose every marked pixel is a false alarm.
- gIoU: mean IoU over questions; with empty targets, an empty map on an empty truth counts 1 and any other
  0.
- Retention: F1 of a level over that of E0. `<SEG>`: the share of answers that mark a region.
- False rejection: the share of empty maps although the change is there.
- Right target named: the answer's words name the asked class and direction; held-out lines may accept
  others.
- Wrong direction: marked pixels on which only the opposite happened, of the marked pixels of known truth.
- Correct-empty: no marked pixel and an answer that says "no such change is seen"; for off-topic questions
  that it is no question about a change of land cover.
- AUROC: of `presence`, questions whose change is there against N0-N2 in the same words, in the targets
  all words.
- Swap test: the images exchanged and the opposite asked, one change a pair. A model that answers in both
  orders of the dates (`both_orders`, as `mini` does) passes it by construction; the wrong-direction share
  does not follow from that.
- Paraphrases: one change of a pair asked for in plain words and in up to four implicit phrases that
  training has seen, or in as many that it has not (held-out or development queries); the worst F1 of
  them, and the mean IoU between two of their maps, of which one marks something.
- Explained answers: one implicit question a pair, asked for a reason. The named target is the map's where
  no other target's truth overlaps more with the map. Where the map is empty the answer says that nothing
  is seen, and gives no reason. A model that decides before it explains (`decide_first`, as `mini` does)
  names and maps what its short answer does; what the reason itself speaks of is told by the lexicon's
  keywords.
- Confidence: predicted IoU of the answers that mark something, in ten bins of equal mass. The calibration
  error is the mean difference from the true IoU, by mass (its resamplings tend to lie above it); the IoU
  is 0 where the asked change is not there.
- Corrections: clicks, one after the other, in the middle of the largest error of an E0 question's map;
  after each the decoder gets all clicks and its last logits. Presence has no say. A click (one that was
  repeated counts again) is followed if the map after the last one is, at the clicked pixel, as it says.
  The box is around all that truly changed.

Controls answer the same questions in another way. *oracle*: the model, prompted with the plain wording of
the true target. *lexicon*, *lexicon or nothing*: the model, prompted with the plain wording of the target
that keywords in the question suggest; where none does, *any change* or an empty map. *nearest phrases*,
*logistic regression*: the model, prompted with the plain wording of the target that the question's
sentence embedding (all-MiniLM-L6-v2) has by a vote of the nearest training phrases, or by a linear
classifier trained on all of them; nothing where they take it for off-topic. *shuffled*: the model,
prompted with the plain wording of another of the ten targets. *any change*: the question is ignored, the
map is the union of the model's maps for any change of each of the five classes. *any change, truth*: that
union, of the true changes. *all positive*: every pixel. If a lexicon or the nearest phrases do as well as
the model on I2, I3 and their N2, the model does not reason.
"""

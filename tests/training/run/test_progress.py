"""What a run tells: lines in a log file, a bar in a terminal."""

from io import StringIO

import pytest
from rich.console import Console

from training.run.progress import (
    PlainReport,
    Silence,
    TerminalReport,
    counted,
    standard_report,
    time_left,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h 00 min"), (7500, "2 h 05 min")],
)
def test_time_left_in_words(seconds: float, words: str) -> None:
    assert time_left(seconds) == words


def test_plain_lines_come_with_the_figures_only() -> None:
    lines: list[str] = []
    report = PlainReport(lines.append)
    report.begin("vision", 0, 100)
    report.step(1, 2.0, None)
    report.step(40, 2.0, "loss 0.5000")
    report.say("a word")
    report.end()
    assert lines == ["step 40/100 2.00 s/step 2 min left | loss 0.5000", "a word"]


def test_a_count_has_a_line_about_every_tenth_of_the_way() -> None:
    lines: list[str] = []
    with counted(PlainReport(lines.append), "tiles", "pair", "writing the card") as advance:
        for done in range(1, 31):
            advance(done, 30)
    assert [line.split(" ")[1] for line in lines] == [f"{n}/30" for n in range(3, 31, 3)]
    assert all(line.startswith("pair ") and line.endswith(" left") for line in lines[:-1])
    assert "s/pair" in lines[0] and lines[-1].endswith("| writing the card")


def test_a_count_shows_the_same_bar_and_takes_it_down_where_it_fails() -> None:
    file = StringIO()
    report = TerminalReport(Console(file=file, force_terminal=True, width=120))

    def broken() -> None:
        with counted(report, "tiles", "pair") as advance:
            advance(1, 40)
            advance(2, 40)
            raise ValueError("broken pair")

    with pytest.raises(ValueError, match="broken pair"):
        broken()
    shown = file.getvalue()
    assert "tiles" in shown and "2/40" in shown and "s/pair" in shown
    # Nothing moves once it is down.
    report.step(3, 1.0, "late")
    assert file.getvalue() == shown


def test_nothing_counted_shows_nothing() -> None:
    lines: list[str] = []
    with counted(PlainReport(lines.append), "tiles", "pair"):
        pass
    assert lines == []


def test_a_terminal_shows_a_bar_with_the_time_left() -> None:
    file = StringIO()
    report = TerminalReport(Console(file=file, force_terminal=True, width=120))
    report.step(1, 1.0, "before it began")
    report.begin("vision", 10, 100)
    report.step(40, 2.0, "loss 0.5000")
    report.say("goes on from [step 10]")
    report.step(41, 2.0, None)
    report.end()
    shown = file.getvalue()
    for words in ("vision", "41/100", "2.00 s/step, 1 min left", "loss 0.5000", "goes on from [step 10]"):
        assert words in shown
    assert "before it began" not in shown


def test_without_a_terminal_there_is_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    report = standard_report()
    assert isinstance(report, PlainReport)
    report.say("a word")
    assert capsys.readouterr().err == "a word\n"


def test_other_processes_keep_silent(capsys: pytest.CaptureFixture[str]) -> None:
    report = Silence()
    report.begin("vision", 0, 10)
    report.step(10, 1.0, "loss 0.5")
    report.say("a word")
    assert capsys.readouterr() == ("", "")

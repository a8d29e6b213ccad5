"""A few tries of each fuzzer, see `fuzz`: what is damaged is refused in one line, or changes nothing."""

from pathlib import Path

import pytest
from fuzz.__main__ import TARGETS, fuzz

TRIES = {"images": 60, "plates": 40, "checkpoints": 60, "registries": 15, "arguments": 25}


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_damage_is_refused_in_one_line_or_changes_nothing(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    outcomes = fuzz(target, seed=0, tries=TRIES[target], scratch=tmp_path)
    capsys.readouterr()
    faults = [f"{outcome.what}\n{outcome.detail}" for outcome in outcomes if outcome.kind == "fault"]
    assert not faults, "\n\n".join(faults)
    assert {outcome.kind for outcome in outcomes} == {"accepted", "refused"}

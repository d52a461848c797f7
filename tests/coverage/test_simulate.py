"""The harness of the coverage simulations: it tells a good interval from a bad one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tests.coverage.__main__ as main
from tests.coverage.simulate import Result, Simulation, simulate, summary, table


def _mean(half_width: float) -> Simulation:
    """An interval of the mean of sixteen standard normal values, of +- half_width standard errors; an eighth is
    refused."""

    def draw(random: np.random.Generator) -> bool | None:
        return None if random.random() < 0.125 else abs(random.standard_normal(16).mean()) * 4 <= half_width

    return Simulation(f"{half_width}", "the mean", "interval", draw, 400, {"half-width": half_width})


def test_a_good_interval_passes_and_a_narrow_or_wide_one_fails() -> None:
    results = {result.simulation.name: result for result in simulate([_mean(1.96), _mean(1.3), _mean(4.0)], 2)}
    assert {name: result.holds for name, result in results.items()} == {"1.96": True, "1.3": False, "4.0": False}
    for result in results.values():
        assert result.answered + result.refused == 400
        assert 25 < result.refused < 80
    text = table(list(results.values()))
    assert text.count("**outside**") == 2
    assert "| 1.96 | 0.9" in text


@pytest.mark.parametrize("kind", ["p-value", "decision"])
def test_errors_beyond_six_in_a_hundred_fail(kind: str) -> None:
    rates = (0.0, 0.05, 0.12)
    cases = [Simulation(f"{rate}", "a test", kind, lambda random, r=rate: random.random() < r, 800) for rate in rates]  # type: ignore[arg-type,misc]
    assert {result.simulation.name: result.holds for result in simulate(cases, 2)} == {
        "0.0": True,
        "0.05": True,
        "0.12": False,
    }


def test_the_numbers_do_not_depend_on_the_processes() -> None:
    [alone], [together] = (list(simulate([_mean(1.96)], processes)) for processes in (1, 2))
    assert (alone.true, alone.false) == (together.true, together.false)


def test_without_answers_nothing_is_claimed() -> None:
    [result] = simulate([Simulation("none", "a law", "interval", lambda _: None, 10)], 1)
    assert result.holds
    assert "| – | – | 100 % | 10 |" in table([result])


def test_the_summary_counts_what_holds_and_names_what_does_not() -> None:
    claim = _mean(1.96)
    careful = replace(claim, reason="counts")
    results = [Result(claim, 950, 50), Result(careful, 1000), Result(claim, 800, 200), Result(claim, refused=1000)]
    lines = summary({"room": results}, 5).splitlines()
    assert " ".join(lines[:2]) == (
        "**2 of the 3 cells that get an answer hold**; of them cover more than 97 %: 1 counts. Outside: 1. In 1 more, "
        "no study gets an answer. 4 of 5 cells have been run, on 4,000 studies."
    )
    assert "| room | 4 | 1 | 1 | 1 | 1 |" in lines
    assert lines[-1] == "- the mean (half-width 1.96): 0.800 (0.774 to 0.824) of the 1000 answers in 1000 studies"


def test_a_claim_of_two_kinds_has_two_tables_and_each_says_what_its_cells_give_together() -> None:
    covered = _mean(1.96)
    rejected = replace(covered, name="test", kind="p-value")
    text = table([Result(covered, 95, 5), Result(rejected, 4, 96), Result(replace(covered, name="more"), 185, 15)])
    first, second = text.split("**The mean** (p-value)")
    assert "| half-width | coverage |" in first
    assert "| 1.96 | 0.950 |" in first
    assert "All together: coverage 0.933 (0.899 to 0.956), of 300 answers." in first
    assert "| half-width | type I error |" in second
    assert "| 1.96 | 0.040 |" in second
    assert "together" not in second


def test_a_run_that_must_end_soon_still_gives_every_result() -> None:
    results = list(simulate([_mean(1.96), _mean(1.3)], 1, seconds=0.0))
    assert len(results) == 2
    assert all(result.answered == 0 for result in results)


def test_few_studies_of_many_claims_refute_only_what_is_far_off() -> None:
    claim = _mean(1.96)
    assert not Result(claim, true=19, false=5).refuted(300)  # 1 of 300 does so by chance
    assert Result(claim, true=17, false=7).refuted(1)
    assert Result(claim, true=12, false=12).refuted(300)
    assert not Result(claim).refuted(300)


def test_rooms_run_one_by_one_share_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "KEPT", tmp_path / "coverage.csv")
    monkeypatch.setattr(main, "PAGE", tmp_path / "coverage.md")
    main.write_kept({"1.96": (19, 1, 2), "a simulation that is no more": (1, 1, 1)})
    main.write_kept(main.read_kept() | {"1.3": (15, 5, 0)})
    main.write_page({"first": [_mean(1.96)], "second": [_mean(1.3)], "not run": [_mean(4.0)]}, main.read_kept())
    page = main.PAGE.read_text()
    assert [line for line in page.splitlines() if line.startswith("## ")] == ["## first", "## second", "## not run"]
    assert "| 1.96 | 0.950 | 0.764 to 0.991 | 9 % | 22 |" in page
    assert "| 1.3 | 0.750 | 0.531 to 0.888 | 0 % | 20 |" in page
    assert page.endswith("## not run\n\n0 of 1 simulations have been run.\n")

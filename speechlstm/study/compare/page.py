"""One HTML file that shows all results, with a summary table of measured figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechlstm.evaluation import pages
from speechlstm.evaluation.metrics import share_interval
from speechlstm.study.compare.complexity import LONG, SHORT
from speechlstm.study.compare.networks import TITLES
from speechlstm.study.compare.results import mean_interval
from speechlstm.study.compare.trials import TASKS
from speechlstm.types import counted

Result = dict[str, Any]
Cell = str | dict[str, Any]
# Of each network: the color of its curves in the palette, and their dashes.
_LOOKS = {
    "rnn": ("orange", (7, 3)),
    "gru": ("green", (2, 2)),
    "lstm": ("blue", None),
    "transformer": ("purple", (8, 3, 2, 3)),
}


def render(trials: Sequence[Result], costs: Sequence[Result], speech: Sequence[Result]) -> bytes:
    """Return the page."""
    networks = [str(each["network"]) for each in costs]
    groups = [_group(trials, networks, name, lag) for name, lag in _groups(trials)]
    seeds = len({each["seed"] for each in trials})
    about = f"{counted(len(trials), 'trial')} on tasks with long time lags, {counted(seeds, 'seed')} each"
    if speech:
        about += f"; {counted(len(speech), 'training')} on speech"
    *others, last = (TITLES[each] for each in networks)
    title = f"{', '.join(others)} and {last} compared" if others else last
    content = {
        "title": title[0].upper() + title[1:],
        "about": about,
        "networks": {
            each: {"title": TITLES[each], "ink": _LOOKS[each][0], "dashes": _LOOKS[each][1]}
            for each in networks
        },
        "summary": [
            ["handles long sequences", *(_long(_of(trials, each)) for each in networks)],
            ["complexity", *(_complexity(each) for each in costs)],
            ["training time", *(_time(_of(trials, each), _of(speech, each)) for each in networks)],
            ["parameters", *(_size(_of(trials, each)) for each in networks)],
            ["usage: on speech", *(_usage(_of(speech, each)) for each in networks)],
        ],
        "tasks": _tasks(trials, networks),
        "groups": groups,
        "firstGroup": max((k for k, each in enumerate(groups) if each["task"] == "adding"), default=0),
        "lags": _lags(trials, networks),
        "speech": [_spoken(each) for each in speech],
        "epochs": _epochs(speech),
    }
    return pages.render(Path(__file__).parent / "page", ["main.js"], str(content["title"]), content)


def _of(results: Sequence[Result], network: str) -> list[Result]:
    return [each for each in results if each["network"] == network]


def _at(results: Sequence[Result], group: tuple[str, int]) -> list[Result]:
    return [each for each in results if (each["task"], each["lag"]) == group]


def _groups(trials: Sequence[Result]) -> list[tuple[str, int]]:
    return list(dict.fromkeys((str(each["task"]), int(each["lag"])) for each in trials))


def _solved(own: Sequence[Result]) -> int:
    return sum(each["solved"] for each in own)


def _share(own: Sequence[Result]) -> str:
    low, high = share_interval(_solved(own), len(own))
    return f"{100 * low:.0f} to {100 * high:.0f} %"


def _mean(values: Sequence[float], digits: int = 3) -> str:
    mean, low, high = (f"{float(f'{value:.{digits}g}'):,g}" for value in mean_interval(values))
    return mean if low == high else f"{mean} ({low} to {high})"


def _range(numbers: Sequence[int]) -> str:
    return f"{min(numbers):,}" + (f" to {max(numbers):,}" if min(numbers) < max(numbers) else "")


def _long(own: list[Result]) -> Cell:
    if not own:
        return "not measured"
    groups = _groups(own)
    lags = [lag for name, lag in groups if 2 * _solved(found := _at(own, (name, lag))) > len(found)]
    note = f"solved in most trials: {len(lags)} of {counted(len(groups), 'task')}"
    note += f", up to a lag of {max(lags)}" if lags else ""
    return {"text": f"{_solved(own)} of {counted(len(own), 'trial')} solved ({_share(own)})", "note": note}


def _complexity(cost: Result) -> Cell:
    growth = cost["growth"]  # of seven; the median lies between the least and the greatest with 98 %
    middle = float(np.median(growth))
    text = f"{LONG // SHORT} x the steps take {middle:.1f} x the time ({growth[0]:.1f} to {growth[-1]:.1f})"
    short, long = (f"{cost[f'{name}_products']:,}" for name in ("short", "long"))
    return {"text": text, "note": f"multiplications per step: {short} of {SHORT}, {long} of {LONG}"}


def _time(own: list[Result], spoken: list[Result]) -> Cell:
    timed = [1000 * each["seconds_per_update"] for each in own if each["updates"]]
    parts = [f"{_mean(timed)} ms per update"] if timed else []
    if spoken:
        parts.append(f"{_mean([each['seconds_per_epoch'] for each in spoken])} s per epoch of speech")
    solved = [each["seconds"] for each in own if each["solved"]]
    note = f"{_mean(solved)} s until a task is solved, if it is" if solved else ""
    return {"text": "; ".join(parts) or "not measured", "note": note}


def _size(own: list[Result]) -> Cell:
    if not own:
        return "not measured"
    counts, widths = ([each[name] for each in own] for name in ("parameter_count", "width"))
    return {"text": _range(counts), "note": f"width {_range(widths)}"}


def _usage(own: list[Result]) -> Cell:
    if not own:
        return "not measured: speech=[digits,an4_small]"
    parts = []
    for experiment in dict.fromkeys(str(each["experiment"]) for each in own):
        first, *others = (each for each in own if each["experiment"] == experiment)
        low, high = (100 * bound for bound in first["wer_interval"])
        rate = f"{100 * first['wer']:.1f} % WER ({low:.1f} to {high:.1f})"
        if others:
            rate = f"{_mean([100 * each['wer'] for each in (first, *others)])} % WER"
        parts.append(f"{experiment} {rate}")
    speed, memory = (_mean([each[name] for each in own]) for name in ("speed", "megabytes"))
    return {"text": "; ".join(parts), "note": f"{speed} x real time; {memory} MB in training"}


def _tasks(trials: Sequence[Result], networks: Sequence[str]) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for name, lag in _groups(trials):
        task = TASKS[name]
        row: list[Cell] = [
            {"text": task.title, "note": f"solved: {task.criterion}"},
            {"text": f"{lag}", "key": lag},
        ]
        for network in networks:
            own = _at(_of(trials, network), (name, lag))
            if not own:
                row.append({"text": "–", "key": -1.0})
                continue
            solved = [each["updates"] for each in own if each["solved"]]
            note = _share(own) + (f"; {_mean(solved)} updates" if solved else "")
            row.append({"text": f"{len(solved)} of {len(own)}", "note": note, "key": len(solved) / len(own)})
        rows.append(row)
    return rows


def _group(trials: Sequence[Result], networks: Sequence[str], name: str, lag: int) -> dict[str, Any]:
    """Return learning curves and mean gradient norms of a task with a lag; norms beyond a float's range become 0."""
    learning, flows = [], []
    for network in networks:
        own = _at(_of(trials, network), (name, lag))
        learning += [
            {"network": network, "solved": each["solved"], "points": each["losses"]}
            for each in own
            if each.get("losses")  # none in results of older versions, nor where no update was needed
        ]
        if own:
            steps = min(len(each["flow_before"]) for each in own)
            flows.append(
                {
                    "network": network,
                    "before": _flow(own, "before", steps),
                    "after": _flow(own, "after", steps),
                }
            )
    return {"task": name, "title": f"{TASKS[name].title}, lag {lag}", "learning": learning, "flows": flows}


def _flow(own: Sequence[Result], when: str, steps: int) -> list[float]:
    mean = np.mean([each[f"flow_{when}"][:steps] for each in own], axis=0)
    return [float(f"{value:.4g}") for value in np.nan_to_num(mean)]


def _lags(trials: Sequence[Result], networks: Sequence[str]) -> list[dict[str, Any]]:
    """Return the share of solved trials by lag, for tasks with more than one."""

    def point(own: list[Result], lag: int) -> dict[str, Any]:
        low, high = share_interval(_solved(own), len(own))
        return {"lag": lag, "share": _solved(own) / len(own), "low": low, "high": high}

    found = []
    for name in dict.fromkeys(task for task, _ in _groups(trials)):
        lags = sorted(lag for task, lag in _groups(trials) if task == name)
        if len(lags) > 1:
            shares = []
            for network in networks:
                own = [(lag, _at(_of(trials, network), (name, lag))) for lag in lags]
                shares.append({"network": network, "points": [point(each, lag) for lag, each in own if each]})
            found.append({"title": TASKS[name].title, "lags": lags, "shares": shares})
    return found


def _epochs(speech: Sequence[Result]) -> list[dict[str, Any]]:
    """Return learning curves on speech by experiment."""
    curves: dict[str, list[dict[str, Any]]] = {}
    for each in speech:
        if each.get("rates"):
            curve = {"network": each["network"], "points": each["rates"]}
            curves.setdefault(str(each["experiment"]), []).append(curve)
    return [{"title": experiment, "curves": found} for experiment, found in curves.items()]


def _spoken(each: Result) -> list[Cell]:
    low, high = (f"{100 * bound:.1f}" for bound in each["wer_interval"])
    rate = {"text": f"{100 * each['wer']:.1f} %", "note": f"{low} to {high}", "key": each["wer"]}
    figures = [each[name] for name in ("parameter_count", "seconds_per_epoch", "megabytes", "speed")]
    shown: list[Cell] = [
        {"text": f"{value:,.0f}" if value >= 10 else f"{value:.2g}", "key": value} for value in figures
    ]
    seed = {"text": str(each["seed"]), "key": each["seed"]}
    return [each["experiment"], TITLES[each["network"]], seed, rate, *shown]

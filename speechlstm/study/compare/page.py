"""One HTML file that shows all results, with a table of what the networks are good for, in measured figures."""

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
    """Return the page.

    Args:
        trials: results of `speechlstm.study.compare.trials.attempt`.
        costs: results of `speechlstm.study.compare.complexity.complexity`, one for each network that is compared.
        speech: results of `speechlstm.study.compare.speech.make`.
    """
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


def _groups(trials: Sequence[Result]) -> list[tuple[str, int]]:
    return list(dict.fromkeys((str(each["task"]), int(each["lag"])) for each in trials))


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"


def _share(own: Sequence[Result]) -> str:
    low, high = share_interval(sum(each["solved"] for each in own), len(own))
    return f"{_percent(low)} to {_percent(high)} %"


def _mean(values: Sequence[float], digits: int = 3) -> str:
    mean, low, high = (f"{float(f'{value:.{digits}g}'):,g}" for value in mean_interval(values))
    return mean if low == high else f"{mean} ({low} to {high})"


def _long(own: list[Result]) -> Cell:
    if not own:
        return "not measured"
    solved = sum(each["solved"] for each in own)
    most = {
        group: sum(each["solved"] for each in own if (each["task"], each["lag"]) == group)
        / sum((each["task"], each["lag"]) == group for each in own)
        for group in _groups(own)
    }
    lags = [lag for (_, lag), share in most.items() if share > 0.5]
    note = f"solved in most trials: {len(lags)} of {counted(len(most), 'task')}"
    note += f", up to a lag of {max(lags)}" if lags else ""
    return {"text": f"{solved} of {counted(len(own), 'trial')} solved ({_share(own)})", "note": note}


def _complexity(cost: Result) -> Cell:
    growth = cost["growth"]  # of seven; from the least to the greatest the median lies with 98 %
    middle = float(np.median(growth))
    text = f"{LONG // SHORT} x the steps take {middle:.1f} x the time ({growth[0]:.1f} to {growth[-1]:.1f})"
    note = (
        f"multiplications a step: {cost['short_products']:,} of {SHORT}, {cost['long_products']:,} of {LONG}"
    )
    return {"text": text, "note": note}


def _time(own: list[Result], spoken: list[Result]) -> Cell:
    timed = [1000 * each["seconds_per_update"] for each in own if each["updates"]]
    parts = [f"{_mean(timed)} ms an update"] if timed else []
    parts += (
        [f"{_mean([each['seconds_per_epoch'] for each in spoken])} s an epoch of speech"] if spoken else []
    )
    solved = [each["seconds"] for each in own if each["solved"]]
    return {
        "text": "; ".join(parts) or "not measured",
        "note": f"{_mean(solved)} s until a task is solved, where it is" if solved else "",
    }


def _size(own: list[Result]) -> Cell:
    if not own:
        return "not measured"
    counts, widths = ([each[name] for each in own] for name in ("parameter_count", "width"))
    return {"text": _range(counts), "note": f"width {_range(widths)}"}


def _range(numbers: Sequence[int]) -> str:
    return f"{min(numbers):,}" + (f" to {max(numbers):,}" if min(numbers) < max(numbers) else "")


def _usage(own: list[Result]) -> Cell:
    if not own:
        return "not measured: speech=[digits,an4_small]"
    parts = []
    for experiment in dict.fromkeys(str(each["experiment"]) for each in own):
        rates = [each for each in own if each["experiment"] == experiment]
        if len(rates) == 1:
            low, high = rates[0]["wer_interval"]
            parts.append(
                f"{experiment} {100 * rates[0]['wer']:.1f} % WER ({100 * low:.1f} to {100 * high:.1f})"
            )
        else:
            parts.append(f"{experiment} {_mean([100 * each['wer'] for each in rates])} % WER")
    speed, memory = ([each[name] for each in own] for name in ("speed", "megabytes"))
    return {"text": "; ".join(parts), "note": f"{_mean(speed)} x real time; {_mean(memory)} MB in training"}


def _tasks(trials: Sequence[Result], networks: Sequence[str]) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for name, lag in _groups(trials):
        task = TASKS[name]
        solved_when = f"solved: {task.criterion}"
        row: list[Cell] = [{"text": task.title, "note": solved_when}, {"text": f"{lag}", "key": lag}]
        for network in networks:
            own = [each for each in _of(trials, network) if (each["task"], each["lag"]) == (name, lag)]
            solved = [each for each in own if each["solved"]]
            updates = f"; {_mean([each['updates'] for each in solved])} updates" if solved else ""
            share = len(solved) / len(own) if own else -1.0
            note = f"{_share(own)}{updates}" if own else ""
            row.append({"text": f"{len(solved)} of {len(own)}" if own else "–", "note": note, "key": share})
        rows.append(row)
    return rows


def _group(trials: Sequence[Result], networks: Sequence[str], name: str, lag: int) -> dict[str, Any]:
    """Return learning curves and mean gradient norms of a task with a lag; norms beyond a float's range stay zeros."""
    learning, flows = [], []
    for network in networks:
        own = [each for each in _of(trials, network) if (each["task"], each["lag"]) == (name, lag)]
        learning += [
            {"network": network, "solved": each["solved"], "points": each["losses"]}
            for each in own
            if each.get("losses")  # results of older versions have none, nor has what needed no update
        ]
        if not own:
            continue
        steps = min(len(each["flow_before"]) for each in own)
        flow: dict[str, Any] = {"network": network}
        for key in ("before", "after"):
            mean = np.mean([each[f"flow_{key}"][:steps] for each in own], axis=0)
            flow[key] = [float(f"{value:.4g}") for value in np.nan_to_num(mean)]
        flows.append(flow)
    return {"task": name, "title": f"{TASKS[name].title}, lag {lag}", "learning": learning, "flows": flows}


def _lags(trials: Sequence[Result], networks: Sequence[str]) -> list[dict[str, Any]]:
    """Return the share of solved trials by lag, for tasks with more than one."""
    found = []
    for name in dict.fromkeys(task for task, _ in _groups(trials)):
        lags = sorted(lag for task, lag in _groups(trials) if task == name)
        if len(lags) < 2:
            continue
        shares = []
        for network in networks:
            points = []
            for lag in lags:
                own = [each for each in _of(trials, network) if (each["task"], each["lag"]) == (name, lag)]
                count = sum(each["solved"] for each in own)
                low, high = share_interval(count, len(own))
                if own:
                    points.append({"lag": lag, "share": count / len(own), "low": low, "high": high})
            shares.append({"network": network, "points": points})
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
    low, high = each["wer_interval"]
    rate = {
        "text": f"{100 * each['wer']:.1f} %",
        "note": f"{100 * low:.1f} to {100 * high:.1f}",
        "key": each["wer"],
    }
    figures = [each[name] for name in ("parameter_count", "seconds_per_epoch", "megabytes", "speed")]
    shown: list[Cell] = [
        {"text": f"{value:,.0f}" if value >= 10 else f"{value:.2g}", "key": value} for value in figures
    ]
    return [
        each["experiment"],
        TITLES[each["network"]],
        {"text": str(each["seed"]), "key": each["seed"]},
        rate,
        *shown,
    ]

"""The best sentences of a lattice, each once, however many alignments it has."""

from __future__ import annotations

from collections import defaultdict, deque
from heapq import nsmallest
from typing import NamedTuple

NOTHING = 0  # the label of an arc that reads or writes nothing


class Arc(NamedTuple):
    """An arc of a lattice: the state it leads to, the label it reads, the word it writes, and its cost."""

    target: int
    label: int
    word: int
    cost: float


class Way(NamedTuple):
    """The cheapest way to a state that writes certain words: its cost, and the last step of it."""

    cost: float
    source: int
    before: int  # number of the words before the step
    label: int


def best_sentences(lattice: str, n: int) -> list[tuple[list[int], list[int], float]]:
    """Return the `n` cheapest sentences of a lattice, cheapest first, as labels, words and cost.

    Each state keeps its `n` cheapest word sequences with the cheapest way of each. That is exact: what comes after a
    state costs the same whatever came before, so no other sequence can be part of one of the `n` best.

    Args:
        lattice: acyclic, as text: lines `source target label word graph_cost,acoustic_cost`, or `state cost` for a
            final state; the first line's source is the start.
        n: how many.
    """
    arcs: defaultdict[int, list[Arc]] = defaultdict(list)
    final: dict[int, float] = {}
    degree: defaultdict[int, int] = defaultdict(int)  # arcs into a state that are still to come
    rows = [line.split() for line in lattice.splitlines()]
    for row in rows:
        cost = sum(map(float, row[-1].split(",")))
        if len(row) == 2:
            final[int(row[0])] = cost
        else:
            source, target, label, word = map(int, row[:4])
            arcs[source].append(Arc(target, label, word, cost))
            degree[target] += 1
    if not rows:
        return []
    start = int(rows[0][0])
    numbers: dict[tuple[int, int], int] = {}  # (number of the words before, last word) -> number of the words
    ways: defaultdict[int, dict[int, Way]] = defaultdict(dict)  # state -> number of the words -> way
    ways[start][0] = Way(0.0, start, 0, NOTHING)
    waiting = deque(state for state in list(arcs) if not degree[state])
    while waiting:
        state = waiting.popleft()
        best = nsmallest(n, ways[state].items(), key=lambda item: item[1].cost)
        ways[state] = dict(best)
        for target, label, word, cost in arcs[state]:
            there = ways[target]
            for number, way in best:
                words = number if word == NOTHING else numbers.setdefault((number, word), len(numbers) + 1)
                if words not in there or way.cost + cost < there[words].cost:
                    there[words] = Way(way.cost + cost, state, number, label)
            degree[target] -= 1
            if not degree[target]:
                waiting.append(target)
    ends: dict[int, tuple[float, int]] = {}
    for state, cost in final.items():
        for words, way in ways[state].items():
            ends[words] = min(ends.get(words, (float("inf"), state)), (way.cost + cost, state))
    last = {number: pair for pair, number in numbers.items()}
    results = []
    for words, (cost, state) in nsmallest(n, ends.items(), key=lambda item: item[1][0]):
        labels = _labels(ways, start, state, words)
        sentence = []
        while words:
            words, word = last[words]
            sentence.append(word)
        results.append((labels, sentence[::-1], cost))
    return results


def _labels(ways: dict[int, dict[int, Way]], start: int, state: int, words: int) -> list[int]:
    """Follow a way back to the start; return the labels that it reads, first to last."""
    labels = []
    while state != start:
        _, state, words, label = ways[state][words]
        labels += [label] if label != NOTHING else []
    return labels[::-1]

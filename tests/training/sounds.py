"""Tones and noise, and the ratio of two sounds."""

from __future__ import annotations

import numpy as np

RATE = 16_000


def tone(frequency: float, seconds: float = 1.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def hiss(samples: int = RATE, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def decibels(one: np.ndarray, other: np.ndarray) -> float:
    """Return the ratio of the mean powers."""
    return float(10 * np.log10(np.mean(np.square(one, dtype=float)) / np.mean(np.square(other, dtype=float))))

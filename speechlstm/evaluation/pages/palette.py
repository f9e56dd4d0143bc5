"""The colors of all pages and pictures: those of Okabe and Ito, which color-blind people can tell apart."""

from __future__ import annotations

# By name, on a light and on a dark ground. Contrast with the ground is at least 4.5 for all that is read.
COLORS = {
    "ground": ("#fbfbfc", "#15171a"),
    "panel": ("#ffffff", "#1d2024"),
    "ink": ("#1b1d20", "#e8eaec"),
    "quiet": ("#5b6168", "#a3aab2"),
    "line": ("#d5d9de", "#3a3f45"),
    "grid": ("#e8eaec", "#2b2f34"),
    "chosen": ("#e3eff7", "#1f3646"),
    "blue": ("#006ba6", "#6cb8ea"),
    "orange": ("#bf4f00", "#f0a030"),
    "green": ("#00795a", "#45cda2"),
    "purple": ("#9a4f7d", "#e29cc6"),
    # heat maps: values below zero, zero, and above; and the quiet and the loud end of a spectrogram
    "low": ("#2166ac", "#56b4e9"),
    "middle": ("#f7f7f7", "#1b1e23"),
    "high": ("#b35806", "#f0a030"),
    "weak": ("#ffffff", "#101215"),
    "strong": ("#14161a", "#f4f4f4"),
}
SERIES = ("blue", "orange", "green", "purple")  # in which curves are drawn that have no color of their own


def light(name: str) -> str:
    """Return a color on a light ground as `#rrggbb`."""
    return COLORS[name][0]


def css() -> str:
    """Return the colors as variables of a style sheet, which follow the scheme that the reader prefers."""
    sets = ("".join(f"--{name}: {both[k]}; " for name, both in COLORS.items()) for k in (0, 1))
    day, night = sets
    return (
        f":root {{ color-scheme: light dark; {day}}}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {night}}} }}"
    )

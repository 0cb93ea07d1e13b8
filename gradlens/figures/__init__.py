"""Figures of runs, drawn with plotly. Every figure is a pure function of ``Run`` objects: no files, no server."""

from gradlens.figures._axis import UNITS, units
from gradlens.figures._class_matrix import ClassPair, class_cosines, conflicting_pairs, frequency_order
from gradlens.figures._combined import combined
from gradlens.figures._csv import figure_csv
from gradlens.figures._curves import (
    accuracies,
    component_norms,
    conflicts,
    cosines,
    losses,
    norms,
    update_cosines,
)
from gradlens.figures._distortion import distortion_curves
from gradlens.figures._figure1 import figure1
from gradlens.figures._heat import layer_heatmap
from gradlens.figures._layers import layer_curves
from gradlens.figures._lines import Options
from gradlens.figures._names import Style, run_color, style_of, whole_style
from gradlens.figures._notices import notices
from gradlens.figures._overlay import evaluated_names, evaluations, overlay
from gradlens.figures._quantities import logged_curves, other_quantities, quantity_curves
from gradlens.figures._shares import class_shares, group_classes, measured_shares, shares
from gradlens.figures._sheet import Sheet
from gradlens.figures._theme import DARK, LIGHT, FigureError, Theme, theme_of

__all__ = [
    "DARK",
    "LIGHT",
    "UNITS",
    "ClassPair",
    "FigureError",
    "Options",
    "Sheet",
    "Style",
    "Theme",
    "accuracies",
    "class_cosines",
    "class_shares",
    "combined",
    "component_norms",
    "conflicting_pairs",
    "conflicts",
    "cosines",
    "distortion_curves",
    "evaluated_names",
    "evaluations",
    "figure1",
    "figure_csv",
    "frequency_order",
    "group_classes",
    "layer_curves",
    "layer_heatmap",
    "logged_curves",
    "losses",
    "measured_shares",
    "norms",
    "notices",
    "other_quantities",
    "overlay",
    "quantity_curves",
    "run_color",
    "shares",
    "style_of",
    "theme_of",
    "units",
    "update_cosines",
    "whole_style",
]

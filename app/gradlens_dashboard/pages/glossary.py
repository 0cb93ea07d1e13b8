"""The page "Glossary": every quantity with its formula and a small picture. Figures link to it."""

import html

import streamlit as st

from gradlens.metrics.catalogue import QUANTITIES
from gradlens_dashboard.components.glossary_pictures import picture
from gradlens_dashboard.components.page import heading

STYLE = """
<style>
.gl-entry { display: flex; gap: 1.4rem; align-items: flex-start; padding: 0.9rem 0; max-width: 62rem;
  border-top: 1px solid color-mix(in srgb, currentColor 14%, transparent); scroll-margin-top: 4rem; }
.gl-entry:target { background: color-mix(in srgb, #0072B2 12%, transparent); }
.gl-entry h2 { margin: 0; } .gl-entry p { margin: 0.25rem 0; } .gl-entry img { flex: none; }
.gl-entry small { opacity: 0.75; }
@media (max-width: 640px) { .gl-entry { flex-direction: column; gap: 0.4rem; } }
</style>
"""

heading(
    "Glossary",
    "Every quantity that gradlens shows, with its formula. The gradient g of a step is the sum of the groups' contributions gₖ "
    "and of the rest, which belongs to no group. k is a group, nₖ its samples in the batch.",
)
entries = []
for quantity in QUANTITIES.values():
    title = quantity.title[0].upper() + quantity.title[1:]
    low, high = quantity.range
    limits = f"From {low:g} to {high:g}." if abs(low) + abs(high) < float("inf") else "0 or more." if low == 0 else ""
    entries.append(
        f'<div class="gl-entry" id="{html.escape(quantity.name)}">{picture(quantity.name, title)}<div>'
        f"<h2>{html.escape(title)}</h2><p>{html.escape(quantity.definition)}</p>"
        f"<small>{html.escape(limits)} In code: <code>{html.escape(quantity.name)}</code></small></div></div>"
    )
st.html(STYLE + "".join(entries))

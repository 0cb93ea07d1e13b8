"""What people do about a finding: methods of the lab with their papers. ``gradlens train METHOD`` runs each of them."""

from __future__ import annotations

# Method of the lab -> its paper.
PAPERS = {
    "logit-adjustment": "Menon et al. 2021",
    "balanced-softmax": "Ren et al. 2020",
    "crt": "Kang et al. 2020",
    "ldam-drw": "Cao et al. 2019",
    "dual-phase": "Asynchronous Modeling, ICLR 2021 submission",
    "pcgrad": "Yu et al. 2020",
    "cagrad": "Liu et al. 2021",
    "gradvac": "Wang et al. 2021",
}


def methods(*names: str) -> str:
    """Returns methods of the lab with their papers."""
    return ", ".join(f"{name} ({PAPERS[name]})" for name in names)


LONG_TAIL = (
    "People change the loss, or train the classifier again on even batches: "
    f"{methods('logit-adjustment', 'balanced-softmax', 'ldam-drw', 'crt', 'dual-phase')}; `gradlens train NAME` tries one."
)
CONFLICT = f"People combine the groups' gradients in another way: {methods('pcgrad', 'cagrad', 'gradvac')}."

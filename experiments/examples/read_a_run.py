"""Reads a run in Python: python experiments/examples/read_a_run.py [RUN_FOLDER].

It can be any run, also one that is still being written. The default is the run of lens_loop.py.
"""

import sys

import numpy as np

from gradlens import Run, distortion

run = Run(sys.argv[1] if len(sys.argv) > 1 else "runs/lens_loop")
print(run)  # its folder, how many steps were measured, whether it has ended
for warning in run.warnings:  # what is missing or damaged
    print("warning:", warning)

# Every quantity is an array over the T measured steps. NaN means that there is no number, e.g. for a group without samples.
print(f"steps {run.steps[0]} to {run.steps[-1]}, of epochs {np.nanmin(run.epoch):.0f} to {np.nanmax(run.epoch):.0f}")
for name in run.groups.names:
    print(
        f"{name:>8}: {np.nansum(run.counts[:, run.groups.names.index(name)]):,.0f} samples, "
        f"cosine with the gradient {np.nanmean(run.cosine(name)):.2f}, "
        f"norm {np.nanmean(run.norm(name)):.3f}, norm of its mean gradient {np.nanmean(run.norm(name, per='mean')):.3f}, "
        f"share of the update {np.nanmean(run.share(name)):.0%}"
    )

first, *_, last = run.groups.names
print(f"{first} and {last} pull against each other in {np.nanmean(run.conflict(first, last) < 0):.0%} of the steps")

# One number for the run. 0 = each group's share of the update is its fraction of the classes.
print(f"distortion {distortion(run):.2f}; in the second half {distortion(run, start=int(np.median(run.steps))):.2f}")

# This shows that the numbers add up. It comes from a separate backward pass in every measured step.
print(f"largest residual {np.nanmax(run.residual):.1e} of the gradient's norm")

"""Images and labels: reading data sets, choosing subsets, samplers, augmentation."""

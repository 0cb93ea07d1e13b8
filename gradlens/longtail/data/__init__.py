"""Images and labels: data sets, counts, samplers, augmentation."""

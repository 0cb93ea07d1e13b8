"""What runs say: claims, comparisons, distortion, phases."""

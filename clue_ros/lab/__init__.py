"""For people who work on clue_ros itself: benchmarks, annotation, training studies. No robot needs it."""

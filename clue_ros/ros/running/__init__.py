"""What every program needs to begin, run and end: signals, spinning, parameters, loading, surroundings."""

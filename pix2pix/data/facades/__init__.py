"""Houses of the generated data set: floor plan, painting, photograph."""

"""What a model is measured by: pixels, frames and videos of any number of batches and processes."""
